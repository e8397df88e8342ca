"""Sizing: capacity, timeouts, replicas, resources and probes, each computed from the measurements, with its formula."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from model_deployer.contract.number_format import duration, percentage
from model_deployer.package.measurements import Latency, Measurements
from model_deployer.serving.config.settings import Settings

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

#: Requests per second in the worked example.
EXAMPLE_LOAD = 1_000

#: The memory that requests may take in addition to the measured peak: they may be larger than those of the measurement,
#: up to the limits of the model.
REQUEST_MEMORY_BYTES = Settings().request_memory_mb * 1024**2

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


@dataclass(frozen=True)
class Sizing:
    """The sizing figures as numbers.

    Attributes:
        measured: The measurements that the figures are computed from.
        timeout_seconds: The model's time limit of a request.
    """

    measured: Measurements
    timeout_seconds: float

    @cached_property
    def best_load(self) -> Latency:
        """The load with the highest throughput, among those without failures if there are any."""
        steps = self.measured.by_load
        steps_without_failures = [step for step in steps if not step.failures]
        return max(steps_without_failures or steps, key=lambda step: step.requests_per_second)

    @property
    def capacity(self) -> float:
        """The number of one-row requests that a replica answers per second."""
        return _round_down(self.best_load.requests_per_second)

    @property
    def safe_load(self) -> float:
        """The number of one-row requests per second that a replica should get at most."""
        return _round_down(SAFE_LOAD_SHARE * self.capacity)

    @cached_property
    def nearest_load(self) -> Latency:
        """The measured load that is nearest to the safe load."""
        return min(self.measured.by_load, key=lambda step: abs(step.requests_per_second - self.safe_load))

    @property
    def objective_seconds(self) -> float:
        """The latency objective: the time within which 99 of 100 one-row requests should be answered."""
        return round_up_to_bucket(LATENCY_HEADROOM * self.nearest_load.p99 / 1000)

    @cached_property
    def slowest_load(self) -> Latency:
        """The measured load with the highest p99, for any number of rows and clients."""
        return max((*self.measured.by_rows, *self.measured.by_load), key=lambda step: step.p99)

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
        """The cores to request: those that a replica keeps busy at capacity; None if they were not measured."""
        return None if self.best_load.cores is None else max(0.1, math.ceil(10 * self.best_load.cores) / 10)

    @property
    def cpu_limit(self) -> int | None:
        """The cores above which a replica is throttled; None if the use of cores was not measured."""
        return None if self.max_cores is None else max(1, math.ceil(self.max_cores))

    @property
    def max_cores(self) -> float | None:
        """The most cores that were busy in any measurement; None if the use of cores was not measured."""
        steps = (*self.measured.by_rows, *self.measured.by_load)
        return max((step.cores for step in steps if step.cores is not None), default=None)

    @property
    def memory_request(self) -> int | None:
        """The bytes of memory to request; None if memory was not measured."""
        return _round_up_memory(self.measured.memory_loaded_bytes)

    @property
    def memory_limit(self) -> int | None:
        """The bytes of memory above which a replica is killed; None if memory was not measured."""
        peak = self.measured.memory_loaded_bytes
        return _round_up_memory(None if peak is None else peak + REQUEST_MEMORY_BYTES)

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
    """Return all sizing figures as text, without those that depend on something that was not measured."""
    return [*loads(sizing), *_latencies(sizing), *_replicas(sizing), *resources(sizing), *probes(sizing)]


def loads(sizing: Sizing) -> Iterator[Size]:
    """Yield the capacity and the safe load of a replica."""
    best = sizing.best_load
    throughput = "highest measured throughput" + ("" if best.failures else " without failures")
    caveat = "; under every load some requests failed" if best.failures else ""
    yield Size(
        "Capacity of a replica",
        f"{_count(sizing.capacity)} one-row requests per second",
        f"{throughput}: {best.requests_per_second:,.1f}, with {_clients(best)}; rounded down to three digits{caveat}",
    )
    yield Size(
        "Safe load of a replica",
        f"{_count(sizing.safe_load)} one-row requests per second",
        f"{percentage(SAFE_LOAD_SHARE)} of {_count(sizing.capacity)}; rounded down to three digits",
    )


def _latencies(sizing: Sizing) -> Iterator[Size]:
    nearest, slowest = sizing.nearest_load, sizing.slowest_load
    yield Size(
        "Latency objective",
        f"99 of 100 one-row requests within {duration(sizing.objective_seconds)}",
        f"{LATENCY_HEADROOM} x {nearest.p99:,.4g} ms, the p99 of the measured load nearest to the safe load "
        f"({_clients(nearest)}); rounded up to 1, 2.5 or 5 times a power of ten",
    )
    yield Size(
        "Client timeout",
        f"{duration(sizing.client_timeout_seconds)} for one attempt",
        f"{CLIENT_TIMEOUT_FACTOR} x {slowest.p99:,.4g} ms, the longest measured p99 "
        f"({_clients(slowest)}, {_rows(slowest)} per request), at least {duration(MIN_CLIENT_TIMEOUT_SECONDS)}; "
        "rounded up to 1, 2.5 or 5 times a power of ten; at most the model's request timeout of "
        f"{duration(sizing.timeout_seconds)}. The clients in examples/ limit a whole call with its retries, by default "
        f"to {duration(sizing.timeout_seconds)}",
    )


def _replicas(sizing: Sizing) -> Iterator[Size]:
    yield replicas(sizing, f"Replicas, for example for {EXAMPLE_LOAD:,} one-row requests per second", EXAMPLE_LOAD)
    yield autoscaling(sizing)


def replicas(sizing: Sizing, name: str, load: float) -> Size:
    """Return the number of replicas for a load in one-row requests per second."""
    count = sizing.replicas(load)
    return Size(
        name,
        f"{count:,}",
        f"requests per second / safe load, rounded up, plus {SPARE_REPLICAS} spare: "
        f"{_count(load)} / {_count(sizing.safe_load)} -> {count - SPARE_REPLICAS:,} + {SPARE_REPLICAS}",
    )


def autoscaling(sizing: Sizing) -> Size:
    """Return the load per replica that the autoscaler aims at."""
    return Size(
        "Autoscaler target",
        f"{percentage(SAFE_LOAD_SHARE)} of the requested CPU, "
        f"or {_count(sizing.safe_load)} requests per second per replica",
        f"{percentage(SAFE_LOAD_SHARE)} of a replica's CPU use, or of its throughput, at capacity",
    )


def resources(sizing: Sizing) -> Iterator[Size]:
    """Yield the requests and limits of CPU and memory, without those that were not measured."""
    if sizing.cpu_request is not None:
        yield Size(
            "CPU request",
            f"{1000 * sizing.cpu_request:.0f}m",
            f"{sizing.best_load.cores} cores busy at capacity, rounded up to a tenth",
        )
        yield Size(
            "CPU limit",
            f"{sizing.cpu_limit}",
            f"{sizing.max_cores} cores, the most that were busy in any measurement, rounded up to a whole number",
        )
    peak = sizing.measured.memory_loaded_bytes
    if peak is not None and sizing.memory_request is not None and sizing.memory_limit is not None:
        peak_text = f"{peak / _MIB:,.0f} MiB, the peak under load"
        rounding = f"rounded up to a multiple of {MEMORY_STEP_BYTES // _MIB} MiB"
        yield Size("Memory request", f"{sizing.memory_request // _MIB}Mi", f"{peak_text}; {rounding}")
        requests_text = f"{REQUEST_MEMORY_BYTES // _MIB} MiB for requests in progress (`serving.request_memory_mb`)"
        yield Size("Memory limit", f"{sizing.memory_limit // _MIB}Mi", f"{peak_text}, plus {requests_text}; {rounding}")


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


def _round_down(value: float) -> float:
    """Round a positive number down to three digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(value / step) * step:.3g}")


def _round_up_memory(size: float | None) -> int | None:
    return None if size is None else math.ceil(size / MEMORY_STEP_BYTES) * MEMORY_STEP_BYTES


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _clients(step: Latency) -> str:
    return f"{step.clients} client{'s' * (step.clients > 1)}"


def _rows(step: Latency) -> str:
    return f"{step.rows:,} row{'s' * (step.rows > 1)}"
