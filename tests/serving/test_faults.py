"""Faults under load: no wrong answer, no hang, no lost request, and a server that recovers."""

import asyncio
import http.client
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import tiny
from tests.support.processes import Server, serve, until

BODY = json.dumps({"rows": [tiny.ROW]}).encode()
HEADERS = {"content-type": "application/json"}


def keep_asking(port: int, expected: bytes, is_over: Callable[[], bool], *, keeps_connection: bool) -> Counter[str]:
    """Send requests until ``is_over``, over one connection while it lasts or each over its own; count the outcomes."""
    outcomes: Counter[str] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not is_over():
        try:
            connection.request("POST", "/predict", BODY, HEADERS)
            answer = connection.getresponse()
            content = answer.read()
            assert (answer.status, content) == (200, expected)
            outcomes["answered"] += 1
            if not keeps_connection:
                connection.close()
        except ConnectionRefusedError:
            outcomes["refused"] += 1
            connection.close()
        except TimeoutError:
            outcomes["hung"] += 1
            connection.close()
        except (OSError, http.client.HTTPException):
            outcomes["lost"] += 1
            connection.close()
    return outcomes


def under_load(server: Server, event: Callable[[], Any]) -> Counter[str]:
    """Count the outcomes of the requests of sixteen clients while ``event`` happens. Half of them reconnect."""
    expected = httpx.post(f"{server.url}/predict", content=BODY, headers=HEADERS).content
    is_over = False
    with ThreadPoolExecutor(16) as pool:
        clients = [
            pool.submit(keep_asking, server.port, expected, lambda: is_over, keeps_connection=number % 2 == 0)
            for number in range(16)
        ]
        try:
            until(lambda: server.metric("model_rows_total") > 200)
            event()
        finally:
            is_over = True
        return sum((client.result() for client in clients), Counter())


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.slow
def test_killed_worker_loses_only_its_own_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed loses only the requests that it was answering."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("services: {ModelService: {workers: 2}}\n")
    monkeypatch.setenv("BENTOML_CONFIG", str(settings))
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:
        until(lambda: len(server.workers()) == 2)

        def kill() -> None:
            killed = server.workers()[0]
            killed.kill()
            until(lambda: len({worker.pid for worker in server.workers()} - {killed.pid}) == 2)

        outcomes = under_load(server, kill)
        assert outcomes["hung"] == 0
        assert outcomes["lost"] <= 16
        assert outcomes["answered"] > 200
        answers = [httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code for _ in range(50)]
        assert answers == [200] * 50


@pytest.mark.slow
def test_stopping_server_answers_what_it_accepted(tmp_path: Path) -> None:
    """A server that receives SIGTERM answers every request that it accepted, and refuses every later connection.

    That includes the seconds in which it waits for the body of a slow client.
    """
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:

        def stop() -> None:
            with socket.create_connection(("127.0.0.1", server.port)) as slow:
                slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
                server.process.terminate()
                until(lambda: is_refused(server.port))
                assert server.process.poll() is None
            assert server.process.wait(timeout=20) == 0

        outcomes = under_load(server, stop)
    assert (outcomes["lost"], outcomes["hung"]) == (0, 0)
    assert outcomes["answered"] > 200
    assert outcomes["refused"] > 0


def test_vanished_clients_do_no_harm(server: Server) -> None:
    """Clients that vanish while they wait do no harm to others."""
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(BODY) + BODY)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close with a reset
    answer = httpx.post(f"{server.url}/predict", content=BODY, headers=HEADERS)
    assert answer.status_code == 200
    assert server.metric('model_requests_total{protocol="native",route="/predict",status="500"}') == 0


FRAGMENTS = (
    b"null", b"NaN", b"1e999", b"-0", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"\x00", b"\xff", b",", b":", b"}",
    b'"x":', b"1" * 400, b'"' + b"y" * 2_000 + b'"', b'{"columns":', b"[" * 200,
)  # fmt: skip


def mutate(body: bytes, generator: random.Random) -> bytes:
    """Return a body with a few pieces changed, deleted, duplicated or replaced."""
    content = bytearray(body)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.randint(0, 12))
        match generator.randrange(4):
            case 0 if start < len(content):
                content[start] = generator.randrange(256)
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case _:
                content[start:end] = generator.choice(FRAGMENTS)
    return bytes(content)


async def _fuzz(port: int, requests: int, seed: int) -> Counter[int]:
    """Send this number of mutated requests over one connection and count the statuses."""
    generator = random.Random(seed)
    statuses: Counter[int] = Counter()
    columns = json.dumps({"columns": {name: [value] for name, value in tiny.ROW.items()}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        body = mutate(generator.choice((BODY, columns)), generator)
        writer.write(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        statuses[int(head[9:12])] += 1
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()
    return statuses


def fuzz(server: Server, requests: int, seed: int) -> Counter[int]:
    async def run() -> list[Counter[int]]:
        return await asyncio.gather(*(_fuzz(server.port, requests // 8, 8 * seed + part) for part in range(8)))

    return sum(asyncio.run(run()), Counter())


def test_mutated_requests_bring_no_5xx_and_leak_no_memory(server: Server) -> None:
    """A hundred thousand mutated requests bring no status of 500 or above, and leave no memory behind."""
    (worker,) = server.workers()
    warm_up_statuses = fuzz(server, 20_000, seed=0)
    before = worker.memory_info().rss
    statuses = warm_up_statuses + fuzz(server, 80_000, seed=1)
    assert statuses.total() == 100_000
    assert statuses.keys() <= {200, 400, 422}
    assert min(statuses.values()) > 1_000
    assert worker.memory_info().rss - before < 20_000_000
