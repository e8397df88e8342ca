"""Sizing: capacity, objectives, replicas, resources and probes, each computed from the measurements, with its formula.

If the machine was busy, all figures are withheld that depend on its speed; memory and probes do not.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from model_deployer.contract.number_format import count, duration, percentage, size
from model_deployer.package.measurements import Latency, Measurements

#: The share of the cores that a server may use, above which it is at capacity. The same share of a core limits clients.
SATURATED_SHARE = 0.85

#: The safe load of a replica, as a share of its capacity. The rest is for bursts, and for the load of a replica that
#: fails. Near capacity, waiting times grow without bound.
SAFE_LOAD_SHARE = 0.6

#: The latency objective, as a multiple of the measured latency, which includes neither the network nor other machines.
LATENCY_HEADROOM = 2

#: The timeout of a client, as a multiple of the slowest requests: a client gives up on faults, not on peaks...
CLIENT_TIMEOUT_FACTOR = 4

#: ...and its lower limit: opening a connection, or losing a packet, may take this long.
MIN_CLIENT_TIMEOUT_SECONDS = 1.0

#: Replicas in addition to those that carry the load: one may fail, or be replaced by the next version.
SPARE_REPLICAS = 1

#: The replicas if their number cannot be computed, because the machine was busy: one that works, and the spare ones.
MIN_REPLICAS = 1 + SPARE_REPLICAS

#: Requests per second in the worked example.
EXAMPLE_LOAD = 1_000

#: The smallest CPU request, in cores; the share of a smaller one would be less than the precision of the measurement.
MIN_CPU_REQUEST = 0.01

#: The memory limit, as a multiple of the measured peak: a replica above it is killed, and heaps grow with time.
MEMORY_HEADROOM = 1.25

#: Memory requests and limits are rounded up to a multiple of this.
MEMORY_STEP_BYTES = 64 * 1024 * 1024

_MIB = 1024 * 1024

#: The allowed start time, as a multiple of the measured one: a busy machine may read the files for the first time.
STARTUP_HEADROOM = 5

#: The time between two probes (Kubernetes: `periodSeconds`), during startup and afterwards.
STARTUP_PERIOD_SECONDS, READINESS_PERIOD_SECONDS = 2, 5

#: The number of consecutive failed probes after which a replica gets no more requests.
READINESS_FAILURES = 2


class Size(NamedTuple):
    """A sizing figure for people: its name, its value with a unit, and the formula with the numbers in it."""

    name: str
    figure: str
    formula: str


class Objective(NamedTuple):
    """A latency objective: 99 of 100 requests should be answered within this time.

    Attributes:
        rows: The largest number of rows of the requests that it is for.
        seconds: The time.
        p99: The measured latency that it is computed from, in milliseconds.
    """

    rows: int
    seconds: float
    p99: float


@dataclass(frozen=True)
class Sizing:
    """The sizing figures as numbers.

    Attributes:
        measured: The measurements that the figures are computed from.
        timeout_seconds: The model's time limit of a request.
    """

    measured: Measurements
    timeout_seconds: float

    @property
    def is_withheld(self) -> bool:
        """Whether the figures are withheld that depend on the speed of the machine, because it was busy."""
        return self.measured.is_busy

    @cached_property
    def best_load(self) -> Latency:
        """The load with the highest throughput, among those without failures if there are any."""
        steps = self.measured.by_load
        steps_without_failures = [step for step in steps if not step.failures]
        return max(steps_without_failures or steps, key=lambda step: step.requests_per_second)

    @property
    def usable_cores(self) -> int:
        """The number of cores that the server can keep busy: one for each worker, as far as the machine has them."""
        return min(self.measured.workers, self.measured.machine.cores)

    @property
    def is_saturated(self) -> bool:
        """Whether the server's cores were busy under the best load; otherwise a replica may be able to do more."""
        return self.best_load.cores is not None and self.best_load.cores >= SATURATED_SHARE * self.usable_cores

    @property
    def capacity(self) -> float:
        """The number of one-row requests that a replica answers per second; at least that if it is not saturated."""
        return _round_down(self.best_load.requests_per_second)

    @property
    def safe_load(self) -> float:
        """The number of one-row requests per second that a replica should get at most; not rounded again."""
        return SAFE_LOAD_SHARE * self.capacity

    @cached_property
    def nearest_load(self) -> Latency:
        """The measured load that is nearest to the safe load."""
        return min(self.measured.by_load, key=lambda step: abs(step.requests_per_second - self.safe_load))

    @property
    def objective_seconds(self) -> float:
        """The latency objective of one-row requests, also if it is withheld."""
        return round_up_to_bucket(LATENCY_HEADROOM * self.nearest_load.p99 / 1000)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The latency objectives by the number of rows per request; none if they are withheld.

        That of larger requests is computed from those of one client, which keeps the server busy with them. A smaller
        request never has the longer time.
        """
        if self.is_withheld:
            return ()
        p99, objectives = 0.0, []
        larger = sorted((step for step in self.measured.by_rows if step.rows > 1), key=lambda step: step.rows)
        for rows, step in ((1, self.nearest_load), *((step.rows, step) for step in larger)):
            p99 = max(p99, step.p99)
            objectives.append(Objective(rows, round_up_to_bucket(LATENCY_HEADROOM * p99 / 1000), p99))
        return tuple(objectives)

    @cached_property
    def slowest_load(self) -> Latency:
        """The measured load with the highest p99, for any number of rows and clients."""
        return max(self.measured.steps, key=lambda step: step.p99)

    @property
    def client_timeout_seconds(self) -> float:
        """How long a client should wait for an answer."""
        return min(
            self.timeout_seconds,
            round_up_to_bucket(max(MIN_CLIENT_TIMEOUT_SECONDS, CLIENT_TIMEOUT_FACTOR * self.slowest_load.p99 / 1000)),
        )

    def replicas(self, load: float) -> int:
        """Return the number of replicas for a load in one-row requests per second."""
        return math.ceil(load / self.safe_load) + SPARE_REPLICAS

    @property
    def cpu_request(self) -> float | None:
        """The cores to request: those that are busy at capacity; None if they were not measured or are withheld.

        They are not rounded again, so that the autoscaler's share of them is the same share of the capacity.
        """
        cores = self.best_load.cores
        return None if cores is None or self.is_withheld else max(MIN_CPU_REQUEST, cores)

    @property
    def cpu_limit(self) -> int | None:
        """The cores above which a replica is throttled; None if the use of cores was not measured or is withheld."""
        return None if self.max_cores is None or self.is_withheld else max(1, math.ceil(self.max_cores))

    @property
    def max_cores(self) -> float | None:
        """The most cores that were busy in any measurement; None if the use of cores was not measured."""
        return max((step.cores for step in self.measured.steps if step.cores is not None), default=None)

    @property
    def memory_request(self) -> int | None:
        """The bytes of memory to request; None if memory was not measured."""
        return _round_up_memory(self.measured.memory_loaded_bytes)

    @property
    def memory_limit(self) -> int | None:
        """The bytes of memory above which a replica is killed; None if memory was not measured."""
        peak = self.measured.memory_loaded_bytes
        return _round_up_memory(None if peak is None else MEMORY_HEADROOM * peak)

    @property
    def startup_failures(self) -> int:
        """The number of startup probes that may fail before a replica counts as broken."""
        return math.ceil(STARTUP_HEADROOM * self.measured.cold_start_seconds / STARTUP_PERIOD_SECONDS)


def round_up_to_bucket(value: float) -> float:
    """Return a positive number rounded up to 1, 2.5 or 5 times a power of ten, like the buckets of /metrics."""
    power = 10.0 ** math.floor(math.log10(value))
    buckets = (float(f"{factor * power:.3g}") for factor in (1, 2.5, 5, 10))
    return next(bucket for bucket in buckets if bucket >= value)


def sizes(sizing: Sizing) -> list[Size]:
    """Return all sizing figures as text, without those that were not measured or are withheld."""
    return [*loads(sizing), *_latencies(sizing), *_replicas(sizing), *resources(sizing), *probes(sizing)]


def loads(sizing: Sizing) -> Iterator[Size]:
    """Yield the capacity and the safe load of a replica; nothing if they are withheld."""
    if sizing.is_withheld:
        return
    best = sizing.best_load
    throughput = "highest measured throughput" + ("" if best.failures else " without failures")
    caveat = "; under every load some requests failed" if best.failures else ""
    limit = "" if sizing.is_saturated else f". This is not the capacity: {why_not_capacity(sizing)}"
    yield Size(
        "Capacity of a replica" if sizing.is_saturated else "Highest rate measured of a replica",
        f"{rate(sizing.capacity)} one-row requests per second",
        f"{throughput}: {best.requests_per_second:,.1f}, with {_clients(best)}; rounded down to three digits{caveat}"
        f"{limit}",
    )
    yield Size(
        "Safe load of a replica",
        f"{rate(sizing.safe_load)} one-row requests per second",
        f"{percentage(SAFE_LOAD_SHARE)} of {rate(sizing.capacity)}",
    )


def why_not_capacity(sizing: Sizing) -> str:
    """Return what limited the best load if the server's cores were not busy."""
    best, machine_cores = sizing.best_load, sizing.measured.machine.cores
    if best.cores is None or best.conditions is None:
        return "the use of the processor was not measured"
    server = f"the server used {best.cores:.2f} of {count(sizing.usable_cores, 'core')}"
    client_cores = best.conditions.client_cores
    if client_cores >= SATURATED_SHARE:
        return f"{server}, and the clients, which can use one core, {client_cores:.2f}"
    if best.cores + client_cores >= SATURATED_SHARE * machine_cores:
        return f"{server}, and the clients on the same {count(machine_cores, 'core')} {client_cores:.2f}"
    return f"{server}, the clients {client_cores:.2f}; what limited the rate is not known"


