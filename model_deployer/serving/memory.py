"""The memory of the requests in progress: one budget per worker, so that no set of requests can exhaust it.

A request reserves bytes before it takes them: its body as it arrives, the decompressed body, the values that the body
becomes, and the process that converts a table. Code that is about to take memory calls :func:`reserve`, which finds
the reservation of the request in the context. Everything is released at once, when the request ends.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from types import TracebackType

from model_deployer.contract.errors import BodyTooLarge, Overloaded

_MEBIBYTE = 1024**2

#: glibc: the parameter of mallopt(3) for the minimum size of blocks that are returned when they are freed.
_M_MMAP_THRESHOLD = -3

_current: ContextVar["Reservation | None"] = ContextVar("reservation", default=None)


class MemoryBudget:
    """The bytes that the requests in progress of one worker may take together.

    Args:
        size: The number of bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The number of bytes that are reserved."""
        return self._used

    def request(self) -> "Reservation":
        """Return the reservation of a new request: a context manager around everything that the request does."""
        return Reservation(self)

    def take(self, size: int) -> bool:
        """Take bytes, if they are free, and return whether they were; give them back with a negative size."""
        with self._lock:
            if size > 0 and self._used + size > self.size:
                return False
            self._used += size
            return True


class Reservation:
    """The bytes of one request, from the beginning of its body to the end of its response."""

    __slots__ = ("_budget", "_size", "_token")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._size = 0

    def __enter__(self) -> "Reservation":
        self._token: Token[Reservation | None] = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        self._budget.take(-self._size)

    def add(self, size: int) -> None:
        """Reserve more bytes, or give some back with a negative size.

        Raises:
            BodyTooLarge: if the request needs more than the whole budget.
            Overloaded: if other requests have the rest of the budget.
        """
        if self._size + size > self._budget.size:
            raise BodyTooLarge(
                f"the request would take more than the {self._budget.size // _MEBIBYTE:,} MiB of memory that all "
                "requests share; send fewer rows per request"
            )
        if not self._budget.take(size):
            raise Overloaded(
                "the requests in progress take all memory that they may; send the request again in a moment"
            )
        self._size += size


def reserve(size: int) -> None:
    """Reserve bytes for the request in progress; outside of a request, there is nothing to do.

    Args:
        size: The number of bytes that the caller is about to take.

    Raises:
        BodyTooLarge: if the request needs more than the whole budget.
        Overloaded: if other requests have the rest of the budget.
    """
    if reservation := _current.get():
        reservation.add(size)


@contextmanager
def borrow(size: int) -> Iterator[None]:
    """Reserve bytes that are free again at the end of the context; raises as :func:`reserve`."""
    reserve(size)
    try:
        yield
    finally:
        reserve(-size)


def return_large_blocks() -> None:
    """Have this process return blocks of one mebibyte or more to the system as soon as they are free.

    By default glibc keeps such blocks after the first ones are freed, so that a process stays as large as it once was.
    """
    with suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MEBIBYTE)
