"""Deadlines of requests: one timer ends all requests whose time is up.

A timer per request would cost more than decoding its body. Therefore all requests in progress are checked every few
milliseconds, and nothing runs while there are none. A request also ends when its client disconnects.
"""

import asyncio
from types import TracebackType
from typing import Protocol

from model_deployer.serving.engines.event_loop import running_loop

#: The interval between two checks: how late a request may end.
CHECK_INTERVAL_SECONDS = 0.02


class ClientConnection(Protocol):
    """A client's connection. It calls ``disconnect`` of the request in progress, if any, when the client disconnects.

    Attributes:
        deadline: The deadline of the request in progress.
    """

    deadline: "RequestDeadline | None"

    @property
    def is_alone(self) -> bool:
        """Whether no other connection of the server has a request in progress."""


class ClientDisconnected(Exception):
    """The client disconnected before its response."""


class Deadlines:
    """The deadlines of the requests in progress in one event loop."""

    def __init__(self) -> None:
        self._deadlines: set[RequestDeadline] = set()
        self._is_check_scheduled = False

    def within(self, seconds: float, connection: ClientConnection | None = None) -> "RequestDeadline":
        """Return a context manager that limits the time of a request.

        The context ends with TimeoutError once ``seconds`` have passed, and with ClientDisconnected if the client of
        ``connection`` disconnects.
        """
        return RequestDeadline(self, seconds, connection)

    @property
    def count(self) -> int:
        """The number of requests in progress."""
        return len(self._deadlines)

    @property
    def is_alone(self) -> bool:
        """Whether one request is in progress, and no other has arrived."""
        if len(self._deadlines) != 1:
            return False
        (deadline,) = self._deadlines
        return deadline.is_alone

    def _add(self, deadline: "RequestDeadline") -> None:
        self._deadlines.add(deadline)
        if not self._is_check_scheduled:
            self._is_check_scheduled = True
            deadline.loop.call_later(CHECK_INTERVAL_SECONDS, self._check, deadline.loop)

    def _remove(self, deadline: "RequestDeadline") -> None:
        self._deadlines.discard(deadline)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for deadline in self._deadlines:
            deadline.check(now)
        self._is_check_scheduled = bool(self._deadlines)
        if self._is_check_scheduled:
            loop.call_later(CHECK_INTERVAL_SECONDS, self._check, loop)


class RequestDeadline:
    """The deadline of one request in progress, as a context manager around its work."""

    __slots__ = ("_connection", "_deadlines", "_reason", "_task", "loop", "until")

    def __init__(self, deadlines: Deadlines, seconds: float, connection: ClientConnection | None) -> None:
        self._deadlines = deadlines
        self._connection = connection
        self.loop = running_loop()
        self.until = self.loop.time() + seconds
        self._reason: type[Exception] | None = None

    def __enter__(self) -> "RequestDeadline":
        task = asyncio.current_task(self.loop)
        assert task is not None, "a request must run in a task"
        self._task = task
        if self._connection:
            self._connection.deadline = self
        self._deadlines._add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines._remove(self)
        if self._connection:
            self._connection.deadline = None
        if self._reason and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise self._reason from None

    @property
    def is_alone(self) -> bool:
        """Whether no other connection has a request in progress; False for a request without a connection."""
        return self._connection is not None and self._connection.is_alone

    def check(self, now: float) -> None:
        """End the request if its time is up; ``now`` is the time of the event loop."""
        if now >= self.until:
            self._end(TimeoutError)

    def disconnect(self) -> None:
        """End the request: its client has disconnected."""
        self._end(ClientDisconnected)

    def _end(self, reason: type[Exception]) -> None:
        if not self._reason:
            self._reason = reason
            self._task.cancel()
