"""What the headers of a request say."""

import itertools
import re
import secrets
from collections.abc import Sequence

from model_deployer.contract.errors import BodyTooLarge, InvalidHeader, UnsupportedMediaType
from model_deployer.serving.http.media_types import negotiate, parse_media_type
from model_deployer.serving.rows import formats

Headers = dict[bytes, bytes]

JSON = formats.JSON.encode()

#: The formats of tables.
TABLE_MEDIA_TYPES = frozenset({formats.STREAM, formats.FILE, formats.PARQUET})

#: What answers are written as, the favourite first.
_WRITTEN = (formats.JSON, *sorted(TABLE_MEDIA_TYPES))

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")

#: 64 random bits of this process, and a count: ids that no other process makes, without asking the system each time.
_PROCESS = secrets.token_hex(8).encode()
_COUNT = itertools.count()


def request_id(headers: Headers) -> bytes:
    """The client's own X-Request-ID where it is short and printable, else a new one."""
    given = headers.get(b"x-request-id")
    if given and len(given) <= 128 and given.isascii() and given.decode().isprintable():
        return given
    return b"%s%016x" % (_PROCESS, next(_COUNT))


def trace_id(headers: Headers) -> str:
    """The trace that a request belongs to, from its traceparent (W3C Trace Context); empty where there is none."""
    found = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    return found[1].decode() if found else ""


def media_type(headers: Headers, pairs: Sequence[tuple[bytes, bytes]]) -> str:
    """What the body is (RFC 9110, section 8.3): JSON, or one of Arrow's formats.

    Raises:
        UnsupportedMediaType: It is announced as something else, or twice.
    """
    given = headers.get(b"content-type", JSON)
    if given == JSON and len(headers) == len(pairs):
        return formats.JSON
    if sum(name == b"content-type" for name, _ in pairs) > 1:
        raise UnsupportedMediaType("send one Content-Type")
    kind = parse_media_type(given).name
    if kind == formats.JSON or kind.endswith("+json"):
        return formats.JSON
    if kind in TABLE_MEDIA_TYPES:
        return kind
    raise UnsupportedMediaType(f"send the rows as {formats.JSON}, or as {', '.join(sorted(TABLE_MEDIA_TYPES))}")


def accepted_media_type(headers: Headers) -> str:
    """The format of the answer: the one that Accept prefers, or JSON where it names none that the service writes."""
    given = headers.get(b"accept")
    if given is None or given in (b"*/*", JSON):
        return formats.JSON
    return negotiate(given, _WRITTEN) or formats.JSON


def check_length(headers: Headers, limit: int) -> None:
    """Raise BodyTooLarge where the body is announced as one, so that nobody waits for it."""
    announced = headers.get(b"content-length", b"")
    if len(announced) > 19 or (announced.isdigit() and int(announced) > limit):
        raise BodyTooLarge.over(limit)


def timeout_seconds(headers: Headers, most: float) -> float:
    """The time that the client allows in X-Request-Timeout-Ms, at most ``most``; without the header, ``most``.

    Raises:
        InvalidHeader: The header is no whole number of milliseconds.
    """
    given = headers.get(b"x-request-timeout-ms")
    if given is None:
        return most
    if not given.isdigit() or len(given) > 9 or int(given) == 0:
        raise InvalidHeader("X-Request-Timeout-Ms: expected a whole number of milliseconds, such as 500")
    return min(most, int(given) / 1000)
