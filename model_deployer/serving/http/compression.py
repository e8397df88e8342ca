"""Compressed bodies, inflated no further than a request may be long."""

import zlib

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType

#: What zlib calls the formats: gzip is RFC 1952, deflate over HTTP is zlib's own, RFC 1950.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body before ``encoding``, a Content-Encoding (RFC 9110, section 8.4).

    Raises:
        UnsupportedMediaType: The encoding is another one than gzip and deflate.
        BodyTooLarge: There is more than ``limit`` bytes in it; no more than these were made of it.
        MalformedBody: It is no such data, or is cut off.
    """
    encoding = encoding.strip().lower()
    if encoding not in _WINDOW_BITS:
        raise UnsupportedMediaType("send the body uncompressed, or with Content-Encoding: gzip or deflate")
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error:
        raise MalformedBody(f"the body is no {encoding} data") from None
    if len(inflated) > limit:
        raise BodyTooLarge.over(limit)
    if not stream.eof or stream.unused_data:
        raise MalformedBody(f"the {encoding} data is cut off, or something follows it; send one piece")
    return inflated
