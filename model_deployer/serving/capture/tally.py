"""The rows that a worker has captured, written and dropped, in a file that outlives the worker."""

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

_LAYOUT = struct.Struct("<qqq")


class Counts(NamedTuple):
    """Numbers of rows.

    Attributes:
        captured: The rows that were taken into memory.
        written: Those of them that are in a finished file.
        dropped: Those of them that were given up, because the store could not be reached for too long.
    """

    captured: int = 0
    written: int = 0
    dropped: int = 0

    @property
    def unwritten(self) -> int:
        """The rows that are only in memory, and lost if the process is killed."""
        return self.captured - self.written - self.dropped


class Tally:
    """Counts rows in a mapped file. The system keeps what a killed process has written into it.

    The captured rows are counted by one thread, and the others by another one.

    Args:
        file: The file; it is made.
    """

    def __init__(self, file: Path) -> None:
        file.write_bytes(_LAYOUT.pack(0, 0, 0))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _LAYOUT.size)
        self._captured = self._written = self._dropped = 0

    def add_captured(self, rows: int) -> None:
        """Count rows that were taken into memory."""
        self._captured += rows
        struct.pack_into("<q", self._memory, 0, self._captured)

    def add_written(self, rows: int) -> None:
        """Count rows that are in a finished file now."""
        self._written += rows
        struct.pack_into("<q", self._memory, 8, self._written)

    def add_dropped(self, rows: int) -> None:
        """Count rows that were given up."""
        self._dropped += rows
        struct.pack_into("<q", self._memory, 16, self._dropped)

    @property
    def counts(self) -> Counts:
        """The numbers so far."""
        return Counts(self._captured, self._written, self._dropped)

    def close(self) -> None:
        """Close the file."""
        self._memory.close()

    @classmethod
    def read(cls, file: Path) -> Counts:
        """Return the numbers in the file of another process; zeros if it has none."""
        try:
            return Counts(*_LAYOUT.unpack(file.read_bytes()))
        except (OSError, struct.error):
            return Counts()
