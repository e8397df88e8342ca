"""A worker that takes over from one with another version reports to the parent, and waits for its turn.

The parent gives such a worker one end of a pair of sockets. The worker writes :data:`READY` once it can answer, or why
it cannot, and accepts connections when the parent closes its end: the worker that it replaces does not accept any more
then. The end of either process closes the pair, too.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

#: What a worker writes once it can answer.
READY = b"ready"

#: The variable with the number of the worker's end.
VARIABLE = "MODEL_DEPLOYER_TAKEOVER"


@contextmanager
def failures_reported() -> Iterator[None]:
    """Report an error of the context to the parent and end this process; if it does not take over, pass the error on.

    A worker without a parent that waits for it would write the traceback of an error that the parent reports in a line.
    """
    try:
        yield
    except Exception as error:
        parent = _parent()
        if parent is None:
            raise
        reason = str(error).strip() or type(error).__name__
        parent.sendall(reason.splitlines()[0].encode(errors="replace"))
        sys.stderr.flush()
        os._exit(1)


async def wait_for_turn() -> None:
    """Report that this worker can answer, and return when it may accept connections; at once if it takes over none."""
    parent = _parent()
    if parent is None:
        return
    loop = asyncio.get_running_loop()
    parent.setblocking(False)
    await loop.sock_sendall(parent, READY)
    await loop.sock_recv(parent, 1)
    parent.close()


@cache
def _parent() -> socket.socket | None:
    """Return the worker's end; None if it takes over from no other worker."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return None
    os.set_inheritable(int(number), False)
    return socket.socket(fileno=int(number))
