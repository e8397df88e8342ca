"""The files that a path names: one, those of a glob, or those of a folder."""

import glob
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import unquote

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.remote import copy_files, is_remote
from model_deployer.training.spec import Spec

#: The suffixes of tables in a folder, without those of their compression; other files there are not read.
_SUFFIXES = (
    *(".csv", ".tsv", ".tab", ".txt", ".psv", ".json", ".jsonl", ".ndjson"),
    *(".parquet", ".pq", ".arrow", ".feather", ".ipc", ".xlsx", ".xls", ".xlsb", ".ods"),
)

#: The suffixes of compressed files, after that of the table.
COMPRESSION_SUFFIXES = (".gz", ".zst", ".bz2", ".xz", ".zip")

#: What Hive and Spark write for a missing value of a partition.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

Partition = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class SourceFile:
    """A file of the table.

    Attributes:
        path: The file.
        partition: The names and values of its folders that are called ``name=value``, below the folder or before the
            end of the glob that model.yaml names.
    """

    path: Path
    partition: Partition = ()


def find_files(path: str, key: str, spec: Spec, folder: Path) -> list[SourceFile]:
    """Return the files that a path names, in the order of their paths; those of a URL are copied to this machine.

    Args:
        path: A file, a folder, a glob or a URL; ``~`` is the home of the user.
        key: The key under ``data`` that holds the path, for messages.
        spec: The model.yaml.
        folder: Its folder, where a relative path starts.

    Raises:
        DataError: if there is no file, one is not a regular file, or the folders of the files have different names.
    """
    location = spec.location("data", key)
    pattern = copy_files(path, key, spec, _is_table) if is_remote(path) else str(Path(path).expanduser())
    literal = folder / pattern
    if literal.is_dir():
        files = _of_folder(literal, location)
    elif literal.exists():
        files = [SourceFile(_regular(literal, location))]
    else:
        files = _of_glob(pattern, folder)
    if not files:
        hint = "check the URL" if is_remote(path) else "a relative path starts at the folder of model.yaml"
        raise DataError(f"{location}: there is no file {literal}; {hint}")
    _refuse_other_partitions(files, key)
    return files


def _regular(path: Path, location: str) -> Path:
    """Return the path of a regular file; a pipe or a device might never end."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{location}: {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{location}: {path} is a pipe, a socket or a device; write its content into a file first")
    return path


def _of_glob(pattern: str, folder: Path) -> list[SourceFile]:
    matches = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 (may be absolute)
    fixed = next((index for index, part in enumerate(Path(pattern).parts) if glob.has_magic(part)), 0)
    return [
        SourceFile(folder / name, _partition(Path(name).parts[fixed:-1]))
        for name in matches
        if (folder / name).is_file()
    ]


def _of_folder(folder: Path, location: str) -> list[SourceFile]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and _is_table(path.relative_to(folder)))
    if not paths:
        raise DataError(
            f"{location}: the folder {folder} holds no table, such as a .csv or .parquet file; name a file or a glob"
        )
    return [SourceFile(path, _partition(path.relative_to(folder).parts[:-1])) for path in paths]


def _is_table(path: PurePath) -> bool:
    """Return whether a file is a table by its path in a folder, and not one that a tool hides or keeps for itself."""
    hidden = any(part.startswith((".", "_")) and "=" not in part for part in path.parts)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSION_SUFFIXES]
    return not hidden and bool(suffixes) and suffixes[-1] in _SUFFIXES


def _partition(folders: tuple[str, ...]) -> Partition:
    pairs = [re.fullmatch(r"([^=]+)=(.*)", name) for name in folders]
    return tuple(
        (unquote(pair[1]), None if pair[2] in ("", _HIVE_NULL) else unquote(pair[2])) for pair in pairs if pair
    )


def _refuse_other_partitions(files: list[SourceFile], key: str) -> None:
    keys = [name for name, _ in files[0].partition]
    for file in files[1:]:
        if [name for name, _ in file.partition] != keys:
            raise DataError(
                f"{file.path}: its folders of the form name=value differ in their names from those of {files[0].path}; "
                f"name one table under `data.{key}`"
            )
