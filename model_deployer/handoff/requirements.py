"""requirements.txt, environment.yml and the Dockerfile: the environment of a package."""

import sys
from collections.abc import Sequence
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement

from model_deployer.handoff.formats.library import TEMPLATES
from model_deployer.image.bento import DOCKERFILE, REQUIREMENTS

#: The packages that the tests and the examples need in addition to those of the server.
TEST_REQUIREMENTS = ("pytest", "joblib")


def write_requirements(folder: Path) -> None:
    """Write requirements.txt: the Bento's requirements and those of the tests, all with exact versions."""
    lines = (folder / "bento" / REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    server_pins = [line for line in lines if line and not line.startswith("#")]
    names = {pin.partition("==")[0].lower().replace("_", "-") for pin in server_pins}
    test_pins = [pin for pin in _pins(TEST_REQUIREMENTS) if pin.partition("==")[0] not in names]
    text = "\n".join(["# To serve the model and to load its files.", *server_pins, "# For the tests.", *test_pins])
    (folder / "requirements.txt").write_text(text + "\n", encoding="utf-8")


def _pins(names: Sequence[str]) -> list[str]:
    """Return the packages and their dependencies, with the versions that are installed here."""
    versions: dict[str, str] = {}
    waiting = [name.lower() for name in names]
    while waiting:
        name = waiting.pop()
        if name in versions:
            continue
        versions[name] = version(name)
        requirements = map(Requirement, distribution(name).requires or [])
        waiting += [
            requirement.name.lower()
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    return [f"{name}=={versions[name]}" for name in sorted(versions)]


def write_environment(folder: Path) -> None:
    """Write environment.yml, for the Python version of this process."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = (TEMPLATES / "environment.yml").read_text(encoding="utf-8")
    (folder / "environment.yml").write_text(text.replace("@PYTHON@", python), encoding="utf-8")


def write_dockerfile(folder: Path) -> None:
    """Write the Dockerfile: that of the Bento, adapted to the folder above it."""
    text = (folder / "bento" / DOCKERFILE).read_text(encoding="utf-8")
    (folder / "Dockerfile").write_text(text.replace("ARG BENTO=.", "ARG BENTO=bento") + "\n", encoding="utf-8")
    (folder / ".dockerignore").write_text("*\n!bento\n", encoding="utf-8")
