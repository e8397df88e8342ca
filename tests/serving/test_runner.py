"""The runner, on the CPU in these tests: the same answers, also while it is unavailable."""

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
    tiny.ROW | changes
    for changes in (
        {},
        {"origin": "LGA", "remark": "", "temp": None},
        {"carrier": None, "booked": None, "holiday": True},
        {"carrier": "ÅÄÖ", "remark": "x" * 200},
    )
]


@pytest.fixture(scope="module")
def with_runner(servers: SharedServers) -> Server:
    """A server with a runner, shared by tests that do not harm it."""
    shared = servers.get(WITH_RUNNER)
    until(lambda: ask(shared) is not None and readiness(shared) == "ready")
    return shared


@pytest.fixture
def with_own_runner(tmp_path: Path) -> Iterator[Server]:
    """A server with a runner that a test may harm."""
    home, variables = tiny.home(tmp_path / "home", "1.0.0"), dict(WITH_RUNNER.variables)
    with serve([], home, tmp_path / "log", variables=variables) as started:
        until(lambda: ask(started) is not None and readiness(started) == "ready")
        yield started


def ask(server: Server, rows: Any = None) -> Any:
    answer = httpx.post(f"{server.url}/predict", json={"rows": rows or ROWS}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def readiness(server: Server) -> str:
    answer = httpx.get(f"{server.url}/readyz")
    assert answer.status_code == 200
    return answer.text.strip()


def runner_of(server: Server) -> psutil.Process:
    (runner,) = (worker for worker in server.workers() if "Runner" in worker.cmdline())
    return runner


def test_the_runner_answers_what_the_worker_would(server: Server, with_runner: Server) -> None:
    assert ask(with_runner) == ask(server)
    assert with_runner.metric("model_degraded") == 0
    lines = [json.loads(line) for line in with_runner.log.read_text().splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["level"] == "error"]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)])
def test_nobody_notices_that_the_runner_is_gone(
    server: Server, with_own_runner: Server, signal_number: signal.Signals
) -> None:
    """The runner is killed, or hangs: all answers under load are right, the state is visible, and it recovers."""
    expected = ask(server)
    runner = runner_of(with_own_runner)
    with ThreadPoolExecutor(4) as pool:
        before = [pool.submit(ask, with_own_runner) for _ in range(80)]
        assert before[39].result() == expected
        os.kill(runner.pid, signal_number)
        after = [pool.submit(ask, with_own_runner) for _ in range(40)]
        assert all(answer.result() == expected for answer in before + after)
    until(lambda: with_own_runner.metric("model_degraded") == 1 or runner_of(with_own_runner).pid != runner.pid)
    if signal_number == signal.SIGSTOP:
        assert readiness(with_own_runner) == "degraded: the runner does not answer; the CPU of the worker does"
        os.kill(runner.pid, signal.SIGCONT)
    until(lambda: readiness(with_own_runner) == "ready" and with_own_runner.metric("model_degraded") == 0)
    assert ask(with_own_runner) == expected
    log = with_own_runner.log.read_text()
    assert log.count("the runner does not answer; this worker does") == log.count("the runner answers again")


def test_a_row_whose_answer_is_not_a_number_fails_no_other_request(with_runner: Server) -> None:
    requests = [[tiny.ROW]] * 8 + [[tiny.ROW, tiny.UNANSWERED]] + [[tiny.ROW]] * 8

    def status_of(rows: list[dict[str, Any]]) -> tuple[int, list[int]]:
        answer = httpx.post(f"{with_runner.url}/predict", json={"rows": rows}, timeout=30)
        return answer.status_code, [problem["row"] for problem in answer.json().get("errors", [])]

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(status_of, requests))
    assert outcomes.pop(8) == (422, [1])
    assert outcomes == [(200, [])] * 16
    assert with_runner.metric("model_degraded") == 0


def test_the_runner_is_reached_by_no_network(with_runner: Server) -> None:
    connections = runner_of(with_runner).net_connections()
    ports = {connection.laddr.port for connection in connections if connection.status == "LISTEN"}
    assert ports <= {with_runner.port}
    assert httpx.post(f"{with_runner.url}/run", json={"batches": []}).status_code == 404
