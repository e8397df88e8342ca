"""One client's connection, with limits on what precedes a request and on what follows it.

The gateway sees a request once its head is complete. Before that a client could send headers without end, or one byte
a second, and hold a connection and its memory for as long as it likes; afterwards it could leave its answer unread.
And to turn a request away costs the gateway a quarter of what it costs to answer one, so that under four times the load
that can be carried, hardly anybody would be answered. Here it costs a fraction of that.

uvicorn, which BentoML serves with, looks up the class of its connections by name: :func:`install` puts this one there.
"""

import asyncio
from typing import Any, ClassVar, Protocol, cast

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from model_deployer.contract.errors import HeadersTooLarge, MalformedRequest, RequestError, RequestTimeout
from model_deployer.serving.http import headers, problem_details
from model_deployer.serving.http.asgi import Scope
from model_deployer.serving.http.deadlines import RequestDeadline

#: Where the scope of a request has its connection.
CONNECTION_KEY = "model_deployer.line"

#: Seconds for the head of a request, and for a whole answer to be taken.
HEAD_TIMEOUT_SECONDS = 10.0
RESPONSE_TIMEOUT_SECONDS = 60.0

#: Bytes of a head. What arrives in one piece with its end is read in any case: at most 256 KiB.
MAX_HEAD_BYTES = 64 * 1024

#: Seconds between two looks at a connection.
_TICK = 2.0

_CLOSE = (b"connection", b"close")

#: Seconds in which a connection may be used a last time after the server was told to stop.
_FAREWELL = 1.0


class ConnectionFilter(Protocol):
    """Who is let in."""

    def refusal(self, scope: Scope) -> RequestError | None:
        """Why a request whose head has come is turned away; None where it is not."""

    def refused(self, route: str, status: int) -> None:
        """Count a refusal; of what never became a request, the route is ``other``."""


def install(keep_alive_seconds: float, door: ConnectionFilter) -> None:
    """Let uvicorn serve with :class:`Connection`, and keep idle ones open for so many seconds."""
    HttpConnection.keep_alive_seconds = keep_alive_seconds
    HttpConnection.door = door
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{HttpConnection.__name__}"


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, which also watches the time and size of heads, and answers to the end when it stops."""

    keep_alive_seconds: ClassVar[float]
    door: ClassVar[ConnectionFilter]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.timeout_keep_alive = self.keep_alive_seconds  # type: ignore[assignment]  # it is only ever added
        self._head_began: float | None = None
        self._head_bytes = 0
        self._unread_since: float | None = None
        self._is_stopping = False
        #: The request under way, from its head to its answer.
        self.watch: RequestDeadline | None = None
        self._look_again: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._head_began = self.loop.time()
        self._look_again = self.loop.call_later(_TICK, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        super().connection_lost(exc)
        if self.watch:
            self.watch.leave()
        if self._look_again:
            self._look_again.cancel()

    def data_received(self, data: bytes) -> None:
        """It has sent something."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._head_began is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge(f"send at most {MAX_HEAD_BYTES:,} bytes of headers"))

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_began = self.loop.time()

    def on_headers_complete(self) -> None:
        """The end of its head."""
        self._head_began = None
        self._head_bytes = 0
        super().on_headers_complete()
        if self._is_stopping and self.cycle:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(MalformedRequest("the request is no HTTP/1.1 (RFC 9112)"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Hand the request to the application, or turn it away."""
        scope = cast(Scope, cycle.scope)
        refusal = self.door.refusal(scope)
        if refusal is None:
            scope[CONNECTION_KEY] = self
            super()._start_asgi_task(cycle, app)
            return
        self._write(refusal, dict(scope["headers"]), is_last=not cycle.keep_alive)
        self.door.refused(scope["path"], refusal.status)
        cycle.response_started = cycle.response_complete = True
        if cycle.keep_alive:
            self.on_response_complete()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Answer what was asked. An idle client may be sending in this very moment: it, too, gets its answer."""
        self._is_stopping = True
        if self._is_idle():
            self.loop.call_later(_FAREWELL, self._leave)
        else:
            super().shutdown()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _leave(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _look(self) -> None:
        if self.transport.get_protocol() is not self:  # it has become a WebSocket
            return
        now = self.loop.time()
        if self._is_idle() and self._head_began is None and self.timeout_keep_alive_task is None:
            # The answer was there before the end of the body, which ended uvicorn's own watch.
            self.timeout_keep_alive_task = self.loop.call_later(self.keep_alive_seconds, self.transport.close)
        if (
            self._head_began is not None
            and now - self._head_began > HEAD_TIMEOUT_SECONDS
            and not self.transport.is_closing()
        ):
            self._give_up()
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > RESPONSE_TIMEOUT_SECONDS:
            self.transport.abort()
        self._look_again = self.loop.call_later(_TICK, self._look)

    def _give_up(self) -> None:
        has_begun = self.scope is not None
        if has_begun:
            self._refuse(RequestTimeout(f"the headers did not arrive within {HEAD_TIMEOUT_SECONDS:g} seconds"))
        else:
            self.transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that never became one, unless another's answer is under way; and close."""
        if self._is_idle():
            self._write(error, {}, is_last=True)
            self.door.refused("other", error.status)
        self.transport.close()

    def _write(self, error: RequestError, given: headers.Headers, is_last: bool) -> None:
        request_id = headers.request_id(given)
        body = problem_details.encode_problem(error, request_id.decode())
        answer = [(b"content-type", problem_details.MEDIA_TYPE.encode()), (b"x-request-id", request_id)]
        answer += [*problem_details.headers(error), (b"content-length", b"%d" % len(body))]
        if is_last and _CLOSE not in answer:
            answer.append(_CLOSE)
        lines = b"".join(b"%s: %s\r\n" % pair for pair in answer)
        self.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[error.status], lines, body))
