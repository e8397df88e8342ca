"""API keys, which authorize requests, and their names, which the log shows."""

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.settings import API_KEYS

#: The minimum length of a key: a shorter one can be guessed.
MIN_KEY_CHARACTERS = 16

#: The number of hexadecimal digits of a key's SHA-256 that name a key without a name.
_NAME_DIGITS = 8

#: An entry with a name: `shop: KEY`. The space makes the difference to a key that has a colon itself.
_NAMED = re.compile(r"([\w.-]{1,64}):[ \t]+(\S+)", re.ASCII)

#: The interval between two checks of whether the file has changed.
_CHECK_INTERVAL_SECONDS = 1.0

logger = logging.getLogger("model_deployer")


class ApiKeys:
    """The keys that are valid now: several at once, so that callers can change from an old key to a new one.

    The file is read again when it changes, and keys that were removed from it are refused. If the file is deleted,
    empty or unreadable, every key is refused and an error is logged. Only hashes are kept, and a key is compared with
    all of them in constant time.

    Args:
        file: The file; None if the keys never change.
        names: The names of the keys by their SHA-256.
    """

    def __init__(self, file: Path | None, names: Mapping[bytes, str]) -> None:
        self._file = file
        self._names = names
        self._version = _version(file)
        self._last_check = time.monotonic()

    def allow(self, headers: dict[bytes, bytes]) -> bool:
        """Return whether a request has a valid key.

        The key is sent as ``Authorization: Bearer KEY`` (RFC 6750) or ``X-API-Key: KEY``.
        """
        return self.name_of(headers) is not None

    def name_of(self, headers: dict[bytes, bytes]) -> str | None:
        """Return the name of a request's key; None without a valid key.

        A key that the operator gave no name has the first digits of its SHA-256 as its name: ``sha256:1b2c3d4e``.
        """
        self._refresh()
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        digest = hashlib.sha256(key).digest()
        # Compare with all keys: an early exit would reveal which key matched by its time.
        names = [name for valid, name in self._names.items() if hmac.compare_digest(digest, valid)]
        return names[0] if names else None

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._last_check < _CHECK_INTERVAL_SECONDS:
            return
        self._last_check = now
        if (version := _version(self._file)) == self._version:
            return
        self._version = version
        try:
            keys = _read(self._file)
        except (OSError, UnicodeDecodeError):
            keys = []
        usable = [entry for entry in keys if len(entry.key) >= MIN_KEY_CHARACTERS]
        self._names = _names(usable)
        counts = {"keys": len(usable), "short_keys": len(keys) - len(usable)}
        if not usable:
            logger.error("the API key file has no usable key; every request that needs a key is refused", extra=counts)
        elif len(usable) < len(keys):
            logger.error("API keys reloaded; keys that are too short are refused", extra=counts)
        else:
            logger.info("API keys reloaded", extra=counts)


def load(file: Path | None) -> ApiKeys | None:
    """Load the keys of ``file``, one per line; without a file, those of DEPLOYER_API_KEYS, separated by commas.

    An entry is a key, or its name and the key: ``shop: KEY``. Several keys may have the same name. Empty lines and
    lines that begin with # are ignored, also if they are indented.

    Returns:
        The keys; None if there is neither a file nor the variable: then no key is required.

    Raises:
        UsageError: if the file cannot be read, if there is no key in the file or the variable, or if a key is too
            short.
    """
    if file is not None:
        try:
            return ApiKeys(file, _names(_check(_read(file), str(file))))
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{file}: the API key file cannot be read; check serving.api_key_file") from None
    variable = os.environ.get(API_KEYS)
    if variable is None:
        return None
    entries = [_parse(entry.strip()) for entry in variable.split(",") if entry.strip()]
    return ApiKeys(None, _names(_check(entries, API_KEYS)))


class _Entry(NamedTuple):
    """A key, and its name or None."""

    name: str | None
    key: str


def _read(file: Path) -> list[_Entry]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    return [_parse(line) for line in lines if line and not line.startswith("#")]


def _parse(text: str) -> _Entry:
    match = _NAMED.fullmatch(text)
    return _Entry(match[1], match[2]) if match else _Entry(None, text)


def _check(keys: Sequence[_Entry], source: str) -> Sequence[_Entry]:
    if not keys:
        raise UsageError(f"{source}: there is no API key; write one of at least {MIN_KEY_CHARACTERS} characters")
    if any(len(entry.key) < MIN_KEY_CHARACTERS for entry in keys):
        raise UsageError(
            f"{source}: an API key is too short; use at least {MIN_KEY_CHARACTERS} characters: openssl rand -hex 32"
        )
    return keys


def _names(keys: Sequence[_Entry]) -> Mapping[bytes, str]:
    """Return the names of keys by their SHA-256."""
    digests = [hashlib.sha256(entry.key.encode()).digest() for entry in keys]
    return {
        digest: entry.name or f"sha256:{digest.hex()[:_NAME_DIGITS]}"
        for digest, entry in zip(digests, keys, strict=True)
    }


def _version(file: Path | None) -> tuple[int, int, int] | None:
    """Return what changes when a file does: its inode, modification time and size; None without a file."""
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
