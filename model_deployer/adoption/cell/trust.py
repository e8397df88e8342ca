"""The consent to run the code of a source: the digest of exactly those files that will run."""

import hashlib
import shutil
from pathlib import Path

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.source_files import source_files


def digest_of(source: Path) -> str:
    """Return ``sha256:`` and the digest of a source.

    That of a file is the digest of its bytes. That of a folder is the digest of the list of its files as ``sha256sum``
    writes it, in the order of their paths.

    Args:
        source: A file or a folder.
    """
    if source.is_file():
        return f"sha256:{_file_digest(source)}"
    lines = (f"{_file_digest(path)}  {path.relative_to(source).as_posix()}\n" for path in source_files(source))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def copy_trusted(source: Path, target: Path, trust: str) -> Path:
    """Copy a source, and make sure that the copy is what the user trusts.

    Args:
        source: A file or a folder.
        target: An empty folder for the copy.
        trust: The digest that the user has given.

    Returns:
        The copy: a file or folder in ``target`` with the name of the source.

    Raises:
        CellError: if the digest is that of other files.
    """
    copy = target / source.name
    if source.is_file():
        shutil.copyfile(source, copy)
    else:
        for path in source_files(source):
            place = copy / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    if (digest := digest_of(copy)) != trust:
        raise CellError(
            f"asking '{source.name}' runs its code, which needs your consent: pass --trust {digest} if you trust its"
            " author"
        )
    return copy


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
