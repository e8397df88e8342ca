"""The lists of packages, environment.yml and the Dockerfile: the environment of a package."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_deployer.adoption.installed_packages import with_dependencies
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.handoff.formats.library import TEMPLATES
from model_deployer.image.bento import DOCKERFILE, REQUIREMENTS
from model_deployer.package.package_data import HASHED_REQUIREMENTS, SOURCE_REQUIREMENTS

#: The files with the packages of the server, and with those that the tests need in addition.
RUNTIME, TESTS = "requirements.txt", "tests/requirements.txt"


#: The packages that the tests and the joblib file need in addition to those of the server.
_TEST_PACKAGES = ("pytest", "joblib")


class HashedPlatform(NamedTuple):
    """The files of the packages of the server on a platform.

    Attributes:
        name: The platform, as "Linux x86_64".
        python: The implementation and the version of Python, as "cpython 3.11".
        hashes: The SHA-256 of the file of each package, by its normalized name.
    """

    name: str
    python: str
    hashes: Mapping[str, str]


def write_requirements(folder: Path) -> None:
    """Write the requirements of the Bento, and those of the tests in addition to them, with exact versions."""
    lines = (folder / "bento" / REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    server_pins = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    names = {pin.partition("==")[0].lower().replace("_", "-") for pin in server_pins}
    test_packages = with_dependencies(_TEST_PACKAGES).items()
    test_pins = [f"{name}=={version}" for name, version in test_packages if name not in names]
    _write_pins(folder / RUNTIME, "To serve the model and to load its files.", server_pins)
    _write_pins(folder / TESTS, f"For the tests, in addition to {RUNTIME}.", test_pins)


def write_source_requirements(folder: Path, runner: SourceRunner) -> None:
    """Write the packages of the process of a source, with their exact versions."""
    python = f", with Python {runner.python}" if runner.python else ""
    title = f"For the process of the model alone{python}. README.md has the command that installs them."
    _write_pins(folder / SOURCE_REQUIREMENTS, title, runner.requirements)


def write_hashed_requirements(folder: Path, tested: HashedPlatform, others: Sequence[HashedPlatform]) -> None:
    """Write the requirements of the server with the hashes of the files of several platforms.

    Nothing is written if a hash of the tested files is not known: pip would refuse the other lines. Another platform
    with such a gap is left out.

    Args:
        folder: The folder of the package.
        tested: The files that were installed on this machine.
        others: Those of other platforms, for the same version of Python.
    """
    lines = (folder / RUNTIME).read_text(encoding="utf-8").splitlines()
    pins = {pin: canonicalize_name(Requirement(pin).name) for pin in lines if "==" in pin}
    complete = [part for part in (tested, *others) if all(part.hashes.get(name) for name in pins.values())]
    if tested not in complete:
        return
    names = ", ".join(part.name for part in complete[1:])
    title = f"For {tested.python}: the tested files of {tested.name}" + (f", and those of {names}." if names else ".")
    hashed = {pin: dict.fromkeys(part.hashes[name] for part in complete) for pin, name in pins.items()}
    _write_pins(
        folder / HASHED_REQUIREMENTS,
        title,
        [" ".join([pin, *(f"--hash=sha256:{digest}" for digest in digests)]) for pin, digests in hashed.items()],
    )


def _write_pins(path: Path, title: str, pins: Sequence[str]) -> None:
    path.write_text("\n".join([f"# {title}", *pins, ""]), encoding="utf-8")


def read_pins(folder: Path) -> list[str]:
    """Return the packages of the environment of a package folder, as ``name==version``."""
    lines = [line for name in (RUNTIME, TESTS) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "==" in line]


def read_source_pins(folder: Path) -> list[str]:
    """Return the packages of the environment of the source of a package folder, as ``name==version``."""
    return [line for line in (folder / SOURCE_REQUIREMENTS).read_text(encoding="utf-8").splitlines() if "==" in line]


def write_environment(folder: Path, name: str) -> None:
    """Write environment.yml with the name of the model, for the Python version of this process."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = (TEMPLATES / "environment.yml").read_text(encoding="utf-8")
    text = text.replace("@NAME@", name).replace("@PYTHON@", python)
    (folder / "environment.yml").write_text(text, encoding="utf-8")


def write_dockerfile(folder: Path) -> None:
    """Write the Dockerfile: that of the Bento, adapted to the folder above it."""
    text = (folder / "bento" / DOCKERFILE).read_text(encoding="utf-8")
    (folder / "Dockerfile").write_text(text.replace("ARG BENTO=.", "ARG BENTO=bento") + "\n", encoding="utf-8")
    (folder / ".dockerignore").write_text("*\n!bento\n", encoding="utf-8")
