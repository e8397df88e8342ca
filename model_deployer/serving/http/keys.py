"""API keys, which authorize requests."""

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.settings import API_KEYS

#: The minimum length of a key: a shorter one can be guessed.
MIN_KEY_CHARACTERS = 16

#: The interval between two checks of whether the file has changed.
_CHECK_INTERVAL_SECONDS = 1.0

logger = logging.getLogger("model_deployer")


class ApiKeys:
    """The keys that are valid now: several at once, so that callers can change from an old key to a new one.

    The file is read again when it changes. A key that is no longer in it is refused: if the file is deleted, empty or
    unreadable, every key is, and an error is logged. Only hashes are kept, and a key is compared with all of them in
    constant time.
    """

    def __init__(self, file: Path | None, digests: frozenset[bytes]) -> None:
        self._file = file
        self._digests = digests
        self._version = _version(file)
        self._last_check = time.monotonic()

    def allow(self, headers: dict[bytes, bytes]) -> bool:
        """Return whether a request has a valid key.

        The key is sent as ``Authorization: Bearer KEY`` (RFC 6750) or ``X-API-Key: KEY``.
        """
        self._refresh()
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        digest = hashlib.sha256(key).digest()
        # Compare with all keys: an early exit would reveal which key matched by its time.
        return sum(hmac.compare_digest(digest, valid) for valid in self._digests) > 0

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
        usable = [key for key in keys if len(key) >= MIN_KEY_CHARACTERS]
        self._digests = frozenset(map(_digest, usable))
        counts = {"keys": len(usable), "short_keys": len(keys) - len(usable)}
        if not usable:
            logger.error("the API key file has no usable key; every request that needs a key is refused", extra=counts)
        elif len(usable) < len(keys):
            logger.error("API keys reloaded; keys that are too short are refused", extra=counts)
        else:
            logger.info("API keys reloaded", extra=counts)


def load(file: Path | None) -> ApiKeys | None:
    """Load the keys of ``file``, one per line; without a file, those of the variable DEPLOYER_API_KEYS.

    Empty lines and lines that begin with # are ignored, also if they are indented.

    Returns:
        The keys; None if there is neither a file nor the variable: then no key is required.

    Raises:
        UsageError: if the file cannot be read, if there is no key in the file or the variable, or if a key is too
            short.
    """
    if file is not None:
        try:
            return ApiKeys(file, _digests(_read(file), str(file)))
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{file}: the API key file cannot be read; check serving.api_key_file") from None
    variable = os.environ.get(API_KEYS)
    if variable is None:
        return None
    return ApiKeys(None, _digests([key.strip() for key in variable.split(",") if key.strip()], API_KEYS))


def _read(file: Path) -> list[str]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _digests(keys: Sequence[str], source: str) -> frozenset[bytes]:
    if not keys:
        raise UsageError(f"{source}: there is no API key; write one of at least {MIN_KEY_CHARACTERS} characters")
    if any(len(key) < MIN_KEY_CHARACTERS for key in keys):
        raise UsageError(
            f"{source}: an API key is too short; use at least {MIN_KEY_CHARACTERS} characters: openssl rand -hex 32"
        )
    return frozenset(map(_digest, keys))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _version(file: Path | None) -> tuple[int, int, int] | None:
    """Return what changes when a file does: its inode, modification time and size; None without a file."""
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
