"""Measure a running server under several loads, for benchmarks/measurements.json."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from rich import get_console

from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.number_format import count as counted
from model_deployer.contract.number_format import percent
from model_deployer.handoff.measurement.conditions import Usage, UsageMeter
from model_deployer.handoff.measurement.load_generator import LoadResult, LoadTest
from model_deployer.handoff.measurement.machine import machine
from model_deployer.handoff.measurement.processes import Processes
from model_deployer.handoff.measurement.relative_latency import measure_relative_latency
from model_deployer.package.measurements import (
    LargestRequests,
    Latency,
    Measurements,
    RelativeLatency,
    RelativeMeasurements,
)
from model_deployer.package.samples import Samples
from model_deployer.package.sizing import Sizing

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop  # clients in this loop add much less latency than in asyncio's own

T = TypeVar("T")

#: The numbers of rows per request, for one client, in addition to the largest number that the model allows if that is
#: smaller than the last of them.
ROWS = (1, 10, 100, 1000)

#: The numbers of concurrent clients, for requests of one row.
CLIENTS = (1, 4, 16, 64)

#: The largest number of concurrent clients; more are added to ``CLIENTS`` until the server's cores are busy.
MAX_CLIENTS = 256

#: How long each load is measured, in all blocks together; a warm-up of a quarter of this time comes first.
SECONDS = 3.0

#: The number of blocks of each load, each with new connections. Clients that wait for their answers fall into step: in
#: one rhythm, four of them fill batches of two rows, in another of 1.6 on average, which takes a quarter longer. They
#: keep it for up to a second. Many short blocks measure each rhythm in its share, and their medians show the range.
BLOCKS = 12

#: How often a load is measured if the machine is busy.
ATTEMPTS = 3

#: The number of clients of each worker that send the largest requests at the same time. With the default limits, they
#: exhaust the memory that the service allows for requests, so it refuses some of them.
_LARGEST_REQUEST_CLIENTS = 16

#: The minimum number of requests of each block; percentiles of fewer requests in all are not meaningful.
_MIN_REQUESTS = 5

#: The largest number of different requests of each load.
_MAX_DIFFERENT_REQUESTS = 16

#: The interval at which the memory of a server under load is read.
_MEMORY_INTERVAL_SECONDS = 0.1


def measure(url: str, pid: int, samples: Samples, cold_start_seconds: float, contract: Contract) -> Measurements:
    """Measure a server with increasing numbers of rows per request, and with increasing numbers of clients.

    The clients run in this process, on the server's machine, and use the loopback interface. The figures therefore do
    not include a network, but the clients use a part of the processor. Each client sends a request when its previous
    one is answered, so a slow server gets fewer requests.

    A load that was measured on a busy machine is measured again, ``ATTEMPTS`` times in all. Clients are added until the
    server's cores are busy. Memory is measured last, with the largest requests that the model's limits allow.

    Args:
        url: The URL of the server, which must not require an API key.
        pid: The id of the server's first process.
        samples: The requests; the golden ones are sent again and again.
        cold_start_seconds: How long the server took to become ready.
        contract: The contract of its model.

    Raises:
        EnvironmentFault: If no request of a load is answered with 200, or a request gets no answer in time.
    """
    processes = Processes(pid)
    bench = _Bench(url, processes, _golden_rows(samples), contract.limits)
    memory_ready = bench.peak_memory
    single = bench.measure(1, 1)
    measured = Measurements(
        machine=machine(),
        when=datetime.now(UTC).replace(microsecond=0),
        engine=processes.engine(),
        workers=processes.workers(),
        cold_start_seconds=round(cold_start_seconds, 3),
        memory_ready_bytes=memory_ready,
        memory_loaded_bytes=None,
        by_rows=(single, *(bench.measure(count, 1) for count in bench.row_counts())),
        by_load=(single, *(bench.measure(1, clients) for clients in CLIENTS[1:])),
    )
    while _needs_more_clients(measured):
        step = bench.measure(1, min(MAX_CLIENTS, 4 * measured.by_load[-1].clients))
        measured = measured.model_copy(update={"by_load": (*measured.by_load, step)})
    relative = tuple(bench.measure_relative(clients) for clients in _relative_loads(measured))
    largest = bench.measure_largest()
    return measured.model_copy(
        update={"relative": relative, "memory_loaded_bytes": bench.peak_memory, "largest": largest}
    )


def measure_relative(
    url: str, pid: int, samples: Samples, contract: Contract, clients: Iterable[int]
) -> RelativeMeasurements:
    """Measure only what a verification compares, in some seconds.

    Args:
        url: The URL of the server, which must not require an API key.
        pid: The id of the server's first process.
        samples: The requests; the golden ones are sent again and again.
        contract: The contract of its model.
        clients: The numbers of clients.

    Raises:
        EnvironmentFault: If no request is answered with 200, or a request gets no answer in time.
    """
    bench = _Bench(url, Processes(pid), _golden_rows(samples), contract.limits)
    return RelativeMeasurements(machine=machine(), relative=tuple(map(bench.measure_relative, clients)))


def _golden_rows(samples: Samples) -> list[Mapping[str, Any]]:
    return [row for sample in samples.golden for row in sample.request["rows"]]


def _relative_loads(measured: Measurements) -> list[int]:
    """Return the numbers of clients whose latencies a verification measures again: one, and that of the best load."""
    return sorted({1, Sizing(measured, timeout_seconds=0).best_load.clients})


def _needs_more_clients(measured: Measurements) -> bool:
    """Return whether more clients may keep the server busier; on a busy machine, they would not."""
    is_saturated = Sizing(measured, timeout_seconds=0).is_saturated
    return not is_saturated and not measured.is_busy and measured.by_load[-1].clients < MAX_CLIENTS


class _Bench:
    """A server under load.

    Attributes:
        peak_memory: The largest memory of its processes so far, in bytes; None if the system does not report it.
    """

    def __init__(self, url: str, processes: Processes, rows: Sequence[Mapping[str, Any]], limits: Limits) -> None:
        self.peak_memory = processes.memory()
        self._url = url
        self._processes = processes
        self._clients = Processes(os.getpid(), has_children=False)
        self._rows = rows
        self._limits = limits

    def row_counts(self) -> list[int]:
        """Return the numbers of rows per request above one that the model's limits allow."""
        counts = {min(count, self._limits.rows) for count in ROWS[1:]} - {1}
        return [count for count in sorted(counts) if max(map(len, self._bodies(count))) <= self._limits.body_bytes]

    def measure(self, count: int, clients: int) -> Latency:
        """Measure ``clients`` concurrent clients that send ``count`` rows per request, until the machine is not busy.

        Raises:
            EnvironmentFault: If no request gets a prediction.
        """
        test = self._test(self._bodies(count), clients)
        load = f"{counted(clients, 'client')}, {counted(count, 'row')} per request"
        _run(replace(test, seconds=SECONDS / 4, min_requests=clients).run())
        attempts: list[Latency] = []
        while len(attempts) < ATTEMPTS and all(attempt.busy for attempt in attempts):
            blocks, usage = _run(self._run_blocks(test))
            result = LoadResult.of(blocks)
            if not result.successes:
                statuses = ", ".join(str(status) for status in result.latencies if status) or "lost connections"
                raise EnvironmentFault(f"{load}: no request got a prediction ({statuses}); see the server's log")
            attempts.append(_latency(count, clients, blocks, usage))
            _print(f"{load}: {_summary(attempts[-1])}")
        self._read_memory()
        return min(attempts, key=_disturbance).model_copy(update={"attempts": len(attempts)})

    def measure_relative(self, clients: int) -> RelativeLatency:
        """Measure clients that send one row per request, in turn with the reference server.

        Raises:
            EnvironmentFault: If no request gets a prediction.
        """
        test = self._test(self._bodies(1), clients)
        relative = _run(measure_relative_latency(test, self._processes, self._clients))
        load = f"{counted(clients, 'client')}, next to a reference server"
        _print(f"{load}: p50 {relative.p50:.3g} ms, {relative.ratio:.3g} times that of the reference")
        return relative

    def measure_largest(self) -> LargestRequests:
        """Watch the memory while several clients send the largest requests that the limits allow."""
        body = self._largest_body()
        padded = body + b" " * (self._limits.body_bytes - len(body))
        clients = _LARGEST_REQUEST_CLIENTS * self._processes.workers()
        test = replace(self._test([padded, body], clients), min_requests=2 * clients)
        result = _run(self._run_watched(test))
        largest = LargestRequests(
            rows=len(json.loads(body)["rows"]),
            body_bytes=len(padded),
            clients=clients,
            answered=len(result.successes),
            refused=result.requests - len(result.successes),
        )
        load = f"{counted(largest.clients, 'client')}, {counted(largest.rows, 'row')} per request"
        peak = "unknown" if self.peak_memory is None else f"{self.peak_memory / 1024**2:,.0f} MiB"
        _print(f"{load}, up to {largest.body_bytes:,} bytes: memory {peak}")
        return largest

    def _test(self, bodies: Sequence[bytes], clients: int) -> LoadTest:
        min_requests = BLOCKS * max(_MIN_REQUESTS, 2 * clients)
        return LoadTest(self._url, bodies, clients, SECONDS, min_requests, self._limits.timeout_seconds + 5)

    async def _run_blocks(self, test: LoadTest) -> tuple[list[LoadResult], Usage]:
        meter = UsageMeter(self._processes, self._clients)
        block = replace(test, seconds=test.seconds / BLOCKS, min_requests=test.min_requests // BLOCKS)
        results = [await block.run() for _ in range(BLOCKS)]
        return results, meter.stop()

    async def _run_watched(self, test: LoadTest) -> LoadResult:
        memory_task = asyncio.create_task(self._watch_memory())
        result = await test.run()
        memory_task.cancel()
        with suppress(asyncio.CancelledError):
            await memory_task
        return result

    async def _watch_memory(self) -> None:
        """Read the memory again and again, in a thread, so that the clients do not wait for it."""
        while True:
            await asyncio.to_thread(self._read_memory)
            await asyncio.sleep(_MEMORY_INTERVAL_SECONDS)

    def _read_memory(self) -> None:
        if size := self._processes.memory():
            self.peak_memory = max(size, self.peak_memory or 0)

    def _largest_body(self) -> bytes:
        """Return a request with as many rows as the limits of rows and of bytes allow."""
        count = self._limits.rows
        rows = itertools.cycle(self._rows)
        body = _body(itertools.islice(rows, count))
        while len(body) > self._limits.body_bytes and count > 1:
            count = max(1, int(0.99 * count * self._limits.body_bytes / len(body)))
            body = _body(itertools.islice(rows, count))
        return body

    def _bodies(self, count: int) -> list[bytes]:
        """Return different requests of ``count`` rows; each continues with the rows after the previous request."""
        endless_rows = itertools.cycle(self._rows)
        return [
            _body(itertools.islice(endless_rows, count)) for _ in range(min(_MAX_DIFFERENT_REQUESTS, len(self._rows)))
        ]


def _body(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return json.dumps({"rows": list(rows)}, ensure_ascii=False, separators=(",", ":")).encode()


def _run(load: Coroutine[Any, Any, T]) -> T:
    """Run the clients in the event loop that adds the least latency."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(load)


def _latency(count: int, clients: int, blocks: Sequence[LoadResult], usage: Usage) -> Latency:
    result = LoadResult.of(blocks)
    percentiles = np.percentile(result.successes, (50, 95, 99))
    p50, p95, p99 = (_milliseconds(seconds) for seconds in percentiles)
    medians = [_milliseconds(np.median(block.successes)) for block in blocks if block.successes]
    return Latency(
        rows=count,
        clients=clients,
        requests=result.requests,
        failures=result.requests - len(result.successes),
        seconds=round(result.seconds, 3),
        p50=p50,
        p95=p95,
        p99=p99,
        p50_low=min(medians),
        p50_high=max(medians),
        requests_per_second=round(len(result.successes) / result.seconds, 1),
        cores=usage.server_cores,
        conditions=usage.conditions,
        busy=usage.conditions.is_busy,
    )


def _milliseconds(seconds: Any) -> float:
    return round(1000 * float(seconds), 3)


def _disturbance(step: Latency) -> float:
    """Return the share of the time of all cores that neither the server nor the clients got."""
    conditions = step.conditions
    return 0.0 if conditions is None else conditions.others_share + conditions.steal_share


def _summary(step: Latency) -> str:
    latencies = f"p50 {step.p50:.3g} ms ({step.p50_low:.3g} to {step.p50_high:.3g}), p99 {step.p99:.3g} ms"
    figures = f"{latencies}, {step.requests_per_second:,.0f} requests per second"
    if step.conditions is None or not step.busy:
        return figures
    others, steal = percent(step.conditions.others_share), percent(step.conditions.steal_share)
    return f"{figures}; the machine was busy: other processes {others} of the cores, other virtual machines {steal}"


def _print(text: str) -> None:
    get_console().print(f"{'':>15}  {text}", markup=False, highlight=False, soft_wrap=True)
