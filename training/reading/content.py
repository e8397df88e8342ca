"""The bytes of a table, out of their compression."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from backports import zstd

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.file_kind import FileKind, compression_of, kind_of

#: Bytes that are read to recognize a file.
_KIND_BYTES = 1 << 14

_BLOCK_BYTES = 1 << 22

#: How often a file may be compressed: a CSV in a zip in a gz is not the work of a colleague.
_MAX_LAYERS = 2

#: What the modules of the standard library raise for damaged files.
_DAMAGES = (
    *(OSError, EOFError, ValueError, IndexError, RuntimeError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)

#: Files that archivers add on their own.
_ARCHIVER_FILES = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Content:
    """The bytes of a file.

    Attributes:
        path: The file, for messages.
        source: Where the bytes are: the file itself, or the bytes if they are not those of the file.
    """

    path: Path
    source: Path | bytes

    def head(self, size: int) -> bytes:
        """Return the first bytes, at most ``size``."""
        if isinstance(self.source, bytes):
            return self.source[:size]
        with self._open() as file:
            return file.read(size)

    def blocks(self, size: int = _BLOCK_BYTES) -> Iterator[bytes]:
        """Yield all bytes, at most ``size`` at a time."""
        with self._open() as file:
            while block := file.read(size):
                yield block

    def bytes(self) -> bytes:
        """Return all bytes."""
        return self.source if isinstance(self.source, bytes) else b"".join(self.blocks())

    def _open(self) -> BinaryIO:
        """Open the bytes.

        Raises:
            DataError: if the file cannot be opened.
        """
        if isinstance(self.source, bytes):
            return BytesIO(self.source)
        try:
            return self.source.open("rb")
        except OSError as error:
            raise DataError(f"{self.path}: the file cannot be read: {error.strerror}") from None


def open_content(path: Path, stated: FileKind | None = None) -> tuple[Content, FileKind]:
    """Return the bytes of a file, decompressed if it is compressed, and what kind of file they are.

    Args:
        path: The file.
        stated: The kind of the decompressed file, if it is known.

    Raises:
        DataError: if the file cannot be read, a compressed file is damaged, an archive holds several files, or the
            bytes are not those of a table.
        EnvironmentFault: if a package that decompresses the file is missing.
    """
    content = Content(path, path)
    for _ in range(_MAX_LAYERS):
        head = content.head(_KIND_BYTES)
        kind = compression_of(head) or stated or kind_of(path, head)
        if kind == "zip" and _is_workbook(content):
            return content, stated or "excel"
        if kind not in _DECOMPRESSORS:
            return content, kind
        content = Content(path, _decompressed(content, kind))
    raise DataError(f"{path}: the file is compressed more than {_MAX_LAYERS} times; unpack it first")


def _is_workbook(content: Content) -> bool:
    try:
        with zipfile.ZipFile(_opened(content)) as archive:
            names = set(archive.namelist())
    except _DAMAGES:
        raise _damaged(content.path, "zip") from None
    return any(name.startswith("xl/workbook.") for name in names) or {"mimetype", "content.xml"} <= names


def _decompressed(content: Content, kind: FileKind) -> bytes:
    try:
        return _DECOMPRESSORS[kind](content)
    except _DAMAGES:
        raise _damaged(content.path, kind) from None


def _damaged(path: Path, kind: str) -> DataError:
    return DataError(f"{path}: the {kind} file is damaged or cut off; get it again from its source")


def _opened(content: Content) -> Path | BytesIO:
    return BytesIO(content.source) if isinstance(content.source, bytes) else content.source


def _unzip(content: Content) -> bytes:
    with zipfile.ZipFile(_opened(content)) as archive:
        members = [info for info in archive.infolist() if not info.is_dir() and not _is_by_archiver(info.filename)]
        if len(members) != 1:
            listed = ", ".join(f"'{info.filename}'" for info in members[:10]) or "none"
            raise DataError(
                f"{content.path}: the zip file needs to hold exactly one table, and it holds {len(members)} files: "
                f"{listed}; unpack the one to use and name it under `data.path`"
            )
        if members[0].flag_bits & 1:
            raise DataError(
                f"{content.path}: the zip file is encrypted; unpack it and name the table under `data.path`"
            )
        return archive.read(members[0])


def _is_by_archiver(name: str) -> bool:
    return name.startswith(_ARCHIVER_FILES) or name.endswith(_ARCHIVER_FILES)


def _gunzip(content: Content) -> bytes:
    return gzip.decompress(content.bytes())


def _unzstd(content: Content) -> bytes:
    try:
        return zstd.decompress(content.bytes())
    except zstd.ZstdError:
        raise _damaged(content.path, "zstd") from None


_DECOMPRESSORS: dict[FileKind, Callable[[Content], bytes]] = {
    "bzip2": lambda content: bz2.decompress(content.bytes()),
    "gzip": _gunzip,
    "xz": lambda content: lzma.decompress(content.bytes()),
    "zip": _unzip,
    "zstd": _unzstd,
}
