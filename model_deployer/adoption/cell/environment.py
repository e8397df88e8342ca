"""Environments of a source's own versions: made once with uv or pip, and kept in a cache."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.pythons import installed_pythons, known_versions, ordered
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.system.command import Completed, last_line, run
from model_deployer.system.janitor import temporary_folder

#: The time that an installation may take.
INSTALL_SECONDS = 1800.0

#: Versions of Python that uv downloads if none that is installed fits.
_DOWNLOADED = ((3, 11), (3, 10), (3, 9), (3, 8))

_FACTS = "cell.json"

#: Settings of pip, and the options of uv that mean the same.
_INDEX_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraint",
}


@dataclass(frozen=True)
class CellEnvironment:
    """An environment that is ready.

    Attributes:
        python: Its interpreter.
        versions: The versions of all its packages, by name, and that of ``python``.
        notes: What differs from the requirements, as sentences; empty if nothing does.
    """

    python: Path
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()


def default_cache() -> Path:
    """Return the folder in which environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "model-deployer" / "cells"


def current_environment() -> CellEnvironment:
    """Return the environment that this process runs in, for a source that was made in it."""
    versions = {item.name: item.version for item in distributions()}
    return CellEnvironment(Path(sys.executable), versions | {"python": platform.python_version()})


def environment_folder(requirements: Sequence[str], python: tuple[int, int] | None, cache: Path) -> Path:
    """Return the folder of an environment in a cache: the same for the same arguments on machines of the same kind."""
    key = json.dumps([sorted(requirements), python, platform.machine(), platform.system()])
    return cache / hashlib.sha256(key.encode()).hexdigest()[:20]


def prepare_environment(
    requirements: Sequence[str], python: tuple[int, int] | None = None, cache: Path | None = None
) -> CellEnvironment:
    """Return an environment with some packages; it is made if the cache does not have it.

    If a version cannot be installed with any Python, the nearest newer one that can be is, and a note says so; it is
    tried again when this machine has other Pythons.
    Packages are never built here, because that would run code of theirs.

    Args:
        requirements: Such as ``scikit-learn==1.3.2`` and ``numpy<2``.
        python: The version of Python that the source was made with; None if it is not known.
        cache: The folder of the environments; None for :func:`default_cache`.

    Raises:
        CellError: if the packages cannot be installed together with any Python.
        EnvironmentFault: if there is no disk space, or neither uv nor pip.
    """
    folder = environment_folder(requirements, python, cache or default_cache())
    if (folder / _FACTS).exists():
        return _read(folder)
    nearest = _nearest_folder(folder)
    if (nearest / _FACTS).exists():
        return _read(nearest)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return _read(_make(list(requirements), python, folder))
    except OSError as error:
        raise EnvironmentFault(f"the environment of the source cannot be written: {error.strerror}") from error


def _read(folder: Path) -> CellEnvironment:
    facts = json.loads((folder / _FACTS).read_bytes())
    return CellEnvironment(folder / "bin" / "python", facts["versions"], tuple(facts["notes"]))


def _nearest_folder(folder: Path) -> Path:
    """Return the folder of an environment with other versions than the required ones, for the Pythons of today."""
    pythons = json.dumps(sorted(installed_pythons()))
    return folder.with_name(f"{folder.name}-{hashlib.sha256(pythons.encode()).hexdigest()[:8]}")


