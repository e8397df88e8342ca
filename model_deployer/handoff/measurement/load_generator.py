"""Clients that ask as fast as they are answered: each sends a request, waits for its answer, and sends the next."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from model_deployer.contract.errors import EnvironmentFault

#: What comes of a request that got no answer.
LOST_CONNECTION = 0

#: How many times longer than asked for it may take to get at the least number of requests.
TIMEOUT_FACTOR = 10


@dataclass
class LoadResult:
    """What came back.

    Attributes:
        latencies: Seconds from a request to its answer, by the status of the answer; 0 is a connection that was lost.
        seconds: From the first request to the last answer.
    """

    latencies: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(map(len, self.latencies.values()))

    @property
    def right(self) -> list[float]:
        """The seconds of those that were answered with 200."""
        return self.latencies.get(200, [])


@dataclass(frozen=True)
class LoadTest:
    """Clients at once, each over a connection that it keeps.

    Attributes:
        url: Of the server, as http://host:port.
        bodies: JSON documents for POST /predict; the clients send them one after the other, over and over.
        clients: How many.
        seconds: How long they ask.
        least: Requests that they send at least, if ten times as long is enough for them.
        patience: Seconds that an answer may take.
    """

    url: str
    bodies: Sequence[bytes]
    clients: int
    seconds: float
    least: int
    patience: float

    async def run(self) -> LoadResult:
        """Ask.

        Raises:
            EnvironmentFault: An answer did not come in time.
        """
        answers, began = LoadResult(), time.perf_counter()
        requests = itertools.cycle([self._request(body) for body in self.bodies])

        def is_over() -> bool:
            seconds = time.perf_counter() - began
            enough = answers.requests >= self.least or seconds >= TIMEOUT_FACTOR * self.seconds
            return seconds >= self.seconds and enough

        try:
            async with asyncio.timeout(TIMEOUT_FACTOR * self.seconds + self.patience), asyncio.TaskGroup() as group:
                for _ in range(self.clients):
                    group.create_task(_Client(self.url, requests, answers).ask_until(is_over))
        except TimeoutError:
            raise EnvironmentFault(
                f"{self.url} left a request without an answer for {self.patience:g} seconds; see the server's log"
            ) from None
        answers.seconds = time.perf_counter() - began
        return answers

    def _request(self, body: bytes) -> bytes:
        address = urlsplit(self.url)
        head = [
            f"POST {address.path.rstrip('/')}/predict HTTP/1.1",
            f"Host: {address.netloc}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


class _Client:
    """One of the clients."""

    def __init__(self, url: str, requests: "itertools.cycle[bytes]", answers: LoadResult) -> None:
        address = urlsplit(url)
        self._place = (address.hostname, address.port or 80)
        self._requests = requests
        self._answers = answers

    async def ask_until(self, is_over: Callable[[], bool]) -> None:
        """Ask, over another connection where one ends; where none can be opened, give up."""
        while not is_over():
            began = time.perf_counter()
            try:
                reader, writer = await asyncio.open_connection(*self._place)
            except OSError:
                self._note(LOST_CONNECTION, began)
                return
            with closing(writer):
                await self._ask(reader, writer, is_over)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_over: Callable[[], bool]
    ) -> None:
        """Ask over one connection, as long as that lasts."""
        is_open = True
        while is_open and not is_over():
            began = time.perf_counter()
            try:
                writer.write(next(self._requests))
                status, is_open = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                self._note(LOST_CONNECTION, began)
                return
            self._note(status, began)

    def _note(self, status: int, began: float) -> None:
        self._answers.latencies.setdefault(status, []).append(time.perf_counter() - began)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether its connection stays open; the answer is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head[9:12]), b"connection: close" not in head
