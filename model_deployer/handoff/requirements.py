"""requirements.txt, environment.yml and the Dockerfile: what the package runs in."""

import sys
from collections.abc import Sequence
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement

from model_deployer.handoff.formats.formats import TEMPLATES
from model_deployer.image.bento import DOCKERFILE, REQUIREMENTS

#: What the tests and the examples of the package use beside what serves the model.
FOR_TESTS = ("pytest", "joblib")


def write_requirements(folder: Path) -> None:
    """Write requirements.txt from the Bento's own requirements: exact versions of everything."""
    served = (folder / "bento" / REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    pins = [line for line in served if line and not line.startswith("#")]
    names = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    more = [pin for pin in _pins(FOR_TESTS) if pin.partition("==")[0] not in names]
    text = "\n".join(["# To serve the model and to load its files.", *pins, "# For the tests.", *more])
    (folder / "requirements.txt").write_text(text + "\n", encoding="utf-8")


def _pins(names: Sequence[str]) -> list[str]:
    """The packages and what they need in turn, at the versions that are installed here."""
    found: dict[str, str] = {}
    waiting = [name.lower() for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = version(name)
        needed = [Requirement(each) for each in distribution(name).requires or []]
        waiting += [each.name.lower() for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [f"{name}=={found[name]}" for name in sorted(found)]


def write_environment(folder: Path) -> None:
    """Write environment.yml, for the version of Python that the package was written with."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = (TEMPLATES / "environment.yml").read_text(encoding="utf-8")
    (folder / "environment.yml").write_text(text.replace("@PYTHON@", python), encoding="utf-8")


def write_dockerfile(folder: Path) -> None:
    """Write the Dockerfile: the Bento's own, for the folder above it."""
    text = (folder / "bento" / DOCKERFILE).read_text(encoding="utf-8")
    (folder / "Dockerfile").write_text(text.replace("ARG BENTO=.", "ARG BENTO=bento") + "\n", encoding="utf-8")
    (folder / ".dockerignore").write_text("*\n!bento\n", encoding="utf-8")
