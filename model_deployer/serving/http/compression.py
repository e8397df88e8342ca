"""Decompression of request bodies, up to the size that a request may have, and compression of responses."""

import gzip
import io
import zlib
from collections.abc import Iterator

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from model_deployer.serving import memory
from model_deployer.serving.http.media_types import negotiate

_GZIP = ("gzip", "x-gzip")

#: Smaller responses are not compressed: they fit in one packet anyway.
MIN_COMPRESSED_BYTES = 1_400

#: The level of gzip for responses: higher ones take several times as long for a few percent.
_LEVEL = 1

#: The bytes that are decompressed at once.
_BLOCK_BYTES = 1024**2


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body, and reserve the memory of the result as it grows.

    Args:
        body: The compressed bytes; for gzip, one or more members (RFC 1952, section 2.2).
        encoding: The value of Content-Encoding (RFC 9110, section 8.4).
        limit: The maximum number of decompressed bytes.

    Raises:
        UnsupportedMediaType: if the encoding is neither gzip nor deflate.
        BodyTooLarge: if the body decompresses to more than ``limit`` bytes; it is not decompressed any further.
        MalformedBody: if the body is not valid data of this encoding, or is incomplete.
        Overloaded: if the requests in progress take all memory that they may.
    """
    encoding = encoding.strip().lower()
    if encoding not in (*_GZIP, "deflate"):
        raise UnsupportedMediaType("send the body uncompressed, or with Content-Encoding: gzip or deflate")
    content = bytearray()
    try:
        for block in _gzip_blocks(body) if encoding in _GZIP else _deflate_blocks(body):
            if len(content) + len(block) > limit:
                raise BodyTooLarge.over(limit)
            memory.reserve(len(block))
            content += block
    except (zlib.error, gzip.BadGzipFile, EOFError):
        raise MalformedBody(f"the body is not valid {encoding} data, or is incomplete") from None
    return bytes(content)


def _gzip_blocks(body: bytes) -> Iterator[bytes]:
    if not body:
        raise EOFError
    file = gzip.GzipFile(fileobj=io.BytesIO(body))
    while block := file.read(_BLOCK_BYTES):
        yield block


def _deflate_blocks(body: bytes) -> Iterator[bytes]:
    """Decompress the zlib format (RFC 1950), which HTTP calls deflate, or deflate alone (RFC 1951).

    Some clients send the latter. The first two bytes of the zlib format are a multiple of 31.
    """
    is_zlib = len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    rest = body
    while not stream.eof:
        block = stream.decompress(rest, _BLOCK_BYTES)
        rest = stream.unconsumed_tail
        if not block and not rest and not stream.eof:
            raise EOFError
        yield block
    if stream.unused_data:
        raise EOFError


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Return whether an Accept-Encoding header (RFC 9110, section 12.5.3) allows gzip."""
    return negotiate(accept_encoding.lower().replace(b"x-gzip", b"gzip"), ("gzip",)) is not None


def compress(body: bytes) -> bytes:
    """Return a body as gzip."""
    return gzip.compress(body, _LEVEL, mtime=0)
