"""Take the debugging symbols out of compiled modules: python shrink.py FOLDER...

What the loader needs of an ELF file is in the segments of its program header (elf(5)); what follows the last of them,
and the table of sections, is for linkers and debuggers. ``strip`` does more, and is in no slim image.
"""

import struct
import sys
from pathlib import Path


def shrink(file: Path) -> None:
    """Cut a 64-bit little-endian ELF file off after its last segment."""
    content = bytearray(file.read_bytes())
    if content[:6] != b"\x7fELF\x02\x01":
        return
    (start,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    segments = [struct.unpack_from("<QQQQ", content, start + size * number + 8) for number in range(count)]
    end = max(offset + length for offset, _, _, length in segments)
    struct.pack_into("<Q", content, 40, 0)  # where the table of sections is
    struct.pack_into("<HH", content, 60, 0, 0)  # how many there are, and which one names them
    file.write_bytes(content[:end])


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        for file in Path(folder).rglob("*.so*"):
            if file.is_file() and not file.is_symlink():
                shrink(file)
