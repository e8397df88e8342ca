"""A client's connection, with limits on the head of a request and on the time to read the response.

The gateway sees a request once its head is complete. Without these limits a client could send endless headers, or one
byte per second, and hold a connection and its memory forever; or it could never read its response.

Overload is refused here as well: refusing a request in the gateway costs a quarter of answering it, so that at four
times the capacity of the server almost no request would be answered. Refusing it here costs a fraction of that.

uvicorn, the server that BentoML uses, looks up the class of its connections by name: :func:`install` registers this
one.
"""

import asyncio
import re
from typing import Any, ClassVar, Protocol, cast

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from model_deployer.contract.errors import HeadersTooLarge, MalformedRequest, RequestError, RequestTimeout
from model_deployer.serving.http import headers, problem_details
from model_deployer.serving.http.asgi import App, Scope
from model_deployer.serving.http.deadlines import RequestDeadline
from model_deployer.serving.http.request_record import RequestRecord

#: The key of the connection in the ASGI scope of a request.
CONNECTION_KEY = "model_deployer.connection"

#: The time limits for receiving the head of a request, and for the client to read a response.
HEAD_TIMEOUT_SECONDS = 10.0
RESPONSE_TIMEOUT_SECONDS = 60.0

#: The maximum size of a head. A head that arrives complete in a single read is accepted up to 256 KiB.
MAX_HEAD_BYTES = 64 * 1024

#: The interval between two checks of a connection's time limits.
CHECK_INTERVAL_SECONDS = 2.0

#: How long an idle connection still accepts a request after the server was asked to stop.
DRAIN_SECONDS = 1.0

_CLOSE = (b"connection", b"close")

#: A request for another protocol on this connection, such as the HTTP/2 that Java's client asks for by default.
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class ConnectionFilter(Protocol):
    """Decides whether a request is accepted once its head has arrived."""

    def refusal(self, scope: Scope) -> RequestError | None:
        """Return the error for a request that is refused; None for one that is accepted."""

    def record_refusal(self, record: RequestRecord, error: RequestError, route: str, method: str) -> None:
        """Count and log a refusal; ``route`` is ``other`` if the bytes never became a request."""


def install(keep_alive_seconds: float, connection_filter: ConnectionFilter) -> None:
    """Make uvicorn use :class:`HttpConnection`.

    Args:
        keep_alive_seconds: How long an idle connection stays open.
        connection_filter: Decides which requests are accepted.
    """
    HttpConnection.keep_alive_seconds = keep_alive_seconds
    HttpConnection.connection_filter = connection_filter
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{HttpConnection.__name__}"