def _latencies(sizing: Sizing) -> Iterator[Size]:
    if sizing.is_withheld:
        return
    nearest, slowest = sizing.nearest_load, sizing.slowest_load
    for objective in sizing.objectives:
        if objective.rows == 1:
            name, requests = "Latency objective", "one-row requests"
            source = f"the measured load nearest to the safe load ({_clients(nearest)})"
        else:
            name, requests = f"Latency objective, up to {objective.rows:,} rows", "requests"
            source = "one client with as many rows per request, or of fewer rows if that is longer"
        yield Size(
            name,
            f"99 of 100 {requests} within {duration(objective.seconds)}",
            f"{LATENCY_HEADROOM} x {objective.p99:,.4g} ms, the p99 of {source}; "
            "rounded up to 1, 2.5 or 5 times a power of ten",
        )
    yield Size(
        "Client timeout",
        f"{duration(sizing.client_timeout_seconds)} for one attempt",
        f"{CLIENT_TIMEOUT_FACTOR} x {slowest.p99:,.4g} ms, the longest measured p99 "
        f"({_clients(slowest)}, {count(slowest.rows, 'row')} per request), "
        f"at least {duration(MIN_CLIENT_TIMEOUT_SECONDS)}; "
        "rounded up to 1, 2.5 or 5 times a power of ten; at most the model's request timeout of "
        f"{duration(sizing.timeout_seconds)}. The clients in examples/ limit a whole call with its retries, by default "
        f"to {duration(sizing.timeout_seconds)}",
    )


