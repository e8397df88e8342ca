"""Clients that never finish a request or never read a response, and clients that are refused at the connection."""

import asyncio
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest
import uvicorn

from model_deployer.contract.errors import Overloaded, RequestError
from model_deployer.serving.http import connection as connections
from model_deployer.serving.http.asgi import Scope, respond
from model_deployer.serving.http.connection import CONNECTION_KEY, HEAD_TIMEOUT_SECONDS, MAX_HEAD_BYTES, HttpConnection
from model_deployer.serving.http.deadlines import ClientDisconnected, Deadlines
from model_deployer.serving.http.request_record import RequestRecord
from tests.support import tiny
from tests.support.processes import Server, free_port, until


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        yield connection


def refusal(connection: socket.socket) -> tuple[int, str, str]:
    """Return the status, the code and the header Connection of a refusal."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.headers["content-type"] == "application/problem+json"
    code = json.loads(answer.read())["code"]
    return answer.status, code, ", ".join(answer.headers.get_all("connection", []))


def dribble(connection: socket.socket, text: bytes, seconds: float) -> None:
    """Send one byte per second until the server refuses the request."""
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
            assert time.monotonic() < deadline, "the server still accepts bytes"


def test_slow_headers_are_refused(server: Server) -> None:
    """Headers that come a byte a second are refused, and hold up no other client."""
    with connected(server) as slow, connected(server) as silent:
        slow.sendall(b"POST /predict HTTP/1.1\r\n")
        dribble(slow, b"X-Slow: " + b"x" * 1_000, HEAD_TIMEOUT_SECONDS + 10)
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code == 200
        slow.settimeout(10)
        assert refusal(slow) == (408, "request_timeout", "close")
        assert silent.recv(1) == b""


def test_slow_body_is_refused(server: Server) -> None:
    """A body that comes a byte a second is refused, and holds up no other client; the model allows ten seconds."""
    with connected(server) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        dribble(slow, b'{"rows": [' + b" " * 1_000, 20)
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code == 200
        slow.settimeout(10)
        assert refusal(slow) == (408, "request_timeout", "close")


def test_headers_without_end_are_refused(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /model HTTP/1.1\r\nX-Long: " + b"x" * (MAX_HEAD_BYTES + 1))
        assert refusal(connection) == (431, "headers_too_large", "close")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9\r\n\r\n"])
def test_what_is_no_http_is_refused_and_counted(server: Server, sent: bytes) -> None:
    sample = 'model_requests_total{protocol="none",route="other",status="400"}'
    before = server.metric(sample)
    with connected(server) as connection:
        connection.sendall(sent)
        assert refusal(connection) == (400, "malformed_request", "close")
    assert server.metric(sample) == before + 1


class HeaderFilter:
    """Refuses every request with the header ``X-Away``."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, int]] = []

    def refusal(self, scope: Scope) -> RequestError | None:
        return Overloaded("later") if b"x-away" in dict(scope["headers"]) else None

    def record_refusal(self, record: RequestRecord, error: RequestError, route: str, method: str) -> None:
        self.refusals.append((route, error.status))


class FilteredConnection(HttpConnection):
    keep_alive_seconds = 60.0
    connection_filter = HeaderFilter()