def _make(requirements: list[str], python: tuple[int, int] | None, folder: Path) -> Path:
    """Make an environment next to its place, and move it there when it is complete; return the place."""
    installer = Installer.on_this_machine()
    with temporary_folder("new-", folder.parent) as parent:
        made, notes = parent / "environment", []
        faults = _first_that_works(installer, requirements, python, made)
        if faults:
            needed = installer.missing_python(requirements, parent)
            advice = f"they need Python {needed}: install it, and run this again" if needed else faults[0]
            if not installer.install_nearest(requirements, made):
                raise CellError(f"the versions of the source cannot be installed here: {advice}")
            notes = _replaced(requirements, installer.versions(made))
            notes += [f"the versions of the source need Python {needed}, which is not installed"] if needed else []
        facts = {"versions": installer.versions(made), "notes": notes}
        (made / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        place = _nearest_folder(folder) if notes else folder
        if not place.exists():
            made.rename(place)
        return place


def _first_that_works(
    installer: "Installer", requirements: list[str], python: tuple[int, int] | None, folder: Path
) -> list[str]:
    """Try one Python after the other; return why each failed, or nothing as soon as one works."""
    faults = []
    for interpreter in installer.interpreters(python):
        failed = installer.install(interpreter, requirements, folder)
        if failed is None:
            return []
        faults.append(_reason(failed))
    return faults


def _replaced(requirements: list[str], versions: Mapping[str, str]) -> list[str]:
    """Say which packages have another version than the source states."""
    notes = []
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        if version and versions.get(name) != version:
            notes.append(f"{name} {version} cannot be installed here; {versions.get(name)} answers in its place")
    return notes


def _reason(completed: Completed) -> str:
    """Return why an installation failed, as its program says it."""
    text = " ".join((completed.stderr or completed.stdout).split())
    text = re.sub(r" \(from versions: [^)]*\)", "", text)  # pip lists a hundred versions
    match = re.search(r"(?:Because|ERROR: No matching|ERROR: Could not find).{0,300}", text)
    return match[0] if match else last_line(completed)


@dataclass(frozen=True)
class Installer:
    """uv, or pip where it is not installed.

    Attributes:
        uv: The program; None for pip.
        options: The indexes that pip is configured with, as options of uv.
    """

    uv: str | None
    options: tuple[str, ...]

    @classmethod
    def on_this_machine(cls) -> "Installer":
        """Return uv if it is installed, next to this Python or on the path."""
        own = Path(sys.executable).parent / "uv"
        uv = str(own) if own.exists() else shutil.which("uv")
        return cls(uv, tuple(_index_options()) if uv else ())

    def interpreters(self, preferred: tuple[int, int] | None) -> list[str]:
        """Return interpreters in the order in which they are tried; uv downloads those that are only a version."""
        installed = installed_pythons()
        paths = [str(installed[version]) for version in ordered(list(installed), preferred)]
        downloaded = [f"{major}.{minor}" for major, minor in _DOWNLOADED if (major, minor) not in installed]
        return paths + (downloaded if self.uv else [])

    def install(self, python: str, requirements: list[str], folder: Path) -> Completed | None:
        """Make an environment; return the command that failed, or None."""
        shutil.rmtree(folder, ignore_errors=True)
        results = map(self._run, self._commands(python, requirements, folder))
        return next((completed for completed in results if completed.returncode), None)

    def install_nearest(self, requirements: list[str], folder: Path) -> bool:
        """Make an environment of the lowest versions that can be installed and are not older than the required ones.

        Returns:
            Whether it could be made.
        """
        newer = [line.replace("==", ">=") for line in requirements]
        for python in reversed(self.interpreters((99, 0))):  # older versions have packages for older interpreters
            lowest = self._lowest(python, newer, folder.parent) if self.uv else newer
            if lowest and self.install(python, lowest, folder) is None:
                return True
        return False

    def missing_python(self, requirements: list[str], folder: Path) -> str | None:
        """Return the version of Python with which all requirements could be installed; None if there is none.

        Args:
            requirements: The packages.
            folder: An empty folder; nothing is installed.
        """
        installed = installed_pythons()
        own = [self.uv, "pip", "install", *self.options] if self.uv else [sys.executable, "-m", "pip", "install"]
        options = ["--dry-run", "--quiet", "--only-binary", ":all:", "--target", str(folder / "target")]
        for major, minor in ordered([version for version in known_versions() if version not in installed], None):
            version = f"{major}.{minor}"
            if self._run([*own, *options, "--python-version", version, *requirements]).returncode == 0:
                return version
        return None

    def _lowest(self, python: str, requirements: list[str], folder: Path) -> list[str]:
        """Return requirements with the lowest versions of those that state one; nothing if there are none."""
        stated = [line for line in requirements if ">=" in line]
        file = folder / "stated.txt"
        file.write_text("\n".join(stated), encoding="utf-8")
        command = ["pip", "compile", str(file), "--quiet", "--no-header", "--no-annotate", "--python", python]
        lowest = ["--resolution", "lowest-direct", "--only-binary", ":all:", *self.options]
        completed = self._run([str(self.uv), *command, *lowest])
        versions = dict(re.findall(r"^([\w.-]+)==(\S+)$", completed.stdout, re.MULTILINE))
        names = {line: line.partition(">=")[0] for line in stated}
        if completed.returncode or not set(names.values()) <= versions.keys():
            return []
        return [f"{names[line]}=={versions[names[line]]}" if line in names else line for line in requirements]

    def _commands(self, python: str, requirements: list[str], folder: Path) -> Iterator[list[str]]:
        target = f"{folder}/bin/python"
        if self.uv is None:
            yield [python, "-m", "venv", "--without-pip", str(folder)]
            command = [sys.executable, "-m", "pip", "--python", target, "install", "--quiet", "--only-binary", ":all:"]
            yield [*command, *requirements]
            return
        yield [self.uv, "venv", "--quiet", "--python", python, str(folder)]
        options = ["--quiet", "--only-binary", ":all:", "--python", target]
        if "--find-links" not in self.options and any(line.startswith("torch") for line in requirements):
            options += ["--torch-backend", "cpu"]
        yield [self.uv, "pip", "install", *options, *self.options, *requirements]

    def versions(self, folder: Path) -> dict[str, str]:
        """Return the versions of the packages of an environment, and of its Python."""
        python = str(folder / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python]
        command = [self.uv, "pip", "list", "--python", python] if self.uv else [*pip, "list"]
        packages: list[dict[str, Any]] = json.loads(self._run([*command, "--format", "json"]).stdout)
        version = self._run([python, "-c", "import platform; print(platform.python_version())"]).stdout.strip()
        return {package["name"].lower(): package["version"] for package in packages} | {"python": version}

    def _run(self, command: list[str]) -> Completed:
        try:
            return run(command, environment=_variables(), timeout_seconds=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise EnvironmentFault("the packages of the source took too long to install; check the network") from None


def _variables() -> dict[str, str]:
    removed = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    return {name: value for name, value in os.environ.items() if name not in removed}


def _index_options() -> Iterator[str]:
    """Yield the indexes of pip's configuration, which uv does not read, as options of uv."""
    completed = run([sys.executable, "-m", "pip", "config", "list"], timeout_seconds=60)
    settings = dict(re.findall(r"^[^\n]*?[.:]([a-z-]+)='(.*)'$", completed.stdout, re.MULTILINE))
    for name, option in (
        ("find-links", "--find-links"),
        ("extra-index-url", "--index"),
        ("index-url", "--default-index"),
    ):
        for value in settings.get(name, "").replace("\\n", " ").split():
            yield from (option, value)
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        yield "--no-index"
    yield from ("--index-strategy", "unsafe-best-match")
