"""A limit on log lines of the same kind, so that a flood of refusals costs neither time nor disk."""

import time
from collections.abc import Hashable

#: How many lines of a kind may follow each other at once, and how many per second in the long run.
BURST_LINES = 100
LINES_PER_SECOND = 10.0


class LineLimit:
    """A token bucket for each kind of line. The kinds must be few: none is ever forgotten."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, _Bucket] = {}

    def admit(self, kind: Hashable) -> int | None:
        """Decide whether to write a line.

        Returns:
            The number of lines of this kind that were suppressed since the last one; None to suppress this one, too.
        """
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = _Bucket()
        return bucket.take()


class _Bucket:
    __slots__ = ("_lines", "_suppressed", "_updated")

    def __init__(self) -> None:
        self._lines = float(BURST_LINES)
        self._suppressed = 0
        self._updated = time.monotonic()

    def take(self) -> int | None:
        now = time.monotonic()
        self._lines = min(BURST_LINES, self._lines + (now - self._updated) * LINES_PER_SECOND)
        self._updated = now
        if self._lines < 1:
            self._suppressed += 1
            return None
        self._lines -= 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
