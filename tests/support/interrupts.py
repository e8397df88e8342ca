"""Ctrl-C, pressed at a moment that a test chooses."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_when(condition: Callable[[], bool]) -> Iterator[None]:
    """Press Ctrl-C as soon as the condition holds; it is looked at a hundred times a second."""

    def press(*_: object) -> None:
        if condition():
            # Pressed again until it is heard: an exception raised within a callback of C code is lost.
            signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
