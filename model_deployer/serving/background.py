"""The thread for work of one request that takes long, so that the event loop goes on with the other requests.

It is one thread: the interpreter runs one thread at a time, so several would not finish sooner together, and the event
loop would have to wait for each of them in turn.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

#: Work on smaller bodies, or on fewer rows, is done in the event loop: a thread and back would take about as long.
INLINE_BYTES = 16_384
INLINE_ROWS = 64

#: The functions of a large request: its values are counted, its body is read, and its answer is written.
_FUNCTIONS_PER_REQUEST = 3

#: Decay per function of the exponentially weighted average of the durations.
_EWMA_DECAY = 0.9

#: How long a thread runs while another one waits, in seconds. The event loop waits so long several times per request.
_SWITCH_SECONDS = 0.000_5

R = TypeVar("R")


class BackgroundThread:
    """Runs functions in one thread, in the context of the request that calls them."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
        self._waiting = 0
        self._mean_seconds = 0.0

    @property
    def waiting_seconds(self) -> float:
        """The estimated seconds until the requests whose functions wait, or are running, have no more to do here."""
        return self._waiting * _FUNCTIONS_PER_REQUEST * self._mean_seconds

    def start(self) -> None:
        """Have the interpreter switch between this thread and the event loop often."""
        sys.setswitchinterval(_SWITCH_SECONDS)

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function in the thread, and return its result."""
        call = partial(copy_context().run, self._measure, function, *arguments)
        self._waiting += 1
        try:
            result: R = await asyncio.get_running_loop().run_in_executor(self._executor, call)
            return result
        finally:
            self._waiting -= 1

    def _measure(self, function: Callable[..., R], *arguments: Any) -> R:
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds = time.perf_counter() - start
            self._mean_seconds = _EWMA_DECAY * self._mean_seconds + (1 - _EWMA_DECAY) * seconds

    async def run_if_large(self, size: int, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function that reads ``size`` bytes: in the event loop if they are few, else in the thread."""
        return function(*arguments) if size <= INLINE_BYTES else await self.run(function, *arguments)

    async def run_if_many(self, rows: int, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function that handles ``rows`` rows: in the event loop if they are few, else in the thread."""
        return function(*arguments) if rows <= INLINE_ROWS else await self.run(function, *arguments)

    def close(self) -> None:
        """Stop after the function that is running; those that wait are cancelled."""
        self._executor.shutdown(wait=False, cancel_futures=True)
