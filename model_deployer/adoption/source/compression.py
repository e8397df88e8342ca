"""The compressions that joblib and gzip put around a pickle."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.system.extras import packages_of

#: What a file may take when it is decompressed, in bytes.
MAX_DECOMPRESSED_BYTES = 4 << 30

#: The header of compressed files of joblib before 0.10: this prefix, and the length as a hexadecimal number.
_OLD_PREFIX, _OLD_HEADER_BYTES = b"ZF", 21


def decompressed(content: bytes) -> bytes:
    """Return the bytes within zlib, gzip, bz2, xz, lzma and lz4; other bytes are returned as they are.

    Raises:
        UnreadableSource: if the file is truncated, or takes more than ``MAX_DECOMPRESSED_BYTES``.
    """
    if content.startswith(_OLD_PREFIX):
        return _all_members(zlib.decompressobj, content[_OLD_HEADER_BYTES:].removeprefix(b" "))
    for prefix, start in _DECOMPRESSORS.items():
        if content.startswith(prefix):
            return _all_members(start, content)
    return content


def _lz4() -> Any:
    with packages_of("adopt"):
        import lz4.frame  # noqa: PLC0415 (few files need it)

    return lz4.frame.LZ4FrameDecompressor()


_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"\x78": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00\x00": lzma.LZMADecompressor,
    b"\x04\x22\x4d\x18": _lz4,
}


def _all_members(start: Callable[[], Any], content: bytes) -> bytes:
    """Decompress streams that follow each other in one file, as gzip appends them."""
    parts, left, first = [], MAX_DECOMPRESSED_BYTES, content[:2]
    while content:
        decompressor = start()
        try:
            parts.append(decompressor.decompress(content, max_length=left + 1))
        except (zlib.error, OSError, EOFError, RuntimeError, lzma.LZMAError) as error:
            raise UnreadableSource("the compressed file is damaged; hand over the original file") from error
        left -= len(parts[-1])
        if left < 0:
            raise UnreadableSource(f"the decompressed file takes more than {MAX_DECOMPRESSED_BYTES >> 30} GiB")
        if not decompressor.eof:
            raise UnreadableSource("the compressed file is truncated; hand over the complete file")
        content = decompressor.unused_data or b""
        content = content if content[:2] == first else b""
    return b"".join(parts)
