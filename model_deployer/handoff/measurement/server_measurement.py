"""Measure a running server under several loads, for benchmarks/measurements.json."""

import asyncio
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich import get_console

from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.measurement.load_generator import LoadResult, LoadTest
from model_deployer.handoff.measurement.machine import machine
from model_deployer.handoff.measurement.processes import Processes
from model_deployer.package.measurements import Latency, Measurements
from model_deployer.package.samples import Samples

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop  # clients in this loop add much less latency than in asyncio's own

#: The numbers of rows per request, for one client.
ROWS = (1, 10, 100, 1000)

#: The numbers of concurrent clients, for requests of one row.
CLIENTS = (1, 4, 16, 64)

#: How long each load is measured; a warm-up of a quarter of this time comes first.
SECONDS = 3.0

#: The minimum number of requests of each load; percentiles of fewer requests are not meaningful.
_MIN_REQUESTS = 50

#: The largest number of different requests of each load.
_MAX_DIFFERENT_REQUESTS = 16

#: The interval at which the memory of a server under load is read.
_MEMORY_INTERVAL_SECONDS = 0.5


def measure(url: str, pid: int, samples: Samples, cold_start_seconds: float, contract: Contract) -> Measurements:
    """Measure a server with increasing numbers of rows per request, and with increasing numbers of clients.

    The clients run in this process, on the server's machine, and use the loopback interface. The figures therefore do
    not include a network, but the clients use a part of the processor. Each client sends a request when its previous
    one is answered, so a slow server gets fewer requests.

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
    memory_ready = processes.memory()
    rows = [row for sample in samples.golden for row in sample.request["rows"]]
    bench = _Bench(url, processes, rows, contract.limits)
    single = bench.measure(1, 1)
    by_rows = [bench.measure(count, 1) for count in ROWS[1:] if bench.is_allowed(count)]
    by_load = [bench.measure(1, clients) for clients in CLIENTS[1:]]
    return Measurements(
        machine=machine(),
        when=datetime.now(UTC).replace(microsecond=0),
        engine=processes.engine(),
        workers=processes.workers(),
        cold_start_seconds=round(cold_start_seconds, 3),
        memory_ready_bytes=memory_ready,
        memory_loaded_bytes=bench.peak_memory,
        by_rows=(single, *by_rows),
        by_load=(single, *by_load),
    )


class _Bench:
    """A server under load.

    Attributes:
        peak_memory: The largest memory of its processes so far, in bytes; None if the system does not report it.
    """

    def __init__(self, url: str, processes: Processes, rows: Sequence[Mapping[str, Any]], limits: Limits) -> None:
        self.peak_memory: int | None = None
        self._url = url
        self._processes = processes
        self._rows = rows
        self._limits = limits

    def is_allowed(self, count: int) -> bool:
        """Return whether the model's limits allow requests with ``count`` rows."""
        return count <= self._limits.rows and max(map(len, self._bodies(count))) <= self._limits.body_bytes

    def measure(self, count: int, clients: int) -> Latency:
        """Measure ``clients`` concurrent clients that send ``count`` rows per request.

        Raises:
            EnvironmentFault: If no request gets a prediction.
        """
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            result, cores = runner.run(self._run_load(count, clients))
        load = f"{clients} client{'s' * (clients > 1)}, {count:,} row{'s' * (count > 1)} per request"
        if not result.successes:
            statuses = ", ".join(str(status) for status in result.latencies if status) or "lost connections"
            raise EnvironmentFault(f"{load}: no request got a prediction ({statuses}); see the server's log")
        percentiles = np.percentile(result.successes, (50, 95, 99))
        p50, p95, p99 = (round(1000 * float(seconds), 3) for seconds in percentiles)
        per_second = len(result.successes) / result.seconds
        get_console().print(
            f"{'':>15}  {load}: p50 {p50:.3g} ms, p99 {p99:.3g} ms, {per_second:,.0f} requests per second",
            highlight=False,
            soft_wrap=True,
        )
        return Latency(
            rows=count,
            clients=clients,
            requests=result.requests,
            failures=result.requests - len(result.successes),
            seconds=round(result.seconds, 3),
            p50=p50,
            p95=p95,
            p99=p99,
            requests_per_second=round(per_second, 1),
            cores=round(cores, 2),
        )

    async def _run_load(self, count: int, clients: int) -> tuple[LoadResult, float]:
        """Run a load test; return its result, and the number of cores that the server kept busy."""
        timeout = self._limits.timeout_seconds + 5
        load = LoadTest(self._url, self._bodies(count), clients, SECONDS, _MIN_REQUESTS, timeout)
        await replace(load, seconds=SECONDS / 4, min_requests=clients).run()
        memory_task = asyncio.create_task(self._watch_memory())
        before = self._processes.seconds()
        result = await load.run()
        cores = (self._processes.seconds() - before) / result.seconds
        memory_task.cancel()
        with suppress(asyncio.CancelledError):
            await memory_task
        return result, cores

    async def _watch_memory(self) -> None:
        """Read the memory again and again, in a thread, so that the clients do not wait for it."""
        while True:
            if size := await asyncio.to_thread(self._processes.memory):
                self.peak_memory = max(size, self.peak_memory or 0)
            await asyncio.sleep(_MEMORY_INTERVAL_SECONDS)

    def _bodies(self, count: int) -> list[bytes]:
        """Return different requests of ``count`` rows; each continues with the rows after the previous request."""
        endless_rows = itertools.cycle(self._rows)
        requests = [
            {"rows": list(itertools.islice(endless_rows, count))}
            for _ in range(min(_MAX_DIFFERENT_REQUESTS, len(self._rows)))
        ]
        return [json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() for request in requests]
