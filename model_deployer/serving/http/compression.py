"""Decompression of request bodies, up to the size that a request may have."""

import zlib

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType

#: zlib's wbits for each format: gzip is RFC 1952; deflate in HTTP means the zlib format, RFC 1950.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body.

    Args:
        body: The compressed bytes.
        encoding: The value of Content-Encoding (RFC 9110, section 8.4).
        limit: The maximum number of decompressed bytes.

    Raises:
        UnsupportedMediaType: if the encoding is neither gzip nor deflate.
        BodyTooLarge: if the body decompresses to more than ``limit`` bytes; it is not decompressed any further.
        MalformedBody: if the body is not valid data of this encoding, or is incomplete.
    """
    encoding = encoding.strip().lower()
    if encoding not in _WINDOW_BITS:
        raise UnsupportedMediaType("send the body uncompressed, or with Content-Encoding: gzip or deflate")
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error:
        raise MalformedBody(f"the body is not valid {encoding} data") from None
    if len(content) > limit:
        raise BodyTooLarge.over(limit)
    if not stream.eof or stream.unused_data:
        raise MalformedBody(
            f"the {encoding} data is incomplete, or other bytes follow it; send one complete {encoding} stream"
        )
    return content