def _replicas(sizing: Sizing) -> Iterator[Size]:
    if sizing.is_withheld:
        return
    yield replicas(sizing, f"Replicas, for example for {EXAMPLE_LOAD:,} one-row requests per second", EXAMPLE_LOAD)
    yield autoscaling(sizing)


def replicas(sizing: Sizing, name: str, load: float) -> Size:
    """Return the number of replicas for a load in one-row requests per second."""
    number = sizing.replicas(load)
    return Size(
        name,
        f"{number:,}",
        f"requests per second / safe load, rounded up, plus {SPARE_REPLICAS} spare: "
        f"{rate(load)} / {rate(sizing.safe_load)} -> {number - SPARE_REPLICAS:,} + {SPARE_REPLICAS}",
    )


def autoscaling(sizing: Sizing) -> Size:
    """Return the load per replica that the autoscaler aims at."""
    return Size(
        "Autoscaler target",
        f"{percentage(SAFE_LOAD_SHARE)} of the requested CPU, "
        f"or {rate(sizing.safe_load)} requests per second per replica",
        f"{percentage(SAFE_LOAD_SHARE)} of a replica's CPU use, or of its throughput, at capacity",
    )


def resources(sizing: Sizing) -> Iterator[Size]:
    """Yield the requests and limits of CPU and memory, without those that were not measured or are withheld."""
    if sizing.cpu_request is not None:
        yield Size(
            "CPU request",
            f"{round(1000 * sizing.cpu_request)}m",
            f"{sizing.best_load.cores} cores busy at {'capacity' if sizing.is_saturated else 'the highest rate'}",
        )
        yield Size(
            "CPU limit",
            f"{sizing.cpu_limit}",
            f"{sizing.max_cores} cores, the most that were busy in any measurement, rounded up to a whole number",
        )
    peak = sizing.measured.memory_loaded_bytes
    if peak is not None and sizing.memory_request is not None and sizing.memory_limit is not None:
        both = " of the service and the process of the model" if sizing.measured.engine == "source" else ""
        peak_text = f"{peak / _MIB:,.0f} MiB, the peak{both} {memory_load(sizing.measured)}"
        rounding = f"rounded up to a multiple of {MEMORY_STEP_BYTES // _MIB} MiB"
        yield Size("Memory request", f"{sizing.memory_request // _MIB}Mi", f"{peak_text}; {rounding}")
        yield Size("Memory limit", f"{sizing.memory_limit // _MIB}Mi", f"{MEMORY_HEADROOM} x {peak_text}; {rounding}")


