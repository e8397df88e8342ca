"""A load of equal requests over kept-alive connections: the client of the benchmark, in a process of its own.

Run as ``python -m benchmarks.load PORT CONNECTIONS SECONDS`` with the body on standard input; it prints JSON.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop


class _Connection(asyncio.Protocol):
    """Sends the request again as soon as its answer is complete."""

    def __init__(self, request: bytes, latencies: list[float], errors: list[bytes]) -> None:
        self._request = request
        self._latencies = latencies
        self._errors = errors
        self._received = b""
        self._expected = 0
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        self._received += data
        if not self._expected:
            head, separator, _ = self._received.partition(b"\r\n\r\n")
            if not separator:
                return
            self._expected = len(head) + 4 + _content_length(head)
            if not head.startswith(b"HTTP/1.1 200"):
                self._errors.append(head[:60])
        if len(self._received) >= self._expected:
            self._latencies.append(time.perf_counter() - self._sent)
            self._received, self._expected = b"", 0
            self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError("the answer has no Content-Length")


async def load(port: int, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    """Requests a second and percentiles of the latency, in milliseconds."""
    lines = [
        "POST /predict HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    latencies: list[float] = []
    errors: list[bytes] = []
    loop = asyncio.get_running_loop()
    request = "\r\n".join([*lines, "", ""]).encode() + body
    transports = [
        (await loop.create_connection(lambda: _Connection(request, latencies, errors), "127.0.0.1", port))[0]
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds / 4)  # the first quarter warms up and does not count
    latencies.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - started
    ordered = sorted(latencies)
    for transport in transports:
        transport.abort()
    if errors or not ordered:
        raise SystemExit(f"{len(errors)} failed answers: {errors[:1]}")
    percentiles = {f"p{share}_ms": 1000 * ordered[len(ordered) * share // 100] for share in (50, 99)}
    return {"requests_per_second": len(ordered) / elapsed} | percentiles


if __name__ == "__main__":
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(uvloop.run(load(port, connections, seconds, sys.stdin.buffer.read()))))