client_disconnected = threading.Event()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Respond with the body of the request; ``/wait`` waits until its client disconnects."""
    if scope["path"] == "/wait":
        with suppress(ClientDisconnected), Deadlines().within(30, scope[CONNECTION_KEY]):
            await asyncio.Event().wait()
        client_disconnected.set()
    body, more_body = b"", True
    while more_body:
        message = await receive()
        body, more_body = body + message.get("body", b""), message.get("more_body", False)
    response_headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    if scope["query_string"] != b"direct" or not scope[CONNECTION_KEY].respond(200, response_headers, body):
        await respond(send, 200, response_headers, body)


@pytest.fixture(scope="module")
def echo_port() -> Iterator[int]:
    """The port of a server whose connections have the filter."""
    config = uvicorn.Config(echo, port=free_port(), http=FilteredConnection, lifespan="off", log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    until(lambda: running.started)
    yield config.port
    running.should_exit = True
    thread.join()


def exchange(connection: http.client.HTTPConnection, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection.request("POST", "/predict", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_connection_survives_being_turned_away(echo_port: int) -> None:
    """A client that is turned away may send its next request over the same connection."""
    connection = http.client.HTTPConnection("127.0.0.1", echo_port, timeout=10)
    large_body = b"x" * 1_000_000
    for _ in range(3):
        status, content = exchange(connection, large_body, **{"X-Away": "1", "X-Request-ID": "mine"})
        problem = json.loads(content)
        assert (status, problem["code"], problem["request_id"]) == (503, "overloaded", "mine")
        assert exchange(connection, large_body) == (200, large_body)
    assert FilteredConnection.connection_filter.refusals == [("/predict", 503)] * 3


def test_a_client_that_leaves_ends_its_request(echo_port: int) -> None:
    with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert client_disconnected.wait(10)


def test_a_refusal_says_when_to_come_again(echo_port: int) -> None:
    with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Away: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        answer.read()
        assert connection.recv(1) == b""


def test_a_client_that_never_reads_its_answer_is_let_go(echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RESPONSE_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(connections, "CHECK_INTERVAL_SECONDS", 0.1)
    large_body = b"x" * 50_000_000
    with socket.create_connection(("127.0.0.1", echo_port), timeout=30) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(large_body), large_body)
        )
        process = psutil.Process()
        client_port = connection.getsockname()[1]

        def connected_ports() -> set[int]:
            connections = process.net_connections()
            return {each.raddr.port for each in connections if each.raddr and each.laddr.port == echo_port}

        until(lambda: client_port not in connected_ports())


def test_an_idle_connection_is_closed(echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CHECK_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(FilteredConnection, "keep_alive_seconds", 0.2)
    with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
        responses = b"".join(iter(lambda: connection.recv(65_536), b""))  # until the server closes the connection
    assert responses.endswith(b"body")


@pytest.mark.parametrize("query", [b"", b"?direct"])
def test_pipelined_requests_are_answered_in_order(echo_port: int, query: bytes) -> None:
    """Requests that are sent without waiting are answered in their order."""
    accepted = b"POST /predict%b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%%d" % query
    refused = b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Away: 1\r\nContent-Length: 3\r\n\r\nabc"
    with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
        connection.sendall(accepted % 1 + refused + accepted % 2 + refused + refused + accepted % 3)
        responses = b""
        while not responses.endswith(b"\r\n\r\n3"):
            chunk = connection.recv(65_536)
            assert chunk, "the server closed the connection"
            responses += chunk
    assert re.findall(rb"HTTP/1.1 (\d+)", responses) == [b"200", b"503", b"200", b"503", b"503", b"200"]


def received(connection: socket.socket) -> bytes:
    """Return what arrives until the server closes the connection."""
    content = b""
    with suppress(ConnectionResetError):  # it had not read all that was sent
        while chunk := connection.recv(65_536):
            content += chunk
    return content


@pytest.mark.parametrize(
    "request_head",
    [
        "POST /predict{} HTTP/1.1\r\nHost: x",
        "POST /predict{} HTTP/1.1\r\nHost: x\r\nConnection: close",
        "POST /predict{} HTTP/1.0",
        "POST /predict{} HTTP/1.0\r\nConnection: keep-alive",
        "POST /predict{} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue",
        "HEAD /predict{} HTTP/1.1\r\nHost: x",
    ],
)
def test_a_response_in_one_write_is_the_same(echo_port: int, request_head: str) -> None:
    responses = []
    for query in ("", "?direct"):
        with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
            connection.sendall(f"{request_head.format(query)}\r\nContent-Length: 4\r\n\r\nbody".encode())
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            responses.append(re.sub(rb"date: .*\r\n", b"", received(connection)))
    assert responses[0] == responses[1]


def test_hundreds_of_refused_requests_may_come_in_one_packet(echo_port: int) -> None:
    refused = b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Away: 1\r\nContent-Length: 0\r\n\r\n"
    accepted = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlast"
    with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
        connection.sendall(accepted + 1_500 * refused + accepted)
        responses = b""
        while responses.count(b"\r\n\r\nlast") < 2:
            chunk = connection.recv(65_536)
            assert chunk, "the server closed the connection"
            responses += chunk
    assert responses.count(b"HTTP/1.1 503") == 1_500


def test_request_before_garbage_is_answered(echo_port: int) -> None:
    with socket.create_connection(("127.0.0.1", echo_port), timeout=10) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ngood\x00\x01\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b"good")
        assert connection.recv(1) == b""


def test_a_request_for_another_protocol_is_answered_in_this_one(server: Server) -> None:
    """As Java's client sends it; the text in the body stays as it is."""
    body = json.dumps(tiny.ROW | {"remark": "\r\nUpgrade: x"}).encode()
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA"
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\n{upgrade}\r\nContent-Length: {len(body)}\r\n\r\n"
    with connected(server) as connection:
        for _ in range(2):
            connection.sendall(head.encode() + body)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, "predictions" in json.loads(answer.read())) == (200, True)


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
