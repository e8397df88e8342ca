"""A server that does the same work for every request, in every package: the unit that latencies are compared in.

It reads HTTP and JSON, computes for a fixed number of steps, and answers JSON, in one process. A slower machine, a
slower Python or slower wake-ups slow it down as they slow the service, so the ratio of their latencies stays.

    python reference_server.py    # prints its port, and ends when its standard input is closed

This file needs nothing but Python.
"""

import asyncio
import json
import sys
from typing import cast

#: The steps of each answer. With them, an answer takes about as long as one of a small model.
STEPS = 4000

#: The body of each request, of the size of a row of some fields.
BODY = json.dumps({"rows": [{f"field_{number}": number / 7 for number in range(10)}]}).encode()


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        body = self._received.partition(b"\r\n\r\n")[2]
        if len(body) == len(BODY):
            self._received = b""
            self._transport.write(_answer(body))


def _answer(body: bytes) -> bytes:
    value = 0.0
    for row in json.loads(body)["rows"]:
        for step in range(STEPS):
            value = 0.5 * value + step % 7 + len(row)
    content = json.dumps({"predictions": [{"value": value}]}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
