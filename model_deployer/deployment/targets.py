"""`deployer deploy`: write the deployment definitions of a target, for a package and a load."""

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
from model_deployer.package.package_data import PackageData, read_package_data
from model_deployer.package.sizing import Sizing
from model_deployer.package.staging import staging

#: For each target, the function that returns its files by path.
TARGETS: Mapping[str, Callable[[Workload], Mapping[str, str]]] = {
    "kubernetes": kubernetes,
    "kserve": kserve,
    "sagemaker": sagemaker,
    "vertex": vertex,
    "azureml": azureml,
    "compose": compose,
}

#: The folder of the definitions in a package.
FOLDER = "deploy"

#: The name of an image with a tag, a digest, both or neither.
_IMAGE = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)


def deploy(target: str, package: Path, folder: Path, image: str | None = None, load: float | None = None) -> Workload:
    """Write the definitions of a target into ``folder`` and return the workload that they are for.

    Args:
        target: One of ``TARGETS``.
        package: The folder of a handoff package.
        folder: A folder that does not exist or is empty.
        image: The name of the package's image, as the target pulls it, with a tag or a digest.
        load: The load in one-row requests per second; None for the safe load of one replica.

    Raises:
        UsageError: If the target is unknown, ``package`` is not a package, the image is missing, the folder is not
            empty, or there is a load although the machine was busy when the package was measured.
    """
    if target not in TARGETS:
        raise UsageError(f"unknown target; expected one of {', '.join(TARGETS)}")
    data = read_package_data(package)
    workload = Workload(data, _image(image, target, data.tag), _load(load, data.sizing))
    with staging(folder) as staged:
        _write(TARGETS[target](workload), staged)
    return workload


def definitions(package: PackageData) -> dict[str, str]:
    """Return the files of every target by their path in the package: deploy/TARGET/...

    The image is named after the model and its version, and the load is the safe load of one replica, as far as it is
    known. A target is left out if its largest instance type is too small for the model.
    """
    workload = Workload(package, package.tag, _load(None, package.sizing))
    files: dict[str, str] = {}
    for target, write in TARGETS.items():
        with suppress(UsageError):
            files |= {f"{FOLDER}/{target}/{path}": text for path, text in write(workload).items()}
    return files


def write_definitions(package: PackageData, folder: Path) -> None:
    """Write the files of every target into the folder of a package."""
    _write(definitions(package), folder)


def _write(files: Mapping[str, str], folder: Path) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _image(image: str | None, target: str, tag: str) -> str:
    """Return the name of the image; Compose runs on this machine and needs no registry, so the default is the tag."""
    if image is None:
        if target != "compose":
            raise UsageError(f"{target} pulls the image from a registry: name it with --image REGISTRY/{tag}")
        return tag
    last_part = image.rpartition("/")[2]
    if not _IMAGE.fullmatch(image) or not {":", "@"} & set(last_part):
        raise UsageError(
            f"--image: expected the name of an image with a tag or a digest, as REGISTRY/{tag}; without one, "
            "the version that runs is unknown"
        )
    return image


def _load(load: float | None, sizing: Sizing) -> float | None:
    if load is None:
        return None if sizing.is_withheld else sizing.safe_load
    if sizing.is_withheld:
        raise UsageError(
            "--rps: the machine was busy when the package was measured, so the load of a replica is not known; write "
            "the package again with `deployer handoff` on a machine that runs nothing else"
        )
    if not (math.isfinite(load) and load > 0):
        raise UsageError("--rps: expected the load in one-row requests per second, a number above 0")
    return load
