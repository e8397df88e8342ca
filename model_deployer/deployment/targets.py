"""`deployer deploy`: a package, a target and a load become a folder of definitions."""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from model_deployer.contract.errors import UsageError
from model_deployer.deployment.azureml import azureml
from model_deployer.deployment.compose import compose
from model_deployer.deployment.kserve import kserve
from model_deployer.deployment.kubernetes import kubernetes
from model_deployer.deployment.sagemaker import sagemaker
from model_deployer.deployment.vertex import vertex
from model_deployer.deployment.workload import Workload
from model_deployer.package import package_data as package_facts
from model_deployer.package.package_data import PackageData
from model_deployer.package.staging import staging

#: What writes the files of each target, by their path.
TARGETS: Mapping[str, Callable[[Workload], Mapping[str, str]]] = {
    "kubernetes": kubernetes,
    "kserve": kserve,
    "sagemaker": sagemaker,
    "vertex": vertex,
    "azureml": azureml,
    "compose": compose,
}

#: Where they stand in a package.
FOLDER = "deploy"

#: The name of an image, as registries take it, with its tag, its digest or both.
_IMAGE = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)


def deploy(target: str, package: Path, folder: Path, image: str | None = None, load: float | None = None) -> Workload:
    """Write the definitions of a target into ``folder``, and tell what they are of.

    Args:
        target: One of ``TARGETS``.
        package: The folder of a handoff package.
        folder: Is not there yet, or is empty.
        image: The image that the package's Dockerfile makes, as the target pulls it; with a tag or a digest.
        load: Requests of one row a second that are to be carried; None for what a single replica carries safely.

    Raises:
        UsageError: There is no such target, no package, no image where one is needed, or something in the folder.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no target of this name; expected one of {', '.join(TARGETS)}")
    facts = package_facts.read_package_data(package)
    workload = Workload(facts, _image(image, target, facts.tag), _load(load, facts.sizing.safe_load))
    with staging(folder) as there:
        _write(TARGETS[target](workload), there)
    return workload


def definitions(facts: PackageData) -> dict[str, str]:
    """The files of every target, by their path in the package: deploy/TARGET/...

    The image is called by the name and the version of the model, and the load is what a replica carries safely. A
    target whose machines are too small for the model is left out.
    """
    workload = Workload(facts, facts.tag, facts.sizing.safe_load)
    found: dict[str, str] = {}
    for target, write in TARGETS.items():
        with suppress(UsageError):
            found |= {f"{FOLDER}/{target}/{path}": text for path, text in write(workload).items()}
    return found


def write_definitions(facts: PackageData, package: Path) -> None:
    """Write the files of every target into the folder of a package."""
    _write(definitions(facts), package)


def _write(files: Mapping[str, str], folder: Path) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _image(image: str | None, target: str, tag: str) -> str:
    """The name of the image; on this machine, without a registry, that of the model."""
    if image is None:
        if target != "compose":
            raise UsageError(f"{target} pulls the image from a registry: name it with --image REGISTRY/{tag}")
        return tag
    last = image.rpartition("/")[2]
    if not _IMAGE.fullmatch(image) or not {":", "@"} & set(last):
        raise UsageError(
            f"--image: expected the name of an image with a tag or a digest, as REGISTRY/{tag}; without one, "
            "nobody knows which version runs"
        )
    return image


def _load(load: float | None, safe: float) -> float:
    if load is None:
        return safe
    if not (math.isfinite(load) and load > 0):
        raise UsageError("--rps: expected the requests a second that are to be carried, a number above 0")
    return load
