"""How long a request may take: one clock ends all those whose time is up, or whose client has gone.

A timer of its own for every request would cost more than to decode its body. So what is under way is looked through
every few milliseconds; nothing runs while nothing is under way.
"""

import asyncio
from types import TracebackType
from typing import Protocol

from model_deployer.serving.engines.event_loop import running_loop

#: Seconds between two looks: how late the end of a request may come.
CHECK_INTERVAL_SECONDS = 0.02


class ClientConnection(Protocol):
    """The connection of a client, which tells the request under way, if there is one, that the client has left."""

    watch: "RequestDeadline | None"


class ClientDisconnected(Exception):
    """The client left before it had its answer."""


class Deadlines:
    """The requests that are under way in one event loop."""

    def __init__(self) -> None:
        self._watches: set[RequestDeadline] = set()
        self._ticking = False

    def within(self, seconds: float, line: ClientConnection | None = None) -> "RequestDeadline":
        """A context that is left with TimeoutError once ``seconds`` have passed, and with Gone once the client left."""
        return RequestDeadline(self, seconds, line)

    def _add(self, watch: "RequestDeadline") -> None:
        self._watches.add(watch)
        if not self._ticking:
            self._ticking = True
            watch.loop.call_later(CHECK_INTERVAL_SECONDS, self._tick, watch.loop)

    def _remove(self, watch: "RequestDeadline") -> None:
        self._watches.discard(watch)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for watch in self._watches:
            watch.look(now)
        self._ticking = bool(self._watches)
        if self._ticking:
            loop.call_later(CHECK_INTERVAL_SECONDS, self._tick, loop)


class RequestDeadline:
    """One request under way, from its first line on."""

    __slots__ = ("_deadlines", "_line", "_reason", "_task", "loop", "until")

    def __init__(self, deadlines: Deadlines, seconds: float, line: ClientConnection | None) -> None:
        self._deadlines = deadlines
        self._line = line
        self.loop = running_loop()
        self.until = self.loop.time() + seconds
        self._reason: type[Exception] | None = None

    def __enter__(self) -> "RequestDeadline":
        task = asyncio.current_task(self.loop)
        assert task is not None, "a request is answered in a task"
        self._task = task
        if self._line:
            self._line.watch = self
        self._deadlines._add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines._remove(self)
        if self._line:
            self._line.watch = None
        if self._reason and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise self._reason from None

    def look(self, now: float) -> None:
        """End the request if its time is up."""
        if now >= self.until:
            self._end(TimeoutError)

    def leave(self) -> None:
        """End the request: its client has left."""
        self._end(ClientDisconnected)

    def _end(self, reason: type[Exception]) -> None:
        if not self._reason:
            self._reason = reason
            self._task.cancel()
