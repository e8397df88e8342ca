"""Send Ctrl-C at a moment that a test chooses."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_when(condition: Callable[[], bool]) -> Iterator[None]:
    """Send Ctrl-C as soon as the condition holds; it is checked a hundred times a second."""

    def press(*_: object) -> None:
        if condition():
            # The signal is repeated until it has an effect: an exception within a callback of C code is lost.
            signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
            os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
