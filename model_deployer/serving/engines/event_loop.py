"""The running event loop, without a system call."""

import asyncio

_loop: asyncio.AbstractEventLoop | None = None


def running_loop() -> asyncio.AbstractEventLoop:
    """Return what asyncio.get_running_loop returns, which makes a system call each time in Python 3.11.

    A process must run one loop at a time.
    """
    global _loop  # noqa: PLW0603 (one loop per process, as in asyncio itself)
    if _loop is None or not _loop.is_running():
        _loop = asyncio.get_running_loop()
    return _loop
