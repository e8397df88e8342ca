"""Clients that never finish what they say, or never read what they get."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from serving.connection import HEAD_BYTES, HEAD_SECONDS
from tests import tiny
from tests.processes import Server


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        yield connection


def refusal(connection: socket.socket) -> tuple[int, str, str | None]:
    """Status, code and Connection of the answer; what follows it is the connection's end."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.headers["content-type"] == "application/problem+json"
    code = json.loads(answer.read())["code"]
    return answer.status, code, answer.headers["connection"]


def dribble(connection: socket.socket, text: bytes, seconds: float) -> None:
    """Send a byte a second until the server has had enough."""
    deadline = time.monotonic() + seconds
    for byte in text:
        try:
            connection.send(bytes([byte]))
        except OSError:
            return
        connection.settimeout(1)
        try:
            if connection.recv(1, socket.MSG_PEEK):
                return
        except TimeoutError:
            assert time.monotonic() < deadline, "the server still listens"


def test_headers_that_come_a_byte_a_second_are_refused_and_hold_up_nobody(server: Server) -> None:
    with connected(server) as slow, connected(server) as silent:
        slow.sendall(b"POST /predict HTTP/1.1\r\n")
        dribble(slow, b"X-Slow: " + b"x" * 1_000, HEAD_SECONDS + 10)
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code == 200
        slow.settimeout(10)
        assert refusal(slow) == (408, "request_timeout", "close")
        assert silent.recv(1) == b""


def test_a_body_that_comes_a_byte_a_second_is_refused_and_holds_up_nobody(server: Server) -> None:
    """The model allows ten seconds."""
    with connected(server) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        dribble(slow, b'{"rows": [' + b" " * 1_000, 20)
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code == 200
        slow.settimeout(10)
        assert refusal(slow) == (408, "request_timeout", "close")


def test_headers_without_end_are_refused(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /model HTTP/1.1\r\nX-Long: " + b"x" * (HEAD_BYTES + 1))
        assert refusal(connection) == (431, "headers_too_large", "close")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9\r\n\r\n"])
def test_what_is_no_http_is_refused_and_counted(server: Server, sent: bytes) -> None:
    counted = 'model_requests_total{protocol="none",route="other",status="400"}'
    before = server.metric(counted)
    with connected(server) as connection:
        connection.sendall(sent)
        assert refusal(connection) == (400, "malformed_request", "close")
    assert server.metric(counted) == before + 1


def test_a_connection_serves_many_requests(server: Server) -> None:
    request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body := json.dumps(tiny.ROW).encode()),
        body,
    )
    with connected(server) as connection:
        for _ in range(100):
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.headers["connection"]) == (200, None)
            answer.read()
