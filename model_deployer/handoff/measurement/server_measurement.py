"""A running server is asked more and more, and what it takes becomes benchmarks/measurements.json."""

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
    from uvloop import (
        new_event_loop,
    )  # the clients' own part of a latency is a fraction of what it is in asyncio's loop

#: Rows of the requests of one client.
ROWS = (1, 10, 100, 1000)

#: Clients that ask for one row at a time.
CLIENTS = (1, 4, 16, 64)

#: How long each of them is asked for; before that, a quarter as long to warm up.
SECONDS = 3.0

#: Requests of each, at least: fewer have no percentiles worth the name.
_LEAST = 50

#: Different requests in a cell, at most.
_VARIETY = 16

#: Seconds between two looks at the memory of a server under load.
_GLANCE = 0.5


def measure(url: str, pid: int, samples: Samples, cold_start_seconds: float, contract: Contract) -> Measurements:
    """What a server takes for requests of more and more rows, and from more and more clients.

    The clients run in this process, on the server's own machine, and reach it through the loopback interface: no
    network is in the figures, but the clients take their part of the processor. Each sends a request when the one
    before it is answered, so that a slow server is asked less. A percentile is one of the requests of a cell; the more
    of them there were, the better it is known.

    Args:
        url: Of the server, which wants no API key.
        pid: Of its first process.
        samples: The golden ones are asked for, over and over.
        cold_start_seconds: How long it took to get ready.
        contract: Of its model.

    Raises:
        EnvironmentFault: No request of a cell was answered with 200, or one was not answered at all.
    """
    processes = Processes(pid)
    ready = processes.memory()
    rows = [row for sample in samples.golden for row in sample.request["rows"]]
    bench = _Bench(url, processes, rows, contract.limits)
    one = bench.measure(1, 1)
    by_rows = [bench.measure(count, 1) for count in ROWS[1:] if bench.is_allowed(count)]
    by_load = [bench.measure(1, clients) for clients in CLIENTS[1:]]
    return Measurements(
        machine=machine(),
        when=datetime.now(UTC).replace(microsecond=0),
        engine=processes.engine(),
        workers=processes.workers(),
        cold_start_seconds=round(cold_start_seconds, 3),
        memory_ready_bytes=ready,
        memory_loaded_bytes=bench.memory,
        by_rows=(one, *by_rows),
        by_load=(one, *by_load),
    )


class _Bench:
    """A server under load.

    Attributes:
        memory: The most that its processes were seen to hold; None where the system does not tell.
    """

    def __init__(self, url: str, processes: Processes, rows: Sequence[Mapping[str, Any]], limits: Limits) -> None:
        self.memory: int | None = None
        self._url = url
        self._processes = processes
        self._rows = rows
        self._limits = limits

    def is_allowed(self, count: int) -> bool:
        """Whether the model's limits allow requests of so many rows."""
        return count <= self._limits.rows and max(map(len, self._bodies(count))) <= self._limits.body_bytes

    def measure(self, count: int, clients: int) -> Latency:
        """What ``clients`` at once see, that ask for ``count`` rows in each request.

        Raises:
            EnvironmentFault: None of them gets an answer.
        """
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            answers, cores = runner.run(self._press(count, clients))
        asked = f"{clients} client{'s' * (clients > 1)}, {count:,} row{'s' * (count > 1)} a request"
        if not answers.successes:
            statuses = ", ".join(str(status) for status in answers.latencies if status) or "lost connections"
            raise EnvironmentFault(f"{asked}: no request got a prediction ({statuses}); see the server's log")
        p50, p95, p99 = (round(1000 * float(share), 3) for share in np.percentile(answers.successes, (50, 95, 99)))
        per_second = len(answers.successes) / answers.seconds
        get_console().print(
            f"{'':>15}  {asked}: p50 {p50:.3g} ms, p99 {p99:.3g} ms, {per_second:,.0f} a second",
            highlight=False,
            soft_wrap=True,
        )
        return Latency(
            rows=count,
            clients=clients,
            requests=answers.requests,
            failures=answers.requests - len(answers.successes),
            seconds=round(answers.seconds, 3),
            p50=p50,
            p95=p95,
            p99=p99,
            requests_per_second=round(per_second, 1),
            cores=round(cores, 2),
        )

    async def _press(self, count: int, clients: int) -> tuple[LoadResult, float]:
        """The answers, and how many cores the server kept busy meanwhile."""
        timeout = self._limits.timeout_seconds + 5
        load = LoadTest(self._url, self._bodies(count), clients, SECONDS, _LEAST, timeout)
        await replace(load, seconds=SECONDS / 4, min_requests=clients).run()
        watching = asyncio.create_task(self._watch_memory())
        before = self._processes.seconds()
        answers = await load.run()
        cores = (self._processes.seconds() - before) / answers.seconds
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        return answers, cores

    async def _watch_memory(self) -> None:
        """Again and again, in a thread: the clients do not wait for it."""
        while True:
            if held := await asyncio.to_thread(self._processes.memory):
                self.memory = max(held, self.memory or 0)
            await asyncio.sleep(_GLANCE)

    def _bodies(self, count: int) -> list[bytes]:
        """Different requests of so many rows: each begins with another one."""
        endless = itertools.cycle(self._rows)
        starts = min(_VARIETY, len(self._rows))
        return [
            json.dumps(
                {"rows": list(itertools.islice(endless, count))}, ensure_ascii=False, separators=(",", ":")
            ).encode()
            for _ in range(starts)
        ]
