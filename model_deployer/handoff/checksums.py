"""SHA256SUMS: the hash of every file of a package, as `sha256sum -c` reads them."""

from collections.abc import Iterator
from pathlib import Path

from model_deployer.contract.artifact import sha256

CHECKSUMS = "SHA256SUMS"

#: What a verification writes anew, so that no sum of it can stand.
UNCHECKED_FILES = frozenset({CHECKSUMS, "VERIFICATION.md", "VERIFICATION.json"})


def write_checksums(folder: Path) -> None:
    """Write the sums of all files but those in ``UNCHECKED_FILES``."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def check_checksums(folder: Path) -> list[str]:
    """What is not as it was written: a sentence a file."""
    expected = _read(folder)
    if expected is None:
        return [f"{CHECKSUMS} is missing or damaged"]
    there = set(_files(folder))
    problems = [f"{name} is missing" for name in expected if name not in there]
    problems += [f"{name} was added" for name in sorted(there - expected.keys())]
    changed = (name for name in expected if name in there and sha256(folder / name) != expected[name])
    return problems + [f"{name} was changed" for name in changed]


def _read(folder: Path) -> dict[str, str] | None:
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        pairs = [line.split("  ", 1) for line in lines]
        return {name: digest for digest, name in pairs} or None
    except (OSError, ValueError):
        return None


def _files(folder: Path) -> Iterator[str]:
    """All files by their path from the folder, sorted; what running them left behind is none of the package's."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        leftover = {"__pycache__", ".pytest_cache", ".venv"} & set(name.parts)
        if path.is_file() and not leftover and str(name) not in UNCHECKED_FILES:
            yield name.as_posix()
