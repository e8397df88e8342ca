"""The graph in a service of its own, on the CPU here: the same answers, also while it is gone."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import tiny
from tests.support.processes import Server, serve, until
from tests.support.servers import WITH_RUNNER, SharedServers

ROWS: list[dict[str, Any]] = [
    tiny.ROW | changed
    for changed in (
        {},
        {"origin": "LGA", "remark": "", "temp": None},
        {"carrier": None, "booked": None, "holiday": True},
        {"carrier": "ÅÄÖ", "remark": "x" * 200},
    )
]


@pytest.fixture(scope="module")
def with_runner(servers: SharedServers) -> Server:
    """A server with a runner, shared with others that do it no harm."""
    running = servers.get(WITH_RUNNER)
    until(lambda: ask(running) is not None and readiness(running) == "ready")
    return running


@pytest.fixture
def with_own_runner(tmp_path: Path) -> Iterator[Server]:
    """A server with a runner that a test may harm."""
    home, variables = tiny.home(tmp_path / "home", "1.0.0"), dict(WITH_RUNNER.variables)
    with serve([], home, tmp_path / "log", variables=variables) as running:
        until(lambda: ask(running) is not None and readiness(running) == "ready")
        yield running


def ask(server: Server, rows: Any = None) -> Any:
    answer = httpx.post(f"{server.url}/predict", json={"rows": rows or ROWS}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def readiness(server: Server) -> str:
    answer = httpx.get(f"{server.url}/readyz")
    assert answer.status_code == 200
    return answer.text.strip()


def runner_of(server: Server) -> psutil.Process:
    (found,) = (worker for worker in server.workers() if "Runner" in worker.cmdline())
    return found


def test_the_runner_answers_what_the_worker_would(server: Server, with_runner: Server) -> None:
    assert ask(with_runner) == ask(server)
    assert with_runner.metric("model_degraded") == 0
    lines = [json.loads(line) for line in with_runner.log.read_text().splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["level"] == "error"]


@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP])
def test_nobody_notices_that_the_runner_is_gone(server: Server, with_own_runner: Server, what: signal.Signals) -> None:
    """Killed, or hung: under load every answer is right, the state is shown, and it ends by itself."""
    expected = ask(server)
    lost = runner_of(with_own_runner)
    with ThreadPoolExecutor(4) as pool:
        before = [pool.submit(ask, with_own_runner) for _ in range(80)]
        assert before[39].result() == expected
        os.kill(lost.pid, what)
        after = [pool.submit(ask, with_own_runner) for _ in range(40)]
        assert all(answer.result() == expected for answer in before + after)
    until(lambda: with_own_runner.metric("model_degraded") == 1 or runner_of(with_own_runner).pid != lost.pid)
    if what == signal.SIGSTOP:
        assert readiness(with_own_runner) == "degraded: the runner does not answer; the CPU of the worker does"
        os.kill(lost.pid, signal.SIGCONT)
    until(lambda: readiness(with_own_runner) == "ready" and with_own_runner.metric("model_degraded") == 0)
    assert ask(with_own_runner) == expected
    log = with_own_runner.log.read_text()
    assert log.count("the runner does not answer; this worker does") == log.count("the runner answers again")


def test_the_runner_is_reached_by_no_network(with_runner: Server) -> None:
    ports = {each.laddr.port for each in runner_of(with_runner).net_connections() if each.status == "LISTEN"}
    assert ports <= {with_runner.port}
    assert httpx.post(f"{with_runner.url}/run", json={"batches": []}).status_code == 404
