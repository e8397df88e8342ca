import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import psutil
import pytest

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.measurement import machine, relative_latency, server_measurement
from model_deployer.handoff.measurement.load_generator import LoadTest
from model_deployer.handoff.measurement.processes import Processes
from model_deployer.handoff.measurement.server_measurement import measure
from model_deployer.package.measurements import MAX_OTHERS_SHARE
from model_deployer.package.samples import Sample, Samples
from model_deployer.package.sizing import Sizing
from model_deployer.system import cpus
from tests.support import tiny
from tests.support.processes import Server, free_port
from tests.support.servers import WITH_RUNNER, SharedServers


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_measurement, "SECONDS", 0.2)
    monkeypatch.setattr(server_measurement, "CLIENTS", (1, 8))
    monkeypatch.setattr(server_measurement, "MAX_CLIENTS", 8)
    monkeypatch.setattr(server_measurement, "ATTEMPTS", 2)
    monkeypatch.setattr(relative_latency, "ATTEMPTS", 1)


def samples(*rows: object) -> Samples:
    golden = tuple(Sample(case="golden", request={"rows": [row]}, status=200, answer={}) for row in rows)
    return Samples(model={}, tolerance=1e-5, golden=golden, edge=(), invalid=())


GOLDEN = samples(tiny.ROW, tiny.ROW | {"distance": 1.5}, tiny.ROW | {"remark": None})


def test_a_server_is_asked_for_more_and_more(server: Server) -> None:
    def counts() -> tuple[float, float]:
        requests = 'model_requests_total{protocol="native",route="/predict",status="200"}'
        return server.metric(requests), server.metric("model_rows_total")

    before = counts()
    measured = measure(server.url, server.process.pid, GOLDEN, 1.23456, tiny.CONTRACT)
    assert [(step.rows, step.clients) for step in measured.by_rows] == [(1, 1), (10, 1), (100, 1)]  # limits.rows is 100
    assert [(step.rows, step.clients) for step in measured.by_load] == [(1, 1), (1, 8)]
    steps = (*measured.by_rows, measured.by_load[1])
    for step in steps:
        assert 0 < step.p50 <= step.p95 <= step.p99
        assert step.requests >= 50
        assert step.failures == 0
        assert step.requests_per_second == pytest.approx(step.requests / step.seconds, rel=0.01)
        assert step.cores is not None
        # Each client has at most one open request, which limits latency times throughput (Little's law).
        assert step.p50 / 1000 * step.requests_per_second < 2.5 * step.clients
        assert step.conditions is not None
        # The clients run in one thread; the memory of the server is not read while they wait.
        assert 0 <= step.conditions.client_cores <= 1.1
        assert (step.busy, step.attempts) in ((False, 1), (False, 2), (True, 2))
        assert step.busy == step.conditions.is_busy
    requests, rows = counts()
    assert requests - before[0] > sum(step.requests for step in steps)  # there was a warm-up, too
    assert rows - before[1] > sum(step.requests * step.rows for step in steps)
    assert (measured.engine, measured.workers, measured.cold_start_seconds) == ("cpu", 1, 1.235)


def test_memory_is_measured_with_the_largest_requests(server: Server) -> None:
    """Several clients send as many rows and as many bytes as the limits allow."""
    limits = tiny.CONTRACT.limits.model_copy(update={"body_bytes": 1024 * 1024})
    contract = tiny.CONTRACT.model_copy(update={"limits": limits})
    measured = measure(server.url, server.process.pid, GOLDEN, 1.0, contract)
    largest = measured.largest
    assert largest is not None
    assert (largest.rows, largest.body_bytes, largest.clients) == (limits.rows, 1024 * 1024, 16)
    assert largest.answered + largest.refused >= 32
    assert largest.answered > 0
    assert measured.memory_ready_bytes is not None
    assert measured.memory_loaded_bytes is not None
    assert measured.memory_loaded_bytes >= measured.memory_ready_bytes


def test_rows_are_fewer_if_the_bytes_do_not_suffice(server: Server) -> None:
    limits = tiny.CONTRACT.limits.model_copy(update={"body_bytes": 2000})
    measured = measure(server.url, server.process.pid, GOLDEN, 1.0, tiny.CONTRACT.model_copy(update={"limits": limits}))
    assert measured.largest is not None
    assert 1 < measured.largest.rows < limits.rows
    assert measured.largest.body_bytes == 2000


