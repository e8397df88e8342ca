"""The event loop that runs, without asking the system for it."""

import asyncio

_loop: asyncio.AbstractEventLoop | None = None


def running_loop() -> asyncio.AbstractEventLoop:
    """What asyncio.get_running_loop returns, which in Python 3.11 makes a system call each time.

    A process serves in one loop at a time.
    """
    global _loop  # noqa: PLW0603 (one loop a process, as in asyncio itself)
    if _loop is None or not _loop.is_running():
        _loop = asyncio.get_running_loop()
    return _loop
