"""API keys: who may ask for predictions."""

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.settings import API_KEYS

#: A shorter key can be guessed.
MIN_KEY_CHARACTERS = 16

#: Seconds until a changed file is noticed.
_FRESH = 1.0

logger = logging.getLogger("model_deployer")


class ApiKeys:
    """The keys that are valid now; several at once, so that callers can change from an old one to a new one.

    A file is read again when it changes. Where it cannot be used any more, the keys of before stay valid, and the log
    says so. Only hashes are kept, and a key is compared with all of them in a time that tells nothing.
    """

    def __init__(self, file: Path | None, digests: frozenset[bytes]) -> None:
        self._file = file
        self._digests = digests
        self._state = _state(file)
        self._looked = time.monotonic()

    def allow(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request carries a key, as ``Authorization: Bearer KEY`` (RFC 6750) or ``X-API-Key: KEY``."""
        self._refresh()
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        digest = hashlib.sha256(given).digest()
        # No early end: the time must not tell which of the keys was nearly right.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked < _FRESH:
            return
        self._looked = now
        if (state := _state(self._file)) == self._state:
            return
        self._state = state
        try:
            self._digests = _digests(_lines(self._file), str(self._file))
            logger.info("API keys read again", extra={"keys": len(self._digests)})
        except (UsageError, OSError, UnicodeDecodeError):
            logger.error("the file of API keys cannot be used; the keys of before stay valid")


def load(file: Path | None) -> ApiKeys | None:
    """The keys of ``file``, one a line, else those of DEPLOYER_API_KEYS.

    Empty lines, and lines that begin with #, do not count.

    Returns:
        None where neither is given: everybody is answered.

    Raises:
        UsageError: The file cannot be read, or it or the variable holds no key, or one that is too short.
    """
    if file is not None:
        try:
            return ApiKeys(file, _digests(_lines(file), str(file)))
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{file}: the file of API keys cannot be read; see serving.api_key_file") from None
    if variable := os.environ.get(API_KEYS):
        return ApiKeys(None, _digests((key.strip() for key in variable.split(",")), API_KEYS))
    return None


def _lines(file: Path) -> Iterable[str]:
    return (line.strip() for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))


def _digests(keys: Iterable[str], source: str) -> frozenset[bytes]:
    found = [key for key in keys if key]
    if not found:
        raise UsageError(f"{source}: there is no API key; write one of at least {MIN_KEY_CHARACTERS} characters")
    if any(len(key) < MIN_KEY_CHARACTERS for key in found):
        raise UsageError(
            f"{source}: an API key is too short; use at least {MIN_KEY_CHARACTERS} characters: openssl rand -hex 32"
        )
    return frozenset(hashlib.sha256(key.encode()).digest() for key in found)


def _state(file: Path | None) -> tuple[int, int] | None:
    """What changes when a file does."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None
