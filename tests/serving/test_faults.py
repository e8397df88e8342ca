"""What must not happen under load: a wrong answer, a hang, a lost request, a server that stays away."""

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


def keep_asking(port: int, expected: bytes, is_over: Callable[[], bool]) -> Counter[str]:
    """Ask over one connection, and over a new one when that ends, until it is over; how often what came of it."""
    outcomes: Counter[str] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not is_over():
        fresh = connection.sock is None
        try:
            connection.request("POST", "/predict", BODY, HEADERS)
            answer = connection.getresponse()
            content = answer.read()
            assert (answer.status, content) == (200, expected)
            outcomes["answered"] += 1
        except TimeoutError:
            outcomes["hung"] += 1
            connection.close()
        except (OSError, http.client.HTTPException):
            outcomes["refused" if fresh else "lost"] += 1
            connection.close()
    return outcomes


def under_load(server: Server, event: Callable[[], Any]) -> Counter[str]:
    """What happens to sixteen clients who ask while ``event`` takes place."""
    expected = httpx.post(f"{server.url}/predict", content=BODY, headers=HEADERS).content
    over = False
    with ThreadPoolExecutor(16) as pool:
        clients = [pool.submit(keep_asking, server.port, expected, lambda: over) for _ in range(16)]
        try:
            until(lambda: server.metric("model_rows_total") > 200)
            event()
        finally:
            over = True
        return sum((client.result() for client in clients), Counter())


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_only_the_requests_in_its_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("services: {ModelService: {workers: 2}}\n")
    monkeypatch.setenv("BENTOML_CONFIG", str(settings))
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:
        until(lambda: len(server.workers()) == 2)

        def kill() -> None:
            lost = server.workers()[0]
            lost.kill()
            until(lambda: len({worker.pid for worker in server.workers()} - {lost.pid}) == 2)

        outcomes = under_load(server, kill)
        assert outcomes["hung"] == 0
        assert outcomes["lost"] <= 16
        assert outcomes["answered"] > 200
        answers = [httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code for _ in range(50)]
        assert answers == [200] * 50


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_answers_whatever_it_accepted(tmp_path: Path) -> None:
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:

        def stop() -> None:
            server.process.terminate()
            assert server.process.wait(timeout=20) == 0

        outcomes = under_load(server, stop)
    assert (outcomes["lost"], outcomes["hung"]) == (0, 0)
    assert outcomes["answered"] > 200


def test_a_client_that_vanishes_while_it_waits_costs_nobody_anything(server: Server) -> None:
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(BODY) + BODY)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # no farewell
    answer = httpx.post(f"{server.url}/predict", content=BODY, headers=HEADERS)
    assert answer.status_code == 200
    assert server.metric('model_requests_total{protocol="native",route="/predict",status="500"}') == 0


FRAGMENTS = (
    b"null", b"NaN", b"1e999", b"-0", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"\x00", b"\xff", b",", b":", b"}",
    b'"x":', b"1" * 400, b'"' + b"y" * 2_000 + b'"', b'{"columns":', b"[" * 200,
)  # fmt: skip


def mutated(body: bytes, chance: random.Random) -> bytes:
    """A body with a few pieces flipped, cut, doubled or replaced."""
    content = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.randint(0, 12))
        match chance.randrange(4):
            case 0 if start < len(content):
                content[start] = chance.randrange(256)
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case _:
                content[start:end] = chance.choice(FRAGMENTS)
    return bytes(content)


async def _fuzz(port: int, requests: int, seed: int) -> Counter[int]:
    """The statuses of so many mutated requests over one connection."""
    chance = random.Random(seed)
    statuses: Counter[int] = Counter()
    columns = json.dumps({"columns": {name: [value] for name, value in tiny.ROW.items()}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        body = mutated(chance.choice((BODY, columns)), chance)
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


def test_a_hundred_thousand_mutated_requests_bring_no_5xx_and_leave_no_memory_behind(server: Server) -> None:
    (worker,) = server.workers()
    warm = fuzz(server, 20_000, seed=0)
    before = worker.memory_info().rss
    statuses = warm + fuzz(server, 80_000, seed=1)
    assert statuses.total() == 100_000
    assert statuses.keys() <= {200, 400, 422}
    assert min(statuses.values()) > 1_000
    assert worker.memory_info().rss - before < 20_000_000
