"""Decompression of request bodies, up to the size that a request may have, and compression of responses."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping

import brotli
from backports import zstd

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from model_deployer.serving import memory
from model_deployer.serving.http.media_types import negotiate

#: Smaller responses are not compressed: they fit in one packet anyway.
MIN_COMPRESSED_BYTES = 1_400

#: The level for responses: higher ones take several times as long for a few percent.
_LEVEL = 1

#: The bytes that are decompressed at once.
_BLOCK_BYTES = 1024**2

#: The largest window of zstd over HTTP, 8 MiB (RFC 9659), and of Brotli, 16 MiB (RFC 7932): memory in addition to the
#: decompressed bytes.
_ZSTD_WINDOW_BITS = 23
_BROTLI_WINDOW_BITS = 24


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body, and reserve the memory of the result as it grows.

    Args:
        body: The compressed bytes; for gzip, one or more members (RFC 1952, section 2.2), and for zstd, frames.
        encoding: The value of Content-Encoding (RFC 9110, section 8.4).
        limit: The maximum number of decompressed bytes.

    Raises:
        UnsupportedMediaType: if the encoding is none of gzip, deflate, br and zstd.
        BodyTooLarge: if the body decompresses to more than ``limit`` bytes; it is not decompressed any further.
        MalformedBody: if the body is not valid data of this encoding, or is incomplete.
        Overloaded: if the requests in progress take all memory that they may.
    """
    encoding = encoding.strip().lower()
    if encoding not in _BLOCKS:
        raise UnsupportedMediaType(
            "send the body uncompressed, or with one of these as Content-Encoding: gzip, deflate, br or zstd"
        )
    content = bytearray()
    try:
        for block in _BLOCKS[encoding](body):
            if len(content) + len(block) > limit:
                raise BodyTooLarge.over(limit)
            memory.reserve(len(block))
            content += block
    except (zlib.error, gzip.BadGzipFile, brotli.error, zstd.ZstdError, EOFError):
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


def _brotli_blocks(body: bytes) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    with memory.borrow(1 << _BROTLI_WINDOW_BITS):
        block = stream.process(body, output_buffer_limit=_BLOCK_BYTES)
        while block:
            yield block
            block = b"" if stream.is_finished() else stream.process(b"", output_buffer_limit=_BLOCK_BYTES)
    if not stream.is_finished():
        raise EOFError


def _zstd_blocks(body: bytes) -> Iterator[bytes]:
    """Decompress one or more frames (RFC 8878)."""
    rest = body
    with memory.borrow(1 << _ZSTD_WINDOW_BITS):
        while True:
            stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_BITS})
            while not stream.eof:
                block = stream.decompress(rest, _BLOCK_BYTES)
                rest = b""
                if not block and stream.needs_input and not stream.eof:
                    raise EOFError
                yield block
            rest = stream.unused_data
            if not rest:
                return


#: The functions that decompress a body block by block, by Content-Encoding.
_BLOCKS: Mapping[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip_blocks,
    "x-gzip": _gzip_blocks,
    "deflate": _deflate_blocks,
    "br": _brotli_blocks,
    "zstd": _zstd_blocks,
}

#: The functions that compress a body, by Content-Encoding.
_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, _LEVEL, mtime=0),
    "zstd": lambda body: zstd.compress(body, _LEVEL),
    "br": lambda body: brotli.compress(body, quality=_LEVEL),
}


def accepted_encoding(accept_encoding: bytes) -> str | None:
    """Return the encoding that an Accept-Encoding header (RFC 9110, section 12.5.3) prefers; None for no compression.

    Returns:
        One of gzip, zstd and br.
    """
    if not accept_encoding:
        return None
    return negotiate(accept_encoding.lower().replace(b"x-gzip", b"gzip"), tuple(_COMPRESS))


def compress(body: bytes, encoding: str) -> bytes:
    """Return a body in an encoding that :func:`accepted_encoding` has returned."""
    return _COMPRESS[encoding](body)