def memory_load(measured: Measurements) -> str:
    """Return the load of the peak of memory, as it follows "peak": with the largest requests of 16 clients."""
    largest = measured.largest
    if largest is None:
        return "under load"
    return (
        f"with the largest requests of {count(largest.clients, 'client')} at a time: {count(largest.rows, 'row')}, "
        f"up to {size(largest.body_bytes)}"
    )


def probes(sizing: Sizing) -> Iterator[Size]:
    """Yield the probes with which an orchestrator checks whether a replica is ready."""
    yield Size(
        "Startup probe",
        f"GET /readyz, periodSeconds {STARTUP_PERIOD_SECONDS}, failureThreshold {sizing.startup_failures}",
        f"{STARTUP_HEADROOM} x {sizing.measured.cold_start_seconds:.3g} s, the measured start time, "
        f"divided by {STARTUP_PERIOD_SECONDS} s; rounded up",
    )
    yield Size(
        "Readiness probe",
        f"GET /readyz, periodSeconds {READINESS_PERIOD_SECONDS}, failureThreshold {READINESS_FAILURES}",
        f"no more requests {READINESS_FAILURES * READINESS_PERIOD_SECONDS} s after it is no longer ready: "
        f"{READINESS_FAILURES} x {READINESS_PERIOD_SECONDS} s",
    )


def rate(value: float) -> str:
    """Return a number of requests per second, with three significant digits or all digits before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _round_down(value: float) -> float:
    """Round a positive number down to three digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(value / step) * step:.3g}")


def _round_up_memory(size: float | None) -> int | None:
    return None if size is None else math.ceil(size / MEMORY_STEP_BYTES) * MEMORY_STEP_BYTES


def _clients(step: Latency) -> str:
    return count(step.clients, "client")
