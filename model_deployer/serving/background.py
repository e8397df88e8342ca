"""The thread for work of one request that takes long, so that the event loop goes on with the other requests.

It is one thread: the interpreter runs one thread at a time, so several would not finish sooner together, and the event
loop would have to wait for each of them in turn.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

#: Work on smaller bodies, or on fewer rows, is done in the event loop: a thread and back would take about as long.
INLINE_BYTES = 16_384
INLINE_ROWS = 64

#: How long a thread runs while another one waits, in seconds. The event loop waits so long several times per request.
_SWITCH_SECONDS = 0.000_5

R = TypeVar("R")


class BackgroundThread:
    """Runs functions in one thread, in the context of the request that calls them."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")

    def start(self) -> None:
        """Have the interpreter switch between this thread and the event loop often."""
        sys.setswitchinterval(_SWITCH_SECONDS)

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function in the thread, and return its result."""
        call = partial(copy_context().run, function, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def run_if_large(self, size: int, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function that reads ``size`` bytes: in the event loop if they are few, else in the thread."""
        return function(*arguments) if size <= INLINE_BYTES else await self.run(function, *arguments)

    async def run_if_many(self, rows: int, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function that handles ``rows`` rows: in the event loop if they are few, else in the thread."""
        return function(*arguments) if rows <= INLINE_ROWS else await self.run(function, *arguments)

    def close(self) -> None:
        """Stop after the function that is running; those that wait are cancelled."""
        self._executor.shutdown(wait=False, cancel_futures=True)
