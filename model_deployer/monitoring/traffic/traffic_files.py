"""The Parquet files of a traffic store: a folder, or a prefix of an object store."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import polars as pl
from typing_extensions import override

from model_deployer.contract.errors import DataError
from model_deployer.contract.traffic import TableName
from model_deployer.system.extras import packages_of
from model_deployer.system.object_store import first_line

_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)

_DATE = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")
_VERSION = re.compile(r"/version=([^/]+)/")


class TrafficFiles(Protocol):
    """The files of a traffic store by their paths relative to it."""

    def paths(self, prefix: str, suffix: str = ".parquet") -> Iterator[str]:
        """Yield the paths of the files below a folder whose names have an ending; none if it does not exist.

        Raises:
            DataError: if the store cannot be read.
        """

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: if it cannot be read.
        """

    def write(self, path: str, content: bytes) -> None:
        """Write a file. Readers see all of it or nothing.

        Raises:
            DataError: if it cannot be written.
        """

    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            DataError: if it cannot be removed.
        """


class FolderFiles(TrafficFiles):
    """A folder."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder; name the traffic store of the servers (serving.capture)")
        self._root = root

    @override
    def paths(self, prefix: str, suffix: str = ".parquet") -> Iterator[str]:
        for file in sorted((self._root / prefix).rglob(f"*{suffix}")):
            yield file.relative_to(self._root).as_posix()

    @override
    def read(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except OSError as error:
            raise DataError(f"{self._root / path} cannot be read: {error.strerror}") from None

    @override
    def write(self, path: str, content: bytes) -> None:
        target = self._root / path
        unfinished = target.with_name(f".{target.name}.unfinished")  # readers take every .parquet file
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
            unfinished.replace(target)
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror}") from None

    @override
    def remove(self, path: str) -> None:
        try:
            (self._root / path).unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{self._root / path} cannot be removed: {error.strerror}") from None


class ObjectFiles(TrafficFiles):
    """A prefix of an object store, with the credentials of the environment."""

    def __init__(self, url: str) -> None:
        with packages_of("remote"):
            import obstore  # noqa: PLC0415 (an extra)
            from obstore.exceptions import BaseError  # noqa: PLC0415
            from obstore.store import from_url  # noqa: PLC0415
        self._obstore, self._url = obstore, url
        self._errors: tuple[type[Exception], ...] = (BaseError, OSError, ValueError)
        try:
            self._store = from_url(url)
        except self._errors as error:
            raise self._error(error) from None

    @override
    def paths(self, prefix: str, suffix: str = ".parquet") -> Iterator[str]:
        try:
            for batch in self._obstore.list(self._store, f"{prefix}/"):
                yield from [entry["path"] for entry in batch if entry["path"].endswith(suffix)]
        except self._errors as error:
            raise self._error(error) from None

    @override
    def read(self, path: str) -> bytes:
        try:
            return bytes(self._obstore.get(self._store, path).bytes())
        except self._errors as error:
            raise self._error(error) from None

    @override
    def write(self, path: str, content: bytes) -> None:
        try:
            self._obstore.put(self._store, path, content)
        except self._errors as error:
            raise self._error(error) from None

    @override
    def remove(self, path: str) -> None:
        try:
            self._obstore.delete(self._store, path)
        except self._errors as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> DataError:
        return DataError(f"{self._url}: {first_line(error)}; check the name, and the credentials in the environment")


def open_files(location: str) -> TrafficFiles:
    """Return the files of a traffic store: a folder, or a URL of an object store.

    Raises:
        DataError: if it cannot be opened.
        EnvironmentFault: if a package for object stores is not installed.
    """
    return ObjectFiles(location) if _URL.match(location) else FolderFiles(Path(location.removeprefix("file://")))


@dataclass(frozen=True)
class Window:
    """A part of the traffic.

    Attributes:
        since: The time of the first row; None for all. With a UTC offset.
        until: The time before which the rows are; None for all. With a UTC offset.
        version: The version that answered; None for all.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: str | None = None

    def has_file(self, path: str) -> bool:
        """Return whether a file can have rows of this part, by its path."""
        day, version = _DATE.search(path), _VERSION.search(path)
        first, last = _day(self.since) if self.since else "", _day(self.until) if self.until else "9999"
        return (day is None or first <= day[1] <= last) and self.version in (None, version and version[1])


#: All of the traffic.
EVERYTHING = Window()


def read_table(files: TrafficFiles, table: TableName, name: str, window: Window = EVERYTHING) -> pl.DataFrame:
    """Return the lines of a table of one model; without columns if there are none.

    Files of versions with other fields are joined: a field that a version does not have is null in its lines. The
    column ``version`` has the version, except in ``labels``.

    Args:
        files: The files of the store.
        table: The table.
        name: The name of the model.
        window: The part to read. Only whole files are left out, by their day and version.

    Raises:
        DataError: if a file cannot be read.
    """
    frames = [_read_file(files, path) for path in files.paths(f"{table}/model={name}") if window.has_file(path)]
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def _read_file(files: TrafficFiles, path: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(files.read(path)))
    except pl.exceptions.PolarsError:
        raise DataError(f"{path}: the file is damaged; remove it from the traffic store") from None
    version = _VERSION.search(path)
    return frame.with_columns(version=pl.lit(version[1])) if version else frame


def _day(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d}"
