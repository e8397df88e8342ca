"""Latencies as multiples of those of the reference server, which can be measured again on another machine."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.measurement import reference_server
from model_deployer.handoff.measurement.conditions import UsageMeter
from model_deployer.handoff.measurement.load_generator import LoadResult, LoadTest
from model_deployer.handoff.measurement.processes import Processes
from model_deployer.package.measurements import RelativeLatency

#: How often both servers are measured, in turn. What disturbs the machine for a moment disturbs few of the blocks.
BLOCKS = 7

#: How long one server is measured in a block, as a share of the time of another load.
BLOCK_SHARE = 1 / 12

#: How often the blocks are measured if the machine is busy.
ATTEMPTS = 3


@dataclass(frozen=True)
class _Block:
    """The latencies of both servers in one block, in milliseconds."""

    p50: float
    p99: float
    reference_p50: float


async def measure_relative_latency(test: LoadTest, server: Processes, clients: Processes) -> RelativeLatency:
    """Measure a server and the reference server in turn, until the machine is not busy.

    Args:
        test: The load of the server; the reference server gets as many clients.
        server: The processes of the server.
        clients: The processes of the clients.

    Raises:
        EnvironmentFault: If no request gets a prediction.
    """
    test = replace(test, seconds=BLOCK_SHARE * test.seconds, min_requests=max(5, 2 * test.clients))
    with _reference_server() as reference:
        attempts: list[RelativeLatency] = []
        while len(attempts) < ATTEMPTS and all(attempt.busy for attempt in attempts):
            attempts.append(await _measure_once(test, reference, server, clients))
    best = min(attempts, key=lambda attempt: attempt.conditions.others_share + attempt.conditions.steal_share)
    return best.model_copy(update={"attempts": len(attempts)})


async def _measure_once(
    test: LoadTest, reference: "_Reference", server: Processes, clients: Processes
) -> RelativeLatency:
    meter = UsageMeter(server.with_process(reference.pid), clients)
    blocks = [await _block(test, reference) for _ in range(BLOCKS)]
    conditions = meter.stop().conditions
    ratios = [block.p50 / block.reference_p50 for block in blocks]
    return RelativeLatency(
        clients=test.clients,
        p50=round(median(block.p50 for block in blocks), 3),
        p99=round(median(block.p99 for block in blocks), 3),
        reference_p50=round(median(block.reference_p50 for block in blocks), 3),
        ratio=round(median(ratios), 3),
        low=round(min(ratios), 3),
        high=round(max(ratios), 3),
        blocks=len(blocks),
        conditions=conditions,
        busy=conditions.is_busy,
    )


async def _block(test: LoadTest, reference: "_Reference") -> _Block:
    other = replace(test, url=reference.url, bodies=[reference_server.BODY])
    (unit, _), (p50, p99) = [_percentiles(load, await load.run()) for load in (other, test)]
    return _Block(p50, p99, unit)


def _percentiles(test: LoadTest, result: LoadResult) -> tuple[float, float]:
    """Return the p50 and the p99 of the latency in milliseconds."""
    if not result.successes:
        raise EnvironmentFault(f"{test.url}: no request got a prediction; see the server's log")
    p50, p99 = (1000 * np.percentile(result.successes, (50, 99))).tolist()
    return p50, p99


@dataclass(frozen=True)
class _Reference:
    """A running reference server."""

    url: str
    pid: int


@contextmanager
def _reference_server() -> Iterator[_Reference]:
    """Run the reference server, and yield it when it is ready."""
    command = [sys.executable, "-I", reference_server.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        if not port:
            raise EnvironmentFault("the reference server for latencies did not start")
        try:
            yield _Reference(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
