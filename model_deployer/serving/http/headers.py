"""The headers of a request: its id, trace, media types, length and time limit."""

import hashlib
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

#: The media types of responses, in the order of preference.
_RESPONSE_MEDIA_TYPES = (formats.JSON, *sorted(TABLE_MEDIA_TYPES))

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")

#: A path prefix: segments of unreserved characters (RFC 3986).
_PREFIX = re.compile(rb"(/[A-Za-z0-9._~-]+)+")
_MAX_PREFIX_CHARACTERS = 200
#: The digits of the largest Content-Length, 2**63 - 1.
_MAX_LENGTH_DIGITS = 19

#: 64 random bits of this process, and a counter: unique ids without a system call per request.
_PROCESS_ID = secrets.token_hex(8).encode()
_COUNTER = itertools.count()


def request_id(headers: Headers) -> bytes:
    """Return the client's X-Request-ID if it is short and printable, else a new id."""
    value = headers.get(b"x-request-id")
    if value and len(value) <= 128 and value.isascii() and value.decode().isprintable():
        return value
    return b"%s%016x" % (_PROCESS_ID, next(_COUNTER))


def trace_id(headers: Headers) -> str:
    """Return the trace id of a request's traceparent (W3C Trace Context); empty without a valid one."""
    match = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    return match[1].decode() if match else ""


def media_type(headers: Headers, pairs: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the media type of the body (RFC 9110, section 8.3): JSON, or one of the table formats.

    Args:
        headers: The headers by name.
        pairs: The headers as they were sent; a name may occur more than once.

    Raises:
        UnsupportedMediaType: if Content-Type is another media type, or was sent twice.
    """
    value = headers.get(b"content-type", JSON)
    if value == JSON and len(headers) == len(pairs):
        return formats.JSON
    if sum(name == b"content-type" for name, _ in pairs) > 1:
        raise UnsupportedMediaType("send one Content-Type")
    name = parse_media_type(value).name
    if name == formats.JSON or name.endswith("+json"):
        return formats.JSON
    if name in TABLE_MEDIA_TYPES:
        return name
    raise UnsupportedMediaType(f"send the rows as {formats.JSON}, or as {', '.join(sorted(TABLE_MEDIA_TYPES))}")


def accepted_media_type(headers: Headers) -> str:
    """Return the media type of the response: the one that Accept prefers, or JSON if it accepts none of them."""
    value = headers.get(b"accept")
    if value is None or value in (b"*/*", JSON):
        return formats.JSON
    return negotiate(value, _RESPONSE_MEDIA_TYPES) or formats.JSON


def path_prefix(headers: Headers) -> str:
    """Return the path under which a proxy serves this service: the value of X-Forwarded-Prefix, if it is a path.

    Returns:
        The prefix, without a slash at its end; empty without the header.
    """
    value = headers.get(b"x-forwarded-prefix", b"").rstrip(b"/")
    return value.decode() if len(value) <= _MAX_PREFIX_CHARACTERS and _PREFIX.fullmatch(value) else ""


def entity_tag(body: bytes) -> bytes:
    """Return the weak entity tag of a body (RFC 9110, section 8.8.3), which is the same if it is sent as gzip."""
    return b'W/"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()


def matches_tag(headers: Headers, tag: bytes) -> bool:
    """Return whether If-None-Match (RFC 9110, section 13.1.2) names a weak entity tag."""
    names = [name.strip() for name in headers.get(b"if-none-match", b"").split(b",")]
    return b"*" in names or tag in names or tag.removeprefix(b"W/") in names


def content_length(headers: Headers) -> int | None:
    """Return the length of the body that Content-Length states; None without a valid one."""
    value = headers.get(b"content-length", b"")
    return int(value) if value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS else None


def possible_bytes(headers: Headers, limit: int) -> int:
    """Return the size that a body may have: that of Content-Length, or the limit if it is compressed or chunked."""
    length = content_length(headers)
    return limit if length is None or b"content-encoding" in headers else length


def check_length(headers: Headers, limit: int) -> None:
    """Check Content-Length, so that a body that is too large is not even received.

    Raises:
        BodyTooLarge: if Content-Length is greater than ``limit``.
    """
    value = headers.get(b"content-length", b"")
    if len(value) > _MAX_LENGTH_DIGITS or (value.isdigit() and int(value) > limit):
        raise BodyTooLarge.over(limit)


def timeout_seconds(headers: Headers, max_seconds: float) -> float:
    """Return the time that the client allows in X-Request-Timeout-Ms, at most ``max_seconds``, which is the default.

    Raises:
        InvalidHeader: if the header is not a whole number of milliseconds, from 1 to 999999999.
    """
    value = headers.get(b"x-request-timeout-ms")
    if value is None:
        return max_seconds
    if not value.isdigit() or len(value) > 9 or int(value) == 0:
        raise InvalidHeader("X-Request-Timeout-Ms: expected a whole number of milliseconds, such as 500")
    return min(max_seconds, int(value) / 1000)
