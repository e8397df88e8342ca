"""SHA256SUMS: the hash of every file of a package, in the format of `sha256sum -c`."""

from collections.abc import Iterator
from pathlib import Path

from model_deployer.contract.artifact import sha256

CHECKSUMS = "SHA256SUMS"

#: Files without a checksum: each verification writes them again.
UNCHECKED_FILES = frozenset({CHECKSUMS, "VERIFICATION.md", "VERIFICATION.json"})


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files of a package except ``UNCHECKED_FILES``."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def check_checksums(folder: Path) -> list[str]:
    """Return one sentence per file of the package that is missing, was added or was changed."""
    expected = _read(folder)
    if expected is None:
        return [f"{CHECKSUMS} is missing or damaged"]
    existing = set(_files(folder))
    problems = [f"{name} is missing" for name in expected if name not in existing]
    problems += [f"{name} was added" for name in sorted(existing - expected.keys())]
    changed = (name for name in expected if name in existing and sha256(folder / name) != expected[name])
    return problems + [f"{name} was changed" for name in changed]


def _read(folder: Path) -> dict[str, str] | None:
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        pairs = [line.split("  ", 1) for line in lines]
        return {name: digest for digest, name in pairs} or None
    except (OSError, ValueError):
        return None


def _files(folder: Path) -> Iterator[str]:
    """Yield the relative paths of all files, sorted, without caches and virtual environments."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_leftover = {"__pycache__", ".pytest_cache", ".venv"} & set(name.parts)
        if path.is_file() and not is_leftover and str(name) not in UNCHECKED_FILES:
            yield name.as_posix()
