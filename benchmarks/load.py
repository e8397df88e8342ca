"""The client of the benchmark, in a process of its own: equal requests over kept-alive connections.

Run as ``python -m benchmarks.load JSON`` with the body on standard input, where JSON are the fields of :class:`Load`.
It prints JSON. Without a rate each connection asks again as soon as it is answered; with one, requests are sent when
their time has come, answered or not, so that a slow server does not slow its clients down.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import uvloop

#: Seconds between two looks at which requests are due.
_TICK = 0.001


@dataclass(frozen=True)
class Load:
    """What is asked, and how often.

    Attributes:
        port: Of the server, on this machine.
        seconds: How long; before that, a quarter as long to warm up.
        connections: How many; with a rate, what is due while all of them wait is not sent, and counted.
        rate: Requests a second, or none to ask as fast as answers come.
        headers: Sent beside Content-Length.
        path: What is asked.
    """

    port: int
    seconds: float
    connections: int
    rate: float | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    path: str = "/predict"

    def request(self, body: bytes) -> bytes:
        """The bytes of one request."""
        headers = {"Host": "localhost", "Content-Length": str(len(body)), **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """Sends a request, and tells its client of the answer."""

    def __init__(self, client: "_Client") -> None:
        self._client = client
        self._received: list[bytes] = []
        self._missing = 0
        self._status = 0
        self._due = 0.0

    def connection_made(self, transport: Any) -> None:
        """It is there."""
        self._transport = transport

    def ask(self, due: float) -> None:
        """Send the request that was to be sent at ``due``."""
        self._due = due
        self._transport.write(self._client.request)

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        if not self._status:
            head, separator, rest = b"".join([*self._received, data]).partition(b"\r\n\r\n")
            if not separator:
                self._received.append(data)
                return
            self._received = []
            self._status = int(head[9:12])
            self._missing, data = _content_length(head), rest
        self._missing -= len(data)
        if self._missing <= 0:
            status, self._status = self._status, 0
            self._client.answered(self, status, time.perf_counter() - self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; whatever was asked got no answer."""
        if not self._client.is_over:
            raise SystemExit("the server closed a connection")

    def close(self) -> None:
        """End it."""
        self._transport.abort()


class _Client:
    """All connections, and the latencies of what came back, by status."""

    def __init__(self, load: Load, body: bytes) -> None:
        self.request = load.request(body)
        self.is_over = False
        self._load = load
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []
        self._latencies: dict[int, list[float]] = {}
        self._unsent = 0

    async def run(self) -> dict[str, Any]:
        """Warm up, ask, and count."""
        for _ in range(self._load.connections):
            self._idle.append(await self._connect())
        asking = asyncio.create_task(self._keep_the_rate() if self._load.rate else self._begin())
        await asyncio.sleep(self._load.seconds / 4)
        self._latencies.clear()
        self._unsent = 0
        began = time.perf_counter()
        await asyncio.sleep(self._load.seconds)
        elapsed = time.perf_counter() - began
        latencies = {status: sorted(found) for status, found in self._latencies.items()}
        self.is_over = True
        asking.cancel()
        for connection in self._all:
            connection.close()
        return _summary(latencies, elapsed) | {"unsent_per_second": self._unsent / elapsed}

    def answered(self, connection: _Connection, status: int, seconds: float) -> None:
        self._latencies.setdefault(status, []).append(seconds)
        if self._load.rate is None:
            connection.ask(time.perf_counter())
        else:
            self._idle.append(connection)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._load.port)
        self._all.append(connection)
        return connection

    async def _begin(self) -> None:
        while self._idle:
            self._idle.pop().ask(time.perf_counter())

    async def _keep_the_rate(self) -> None:
        """Send what is due on connections that are idle."""
        assert self._load.rate
        began, sent = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - began) * self._load.rate)
            while sent < due and self._idle:
                self._idle.pop().ask(began + sent / self._load.rate)
                sent += 1
            self._unsent += due - sent
            sent = due
            await asyncio.sleep(_TICK)


def _content_length(head: bytes) -> int:
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    if not length:
        raise SystemExit("the answer has no Content-Length")
    return int(length)


def _summary(latencies: dict[int, list[float]], elapsed: float) -> dict[str, Any]:
    """Answers a second and percentiles of their latency in milliseconds, by status."""
    statuses = {
        str(status): {"per_second": len(found) / elapsed}
        | {f"p{share}_ms": 1000 * found[len(found) * share // 100] for share in (50, 99)}
        for status, found in latencies.items()
    }
    return {"statuses": statuses, "answers": dict(Counter({status: len(found) for status, found in latencies.items()}))}


if __name__ == "__main__":
    given = Load(**json.loads(sys.argv[1]))
    print(json.dumps(uvloop.run(_Client(given, sys.stdin.buffer.read()).run())))