@contextmanager
def busy_cores() -> Iterator[None]:
    """Other processes that keep every core of this machine busy."""
    commands = [[sys.executable, "-c", "while True: pass"]] * (psutil.cpu_count() or 1)
    processes = [subprocess.Popen(command) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_busy_machine_is_measured_again_and_then_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other processes use makes a measurement repeat; if they stay, the least disturbed one is marked."""
    monkeypatch.setattr(server_measurement, "CLIENTS", (1,))
    monkeypatch.setattr(server_measurement, "ROWS", (1,))
    with busy_cores():
        measured = measure(server.url, server.process.pid, GOLDEN, 1.0, tiny.CONTRACT)
    (step,) = measured.by_load
    assert (step.busy, step.attempts) == (True, 2)
    assert step.conditions is not None
    assert step.conditions.others_share > MAX_OTHERS_SHARE
    assert measured.is_busy
    assert Sizing(measured, 30).is_withheld


def test_clients_are_added_until_the_cores_are_busy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose cores are not busy gets more clients; on a busy machine they would not help."""
    monkeypatch.setattr(server_measurement, "CLIENTS", (1,))
    monkeypatch.setattr(server_measurement, "MAX_CLIENTS", 12)
    measured = measure(server.url, server.process.pid, GOLDEN, 1.0, tiny.CONTRACT)
    clients = [step.clients for step in measured.by_load]
    assert clients in ([1], [1, 4], [1, 4, 12])
    if not measured.is_busy and not Sizing(measured, 30).is_saturated:
        assert clients == [1, 4, 12]


def test_memory_is_that_of_the_whole_tree_of_processes(server: Server) -> None:
    memory = Processes(server.process.pid).memory()
    tree = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    assert len(tree) > 1
    sizes = [process.memory_full_info().pss for process in tree]
    assert memory == pytest.approx(sum(sizes), rel=0.05)
    assert max(sizes) < memory < sum(process.memory_info().rss for process in tree)


def test_every_kind_of_row_is_sent(server: Server) -> None:
    def missing() -> float:
        return server.metric('model_feature_values_total{bin="missing",feature="remark"}')

    before = missing()
    measure(server.url, server.process.pid, GOLDEN, 1.0, tiny.CONTRACT)
    assert missing() > before


def test_a_server_that_refuses_everything_has_no_figures(server: Server) -> None:
    with pytest.raises(EnvironmentFault, match=r"1 client, 1 row per request: no request got a prediction \(422\)"):
        measure(server.url, server.process.pid, samples({"distance": "far"}), 1.0, tiny.CONTRACT)


def test_nor_has_one_that_is_gone() -> None:
    with pytest.raises(EnvironmentFault, match="lost connections"):
        measure(f"http://127.0.0.1:{free_port()}", os.getpid(), GOLDEN, 1.0, tiny.CONTRACT)


def test_workers_and_engine_are_told(servers: SharedServers) -> None:
    processes = Processes(servers.get(WITH_RUNNER).process.pid)
    assert (processes.engine(), processes.workers()) == ("runner", 1)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """A server that sends these answers in turn, and closes the connection after an empty or a closing one."""
    turns = count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                content = answers[next(turns) % len(answers)]
                writer.write(content)
                if not content or b"close" in content:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"


async def test_failures_are_counted_and_are_no_part_of_the_latencies() -> None:
    async with answering(OK, BUSY, OK, b"") as url:
        result = await LoadTest(url, [b"{}"], clients=1, seconds=0.05, min_requests=40, timeout_seconds=5).run()
    assert result.requests >= 40
    shares = {status: len(latencies) / result.requests for status, latencies in result.latencies.items()}
    assert shares == pytest.approx({200: 0.5, 503: 0.25, 0: 0.25}, abs=0.03)
    assert len(result.successes) == len(result.latencies[200])


async def test_a_connection_that_the_server_closes_is_opened_anew() -> None:
    async with answering(OK, CLOSING) as url:
        result = await LoadTest(url, [b"{}"], clients=2, seconds=0.05, min_requests=40, timeout_seconds=5).run()
    assert set(result.latencies) == {200}


async def test_requests_with_a_rate_are_sent_when_they_are_due() -> None:
    """The first one is due at the start. Sent an interval later, each would count that interval as its latency."""
    async with answering(OK) as url:
        result = await LoadTest(url, [b"{}"], clients=2, seconds=0.1, rate=0.1, timeout_seconds=5).run()
    assert (result.requests, result.unsent) == (1, 0)


async def test_a_server_that_never_answers_ends_the_measurement() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(EnvironmentFault, match=r"without an answer for 0\.1 seconds"):
            await LoadTest(url, [b"{}"], clients=2, seconds=0.01, min_requests=1, timeout_seconds=0.1).run()


def test_the_machine_is_told_as_far_as_it_tells() -> None:
    host = machine.machine()
    assert 1 <= host.cores <= psutil.cpu_count()
    assert host.memory_bytes <= psutil.virtual_memory().total
    assert host.system.startswith(os.uname().sysname)


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [
        ({"cpu.max": "150000 100000\n", "memory.max": "1048576\n"}, 1, 1_048_576),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, 64, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64, None),
        ({}, 64, None),
    ],
)
def test_a_container_may_use_what_it_is_given(
    files: dict[str, str], cores: int, memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cpus, "CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    host = machine.machine()
    assert host.cores == cores
    assert host.memory_bytes == (memory or psutil.virtual_memory().total)
