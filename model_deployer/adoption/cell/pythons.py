"""The Python interpreters of this machine in which a source may run."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from model_deployer.system.command import run

#: The oldest version that the worker runs on.
OLDEST = (3, 6)

#: The newest version that is looked for.
NEWEST = (3, 14)

_PRINT_VERSION = "import sys; print(*sys.version_info[:2])"


def installed_pythons() -> dict[tuple[int, int], Path]:
    """Return the interpreters of this machine by their version, such as (3, 11)."""
    pythons = {sys.version_info[:2]: Path(sys.executable)}
    for path in _candidates():
        completed = run([path, "-c", _PRINT_VERSION], timeout_seconds=20)
        words = completed.stdout.split()
        if completed.returncode == 0 and len(words) == 2:
            pythons.setdefault((int(words[0]), int(words[1])), path)
    return {version: path for version, path in pythons.items() if version >= OLDEST}


def known_versions() -> list[tuple[int, int]]:
    """Return the versions of Python that the worker runs on."""
    return [(OLDEST[0], minor) for minor in range(OLDEST[1], NEWEST[1] + 1)]


def ordered(versions: list[tuple[int, int]], preferred: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Return versions in the order in which they are tried: the preferred one, then older ones, then newer ones."""
    start = preferred or sys.version_info[:2]
    older = sorted((version for version in versions if version <= start), reverse=True)
    return older + sorted(version for version in versions if version > start)


def _candidates() -> Iterator[Path]:
    folders = [Path(name) for name in os.environ.get("PATH", os.defpath).split(os.pathsep) if name]
    folders = [folder for folder in folders if folder.name != "shims"]
    folders += sorted((Path.home() / ".pyenv/versions").glob("*/bin"))
    folders += sorted((Path.home() / ".local/share/uv/python").glob("*/bin"))
    for folder in folders:
        for major, minor in known_versions():
            if (path := folder / f"python{major}.{minor}").is_file():
                yield path
