"""A load generator: clients that send requests to a server, and the latencies of the answers.

Without a rate, each client sends its next request as soon as the previous one is answered, so a slow server gets fewer
requests. With a rate, requests are sent when they are due, whether or not earlier ones are answered, and the time that
a request waits for a free connection counts. The clients are callbacks of one event loop, without a task per request,
so that they do not limit the measurement.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from model_deployer.contract.errors import EnvironmentFault

#: The status that stands for a request without an answer.
LOST_CONNECTION = 0

#: The limit of a load test's duration, as a multiple of ``seconds``, if it has not reached ``min_requests`` by then.
TIMEOUT_FACTOR = 10

#: The interval at which a test with a rate sends the requests that are due.
_TICK_SECONDS = 0.001


@dataclass
class LoadResult:
    """The result of a load test.

    Attributes:
        latencies: The seconds from each request to its answer, by the status of the answer; status 0 is a connection
            that was lost.
        seconds: The time from the first request to the last answer.
        unsent: The number of requests that were not sent because every connection was busy when they were due; 0
            without a rate.
    """

    latencies: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    unsent: int = 0

    @classmethod
    def of(cls, results: Sequence["LoadResult"]) -> "LoadResult":
        """Return the result of several load tests, one after the other."""
        latencies: dict[int, list[float]] = {}
        for result in results:
            for status, seconds in result.latencies.items():
                latencies.setdefault(status, []).extend(seconds)
        return cls(latencies, sum(result.seconds for result in results), sum(result.unsent for result in results))

    @property
    def requests(self) -> int:
        """The number of requests that were sent."""
        return sum(map(len, self.latencies.values()))

    @property
    def successes(self) -> list[float]:
        """The latencies of the requests that were answered with 200, in seconds."""
        return self.latencies.get(200, [])


@dataclass(frozen=True)
class LoadTest:
    """A load test: concurrent clients, each with one connection for all of its requests.

    Attributes:
        url: The URL of the server, as http://host:port.
        bodies: The bodies of the requests; the clients send them in turn, again and again.
        clients: The number of connections.
        seconds: How long requests are sent.
        min_requests: The minimum number of requests, unless that takes ``TIMEOUT_FACTOR`` times as long.
        timeout_seconds: How long one answer may take.
        rate: The requests per second of all clients together; None to send the next request after each answer.
        path: The path of the requests, appended to that of the URL.
        headers: Headers in addition to Host and Content-Length.
    """

    url: str
    bodies: Sequence[bytes]
    clients: int
    seconds: float
    min_requests: int = 0
    timeout_seconds: float = 30.0
    rate: float | None = None
    path: str = "/predict"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    async def run(self) -> LoadResult:
        """Send the requests and return the result.

        Raises:
            EnvironmentFault: If an answer does not arrive in time, or has no Content-Length.
        """
        return await _Run(self).run()

    def requests(self) -> Iterator[bytes]:
        """Yield the encoded requests in turn, endlessly."""
        return itertools.cycle([self._request(body) for body in self.bodies])

    def _request(self, body: bytes) -> bytes:
        address = urlsplit(self.url)
        headers = {"Host": address.netloc, "Content-Length": str(len(body)), **self.headers}
        lines = [f"POST {address.path.rstrip('/')}{self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


class _Run:
    """A running load test."""

    def __init__(self, test: LoadTest) -> None:
        self._test = test
        self._requests = test.requests()
        self._result = LoadResult()
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._open = 0
        self._ended = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> LoadResult:
        """Open the connections, send requests until the test is over, and wait for the last answers."""
        test = self._test
        await asyncio.gather(*(self._try_to_connect() for _ in range(test.clients)))
        self._start = time.perf_counter()
        rate_task = asyncio.create_task(self._keep_rate(test.rate)) if test.rate else None
        if rate_task is None:
            self._send_all()
        try:
            async with asyncio.timeout(TIMEOUT_FACTOR * test.seconds + test.timeout_seconds):
                await self._ended
        except TimeoutError:
            raise EnvironmentFault(
                f"{test.url} left a request without an answer for {test.timeout_seconds:g} seconds; "
                "see the server's log"
            ) from None
        finally:
            for task in (*self._tasks, *([rate_task] if rate_task else [])):
                task.cancel()
        self._result.seconds = time.perf_counter() - self._start
        return self._result

    def is_over(self) -> bool:
        """Return whether the test sends no more requests."""
        seconds = time.perf_counter() - self._start
        is_enough = self._result.requests >= self._test.min_requests or seconds >= TIMEOUT_FACTOR * self._test.seconds
        return seconds >= self._test.seconds and is_enough

    def answered(self, connection: "_Connection", status: int, seconds: float, keeps_open: bool) -> None:
        """Count an answer, and use the connection for the next request."""
        self._count(status, seconds)
        if not keeps_open:
            connection.close()
            self._replace()
        elif self._test.rate is None and not self.is_over():
            connection.send(next(self._requests), time.perf_counter())
        else:
            self._rest(connection)

    def lost(self, seconds: float | None) -> None:
        """Count a connection that the server closed.

        Args:
            seconds: The time since the request that was not answered; None if there was none.
        """
        if seconds is not None:
            self._count(LOST_CONNECTION, seconds)
        self._replace()

    def failed(self, error: Exception) -> None:
        """End the test with an error."""
        if not self._ended.done():
            self._ended.set_exception(error)

    def _count(self, status: int, seconds: float) -> None:
        self._result.latencies.setdefault(status, []).append(seconds)

    def _send_all(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.send(next(self._requests), time.perf_counter())
        self._end_if_complete()

    def _rest(self, connection: "_Connection") -> None:
        self._idle.append(connection)
        self._end_if_complete()

    def _end_if_complete(self) -> None:
        """End the test if no connection is left, or if the test is over and all connections are idle."""
        if len(self._idle) == self._open and (self._open == 0 or self.is_over()) and not self._tasks:
            for connection in self._idle:
                connection.close()
            if not self._ended.done():
                self._ended.set_result(None)

    def _replace(self) -> None:
        """Open a new connection in place of a closed one."""
        self._open -= 1
        task = self._loop.create_task(self._reopen())
        self._tasks.add(task)
        task.add_done_callback(self._reopened)

    async def _reopen(self) -> None:
        if not self.is_over():
            await self._try_to_connect()

    def _reopened(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self._test.rate is None and not self.is_over():
            self._send_all()
        else:
            self._end_if_complete()

    async def _try_to_connect(self) -> None:
        """Open a connection; if the server does not accept it, count a lost connection."""
        address, start = urlsplit(self._test.url), time.perf_counter()
        host, port = address.hostname or "localhost", address.port or 80
        try:
            _, connection = await self._loop.create_connection(lambda: _Connection(self), host, port)
        except OSError:
            self._count(LOST_CONNECTION, time.perf_counter() - start)
            return
        self._open += 1
        self._idle.append(connection)

    async def _keep_rate(self, rate: float) -> None:
        """Send the requests that are due on idle connections, until the test is over."""
        sent = 0
        while not self.is_over():
            due = 1 + int((time.perf_counter() - self._start) * rate)  # the first one is due at the start
            while sent < due and self._idle:
                self._idle.pop().send(next(self._requests), self._start + sent / rate)
                sent += 1
            self._result.unsent += due - sent
            sent = due
            await asyncio.sleep(_TICK_SECONDS)
        self._end_if_complete()


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._due: float | None = None
        self._received = b""
        self._missing_bytes: int | None = None
        self._status = 0
        self._keeps_open = True
        self._is_closed = False
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of the open connection."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this value of the clock."""
        if self._is_closed:
            self._run.lost(None)
            return
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read a part of an answer."""
        if self._missing_bytes is None:
            head, separator, data = (self._received + data).partition(b"\r\n\r\n")
            if not separator:
                self._received = head
                return
            self._received = b""
            self._read_head(head.lower())
        assert self._missing_bytes is not None
        self._missing_bytes -= len(data)
        if self._missing_bytes <= 0 and self._due is not None:
            due, self._due, self._missing_bytes = self._due, None, None
            self._run.answered(self, self._status, time.perf_counter() - due, self._keeps_open)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server closed; an idle one counts when it is used again."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._due is not None:
            self._run.lost(time.perf_counter() - self._due)

    def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        self._transport.abort()

    def _read_head(self, head: bytes) -> None:
        self._status = int(head[9:12])
        self._keeps_open = b"connection: close" not in head
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        self._missing_bytes = int(length) if length.strip().isdigit() else 0
        if not length:
            self._run.failed(EnvironmentFault("the server's answers have no Content-Length; the load test needs it"))
