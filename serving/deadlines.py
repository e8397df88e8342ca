"""How long a request may take: one clock ends all those whose time is up, or whose client has gone.

A timer of its own for every request would cost more than to decode its body. So what is under way is looked through
every few milliseconds; nothing runs while nothing is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from serving.loop import running

#: Seconds between two looks: how late the end of a request may come.
TICK = 0.02

#: Waits for the next message of the client; after the whole body, that is its leaving.
Receive = Callable[[], Awaitable[Any]]


class Gone(Exception):
    """The client left before it had its answer."""


class Deadlines:
    """The requests that are under way in one event loop."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._ticking = False

    def within(self, seconds: float) -> "Watch":
        """A context that is left with TimeoutError once ``seconds`` have passed."""
        return Watch(self, seconds)

    def _add(self, watch: "Watch") -> None:
        self._watches.add(watch)
        if not self._ticking:
            self._ticking = True
            watch.loop.call_later(TICK, self._tick, watch.loop)

    def _remove(self, watch: "Watch") -> None:
        self._watches.discard(watch)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for watch in self._watches:
            watch.look(now)
        self._ticking = bool(self._watches)
        if self._ticking:
            loop.call_later(TICK, self._tick, loop)


class Watch:
    """One request under way, from its first line on."""

    __slots__ = ("_deadlines", "_listener", "_reason", "_task", "loop", "receive", "until")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self.loop = running()
        self.until = self.loop.time() + seconds
        #: Set once the body is there: from then on it is worth knowing that the client leaves.
        self.receive: Receive | None = None
        self._listener: asyncio.Task[None] | None = None
        self._reason: type[Exception] | None = None

    def __enter__(self) -> "Watch":
        task = asyncio.current_task(self.loop)
        assert task is not None, "a request is answered in a task"
        self._task = task
        self._deadlines._add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines._remove(self)
        if self._listener:
            self._listener.cancel()
        if self._reason and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise self._reason from None

    def look(self, now: float) -> None:
        """End the request if its time is up; listen for its client's leaving if it takes longer than a moment."""
        if now >= self.until:
            self._end(TimeoutError)
        elif self.receive and not self._listener:
            self._listener = self.loop.create_task(self._listen(self.receive))

    async def _listen(self, receive: Receive) -> None:
        message = await receive()
        if message["type"] == "http.disconnect":
            self._end(Gone)

    def _end(self, reason: type[Exception]) -> None:
        if not self._reason:
            self._reason = reason
            self._task.cancel()
