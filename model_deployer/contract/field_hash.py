"""The keyed hash of a captured value: it shows that two values are equal, and with the key, which rows have a value.

The key of a field is derived from a secret (HMAC-SHA256, RFC 2104) and changes each month, so that months cannot be
joined.
"""

import hashlib
import hmac
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

#: The number of bytes of a hash: two of a billion values are equal with a probability below 1e-20.
_HASH_BYTES = 16


def field_key(secret: bytes, month: datetime, field: str) -> bytes:
    """Return the key of a field in the month of a time, in UTC."""
    return hmac.digest(secret, f"{month:%Y-%m}/{field}".encode(), hashlib.sha256)


def hash_value(key: bytes, value: Sequence[Any]) -> str | None:
    """Return the hash of a value as the graph gets it, one text or the numbers of a row; None for a missing value."""
    if all(part == "" or part is None or (isinstance(part, float) and math.isnan(part)) for part in value):
        return None
    return hmac.digest(key, repr(list(value)).encode(), hashlib.sha256)[:_HASH_BYTES].hex()


def secret_id(secret: bytes) -> str:
    """Return the name of a secret, which does not reveal it: captured rows say which one their hashes come from."""
    return hmac.digest(secret, b"the name of the secret", hashlib.sha256)[:4].hex()