def use_directly(app: App) -> None:
    """Have all connections pass their requests to this application, without the middlewares around it."""
    HttpConnection.direct_app = staticmethod(app)


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection with limits on the head and the response, which finishes accepted requests at shutdown."""

    keep_alive_seconds: ClassVar[float]
    connection_filter: ClassVar[ConnectionFilter]
    direct_app: ClassVar[Any] = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_start: float | None = None
        self._head_bytes = 0
        self._unread_since: float | None = None
        self._idle_since = 0.0
        self._is_stopping = False
        self._is_broken = False
        self._running: RequestResponseCycle = None  # type: ignore[assignment]  # the request in progress
        #: The deadline of the request in progress, from its head to its response.
        self.deadline: RequestDeadline | None = None
        self._next_check: asyncio.TimerHandle | None = None

    @property
    def is_alone(self) -> bool:
        """Whether no other connection of the server has a request in progress."""
        return len(self.tasks) == 1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limits of a new connection."""
        super().connection_made(transport)
        self._head_start = self._idle_since = self.loop.time()
        self._next_check = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_limits)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request in progress, as its client has disconnected."""
        super().connection_lost(exc)
        if self.deadline:
            self.deadline.disconnect()
        if self._next_check:
            self._next_check.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes and limit the size of the head."""
        if self.transport.is_closing() or self._is_broken:
            return
        super().data_received(_without_upgrade(data) if self._is_idle() and b"pgrade" in data else data)
        if self._head_start is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge(f"send at most {MAX_HEAD_BYTES:,} bytes of headers"))

    def on_message_begin(self) -> None:
        """Start the time limit of a head: the first byte of a request has arrived."""
        super().on_message_begin()
        self._head_start = self.loop.time()

    def on_headers_complete(self) -> None:
        """End the limits of a head: it is complete."""
        self._head_start = None
        self._head_bytes = 0
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError  # the parser reports it as malformed
        super().on_headers_complete()
        if self._is_stopping and self.cycle:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP."""
        self._refuse(MalformedRequest("the request is not HTTP/1.1 with one Host header (RFC 9112)"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Pass the request to the application, or refuse it."""
        scope = cast(Scope, cycle.scope)
        refusal = self.connection_filter.refusal(scope)
        if refusal is None:
            scope[CONNECTION_KEY] = self
            self._running = cycle
            super()._start_asgi_task(cycle, self.direct_app or app)
            return
        record = _record(dict(scope["headers"]))
        self.connection_filter.record_refusal(record, refusal, scope["path"], scope["method"])
        self._write(refusal, record, is_last=not cycle.keep_alive)
        cycle.response_started = cycle.response_complete = True
        if cycle.keep_alive:
            # Not called at once: each of many requests that wait in one packet would call the next one.
            self.loop.call_soon(self.on_response_complete)
        else:
            self.transport.close()

    def respond(self, status: int, response_headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a complete response to the request in progress, in one write: a third of the time of uvicorn's way.

        Args:
            status: The status.
            response_headers: The headers, with Content-Length.
            body: The body, which is not sent in response to HEAD.

        Returns:
            Whether it was sent. If not, it must be sent in uvicorn's way, which waits for a client that reads slowly.
        """
        cycle = self._running
        if self.flow.write_paused or cycle.access_log or cycle.response_started:
            return False
        if cycle.disconnected:
            return True
        cycle.keep_alive = cycle.keep_alive and _CLOSE not in response_headers
        if not cycle.keep_alive and _CLOSE not in response_headers:
            response_headers.append(_CLOSE)
        lines = b"".join([b"%s: %s\r\n" % pair for pair in cycle.default_headers + response_headers])
        is_head = cycle.scope["method"] == "HEAD"
        self.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[status], lines, b"" if is_head else body))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """Start the next request of the connection, if it has arrived. Unlike uvicorn, set no timer per response."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def shutdown(self) -> None:
        """Finish the request in progress, then close. An idle client may be sending one now: that is answered too."""
        self._is_stopping = True
        if self._is_idle():
            self.loop.call_later(DRAIN_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _check_limits(self) -> None:
        if self.transport.get_protocol() is not self:  # it has become a WebSocket
            return
        now = self.loop.time()
        if self._is_idle() and self._head_start is None and now - self._idle_since > self.keep_alive_seconds:
            self.transport.close()
        if (
            self._head_start is not None
            and now - self._head_start > HEAD_TIMEOUT_SECONDS
            and not self.transport.is_closing()
        ):
            self._time_out_head()
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > RESPONSE_TIMEOUT_SECONDS:
            self.transport.abort()
        self._next_check = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_limits)

    def _time_out_head(self) -> None:
        has_first_byte = self.scope is not None
        if has_first_byte:
            self._refuse(RequestTimeout(f"the headers did not arrive within {HEAD_TIMEOUT_SECONDS:g} seconds"))
        else:
            self.transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Send an error for bytes that never became a request, and close the connection.

        If complete requests before them are in progress, their responses are sent first, and the error is not.
        """
        if self._is_idle():
            record = _record({})
            self.connection_filter.record_refusal(record, error, "other", "")
            self._write(error, record, is_last=True)
        elif not self.cycle.more_body:
            self._is_broken = True
            self.cycle.keep_alive = False
            return
        self.transport.close()

    def _write(self, error: RequestError, record: RequestRecord, is_last: bool) -> None:
        body = problem_details.encode_problem(error, record.request_id.decode())
        response_headers = [
            (b"content-type", problem_details.MEDIA_TYPE.encode()),
            (b"x-request-id", record.request_id),
        ]
        response_headers += [*problem_details.headers(error), (b"content-length", b"%d" % len(body))]
        if is_last and _CLOSE not in response_headers:
            response_headers.append(_CLOSE)
        lines = b"".join(b"%s: %s\r\n" % pair for pair in response_headers)
        self.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[error.status], lines, body))


def _record(request_headers: headers.Headers) -> RequestRecord:
    return RequestRecord(request_headers, headers.request_id(request_headers))


def _without_upgrade(data: bytes) -> bytes:
    """Return the beginning of a request with Upgrade under another name.

    A server may ignore the header (RFC 9110, section 7.8), but the parser would drop the body of such a request.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-ignored-upgrade:", head) + end + body
