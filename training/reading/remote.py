"""Copies of files on web servers and in object stores, for as long as the process lives."""

import glob
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.system.extras import packages_of
from model_deployer.system.object_store import SCHEMES, first_line
from model_deployer.training.reading.environment import with_variables
from model_deployer.training.spec import Spec

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

#: What the environment needs to hold for a store, by the first two letters of its URL.
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true if it is public",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true if it is public",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true if it is public",
}

#: The address at which machines of all clouds get credentials.
_METADATA_SERVER = "169.254.169.254"

_TIMEOUT = httpx.Timeout(60, connect=15)

_numbers = count()


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return bool(_URL.match(path))


def copy_files(url: str, key: str, spec: Spec, is_table: Callable[[PurePosixPath], bool]) -> str:
    """Copy the files of a URL to this machine, and return the path of the copies: a file, a folder or a glob.

    Args:
        url: The URL.
        key: The key under ``data`` that holds it, for messages.
        spec: The model.yaml.
        is_table: Whether a file of a folder is a table, by its name.

    Raises:
        DataError: if the server cannot be reached, or it does not hold the file.
        SpecError: if the URL is of no known kind, or names an environment variable that is not set.
        EnvironmentFault: if the URL is that of an object store, and the extra ``remote`` is not installed.
    """
    location = spec.location("data", key)
    url = with_variables(url, key, spec)
    scheme = url.partition("://")[0].lower()
    folder = Path(_downloads().name) / str(next(_numbers)) / scheme
    if scheme in ("http", "https"):
        return str(_copy_page(url, folder, location))
    if scheme in SCHEMES:
        return _copy_objects(url, folder, location, is_table)
    raise SpecError(f"{location}: expected a path, or a URL that begins with https://, s3://, gs:// or az://")


@contextmanager
def urls_in_errors() -> Iterator[None]:
    """Within the block, name the files of errors by their URLs, not by their copies.

    Raises:
        DataError: the error of the block.
    """
    try:
        yield
    except DataError as error:
        folder = re.escape(_downloads().name)
        raise DataError(re.sub(rf"{folder}/\d+/(\w+)/", r"\1://", str(error))) from None


@cache
def _downloads() -> "tempfile.TemporaryDirectory[str]":
    """Return the folder of all copies, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="model-deployer-")


def _copy_page(url: str, folder: Path, location: str) -> Path:
    parts = urlsplit(url)
    target = _place(folder / str(parts.hostname), PurePosixPath(unquote(parts.path)).name or "table", location)
    shown = f"{parts.scheme}://{parts.hostname}{parts.path}"
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT) as response:
            if not response.is_success:
                raise DataError(f"{location}: {shown} was answered with status {response.status_code}; check the URL")
            _write(target, response.iter_bytes())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"{location}: {shown} cannot be read: {str(error) or type(error).__name__}") from None
    return target


def _copy_objects(url: str, folder: Path, location: str, is_table: Callable[[PurePosixPath], bool]) -> str:
    with packages_of("remote"):
        import obstore  # noqa: PLC0415
        from obstore.exceptions import BaseError  # noqa: PLC0415
        from obstore.store import from_url  # noqa: PLC0415
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    try:
        store = from_url(f"{scheme}://{bucket}")
        for name in _keys(store, key, is_table):
            _write(_place(folder / bucket, name, location), obstore.get(store, name).stream())
    except (BaseError, OSError, ValueError) as error:
        raise DataError(f"{location}: {scheme}://{bucket} cannot be read: {_reason(error, scheme)}") from None
    return str(folder / bucket / key)


def _reason(error: Exception, scheme: str) -> str:
    """Return the message of a store, or what it means."""
    message = first_line(error)
    if _METADATA_SERVER in message:  # asked for credentials when the environment holds none
        return f"the environment holds no credentials; set {_CREDENTIALS.get(scheme[:2], _CREDENTIALS['az'])}"
    return f"{message}; check the name, and the credentials in the environment"


def _keys(store: Any, key: str, is_table: Callable[[PurePosixPath], bool]) -> list[str]:
    """Return the names of the objects that a key, a glob of keys, or a folder stands for."""
    size = _size(store, key)
    if size:
        return [key]
    prefix = str(PurePosixPath(*_fixed_parts(key))).removeprefix(".")
    names = _names(store, prefix)
    if glob.has_magic(key):
        return [name for name in names if _matches(name, key)]
    tables = [name for name in names if is_table(PurePosixPath(name).relative_to(prefix or "."))]
    return tables or ([] if size is None else [key])


def _size(store: Any, key: str) -> int | None:
    """Return the size of an object, 0 also for a folder of some stores; None if there is none."""
    import obstore  # noqa: PLC0415

    if not key.strip("/") or glob.has_magic(key):
        return None
    try:
        return int(obstore.head(store, key)["size"])
    except (FileNotFoundError, ValueError):
        return None


def _names(store: Any, prefix: str) -> list[str]:
    """Return the names of the objects below a folder, without the empty ones that tools make for its folders."""
    import obstore  # noqa: PLC0415

    items = [item for batch in obstore.list(store, prefix=prefix) for item in batch]
    folders = {str(parent) for item in items for parent in PurePosixPath(item["path"]).parents}
    return [
        item["path"]
        for item in items
        if item["size"] or (item["path"] not in folders and PurePosixPath(item["path"]).suffix)
    ]


def _matches(name: str, pattern: str) -> bool:
    is_deep = "**" in pattern or name.count("/") == pattern.count("/")
    return is_deep and fnmatchcase(name, pattern.replace("**/", "*"))


def _fixed_parts(key: str) -> Iterator[str]:
    for part in PurePosixPath(key).parts:
        if glob.has_magic(part):
            return
        yield part


def _place(folder: Path, name: str, location: str) -> Path:
    """Return the path of a copy.

    Raises:
        DataError: if the name would leave the folder.
    """
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise DataError(f"{location}: the name of a file must not contain '..'")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, blocks: Iterable[Any]) -> None:
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
