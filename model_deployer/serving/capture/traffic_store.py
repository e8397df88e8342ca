"""The places that finished Parquet files go to: a folder, or a prefix of an object store."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from typing_extensions import override

from model_deployer.contract.errors import UsageError
from model_deployer.system.extras import packages_of
from model_deployer.system.object_store import SCHEMES, first_line

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class StoreFault(Exception):
    """The store cannot be reached, is full, or refuses; the text is the reason."""


class TrafficStore(Protocol):
    """A place for files by their paths relative to it, with ``/`` between folders."""

    def put(self, path: str, file: Path) -> None:
        """Store a local file under a path, also over another one. Readers see all of it or nothing.

        Raises:
            StoreFault: if it cannot be stored.
        """

    def files(self, path: str) -> Iterator[str]:
        """Yield the paths of the files in a folder and in those in it; none if it does not exist.

        Raises:
            StoreFault: if the store cannot be read.
        """

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            StoreFault: if it cannot be read.
        """

    def remove_file(self, path: str) -> None:
        """Remove a file.

        Raises:
            StoreFault: if it cannot be removed.
        """

    def folders(self, path: str) -> Iterator[str]:
        """Yield the paths of the folders directly in a folder; none if it does not exist.

        Raises:
            StoreFault: if the store cannot be read.
        """

    def remove(self, path: str) -> None:
        """Remove a folder with all its files.

        Raises:
            StoreFault: if it cannot be removed.
        """


class FolderStore(TrafficStore):
    """A folder of this machine, or of a shared file system.

    Args:
        root: The folder; it is made when the first file comes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @override
    def put(self, path: str, file: Path) -> None:
        target = self.root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = target.with_name(f".{target.name}.unfinished")
            copy.unlink(missing_ok=True)
            try:
                copy.hardlink_to(file)
            except OSError:  # on another device, or not on this file system
                shutil.copyfile(file, copy)
            copy.replace(target)
            copy.unlink(missing_ok=True)  # it stays where both were links to the same file
        except OSError as error:
            raise StoreFault(error.strerror or type(error).__name__) from None

    @override
    def files(self, path: str) -> Iterator[str]:
        for folder, _, names in os.walk(self.root / path):
            yield from [(Path(folder) / name).relative_to(self.root).as_posix() for name in names if name[0] != "."]

    @override
    def read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise StoreFault(error.strerror or type(error).__name__) from None

    @override
    def remove_file(self, path: str) -> None:
        try:
            (self.root / path).unlink(missing_ok=True)
        except OSError as error:
            raise StoreFault(error.strerror or type(error).__name__) from None

    @override
    def folders(self, path: str) -> Iterator[str]:
        try:
            with os.scandir(self.root / path) as entries:
                yield from [f"{path}/{entry.name}" for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreFault(error.strerror or type(error).__name__) from None

    @override
    def remove(self, path: str) -> None:
        try:
            shutil.rmtree(self.root / path)
        except FileNotFoundError:
            return  # another worker removed it
        except OSError as error:
            raise StoreFault(error.strerror or type(error).__name__) from None


class ObjectStore(TrafficStore):
    """A prefix of a bucket.

    Args:
        url: Its URL, such as ``s3://bucket/prefix``. The credentials are those of the environment.

    Raises:
        EnvironmentFault: if the extra ``remote`` is not installed.
        UsageError: if the URL cannot be used.
    """

    def __init__(self, url: str) -> None:
        with packages_of("remote"):
            import obstore  # noqa: PLC0415 (an extra)
            from obstore.exceptions import BaseError  # noqa: PLC0415
            from obstore.store import from_url  # noqa: PLC0415
        self._obstore = obstore
        self._errors: tuple[type[Exception], ...] = (BaseError, OSError)
        try:
            self._store: Any = from_url(url)
        except (BaseError, ValueError) as error:
            raise UsageError(f"serving.capture: the URL cannot be used: {first_line(error)}") from None

    @override
    def put(self, path: str, file: Path) -> None:
        try:
            self._obstore.put(self._store, path, file)
        except self._errors as error:
            raise StoreFault(first_line(error)) from None

    @override
    def files(self, path: str) -> Iterator[str]:
        try:
            for batch in self._obstore.list(self._store, f"{path}/"):
                yield from [entry["path"] for entry in batch]
        except self._errors as error:
            raise StoreFault(first_line(error)) from None

    @override
    def read(self, path: str) -> bytes:
        try:
            return bytes(self._obstore.get(self._store, path).bytes())
        except self._errors as error:
            raise StoreFault(first_line(error)) from None

    @override
    def remove_file(self, path: str) -> None:
        try:
            self._obstore.delete(self._store, path)
        except self._errors as error:
            raise StoreFault(first_line(error)) from None

    @override
    def folders(self, path: str) -> Iterator[str]:
        try:
            yield from self._obstore.list_with_delimiter(self._store, path)["common_prefixes"]
        except self._errors as error:
            raise StoreFault(first_line(error)) from None

    @override
    def remove(self, path: str) -> None:
        try:
            for batch in self._obstore.list(self._store, f"{path}/"):
                self._obstore.delete(self._store, [entry["path"] for entry in batch])
        except self._errors as error:
            raise StoreFault(first_line(error)) from None


def open_store(location: str) -> TrafficStore:
    """Return the store at a location: a folder, or a URL of an object store.

    Raises:
        EnvironmentFault, UsageError: as :class:`ObjectStore`; UsageError also for a URL of another kind.
    """
    if not _URL.match(location):
        return FolderStore(Path(location))
    scheme = urlsplit(location).scheme.lower()
    if scheme == "file":
        return FolderStore(Path(urlsplit(location).path))
    if scheme not in SCHEMES:
        raise UsageError(
            f"serving.capture: expected a folder, or a URL that begins with s3://, gs:// or az://, not {scheme}://"
        )
    return ObjectStore(location)
