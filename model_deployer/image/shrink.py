"""Remove the debugging symbols of compiled modules: python shrink.py FOLDER...

The loader needs the segments that the program header of an ELF file lists (elf(5)). The bytes after the last segment
and the section table are for linkers and debuggers only. ``strip`` removes more, but slim images do not include it.
"""

import struct
import sys
from pathlib import Path


def shrink(file: Path) -> None:
    """Cut a 64-bit little-endian ELF file off after its last segment; leave any other file as it is."""
    content = bytearray(file.read_bytes())
    if content[:6] != b"\x7fELF\x02\x01":
        return
    (start,) = struct.unpack_from("<Q", content, 32)  # e_phoff
    size, count = struct.unpack_from("<HH", content, 54)  # e_phentsize and e_phnum
    segments = [struct.unpack_from("<QQQQ", content, start + size * number + 8) for number in range(count)]
    end = max(offset + length for offset, _, _, length in segments)
    struct.pack_into("<Q", content, 40, 0)  # e_shoff: the offset of the section table
    struct.pack_into("<HH", content, 60, 0, 0)  # e_shnum and e_shstrndx: the number of sections, and the one with names
    file.write_bytes(content[:end])


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        for file in Path(folder).rglob("*.so*"):
            if file.is_file() and not file.is_symlink():
                shrink(file)
