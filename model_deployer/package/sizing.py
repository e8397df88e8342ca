"""What operations need, derived from what was measured: each figure beside the formula that it follows from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from model_deployer.contract.number_format import duration, percentage
from model_deployer.package.measurements import Latency, Measurements

#: The share of its capacity that a replica is to be loaded with: the rest takes bursts, and the load of a replica that
#: is gone. Near capacity, waiting grows without bound.
SAFE_LOAD_SHARE = 0.6

#: The objective may be this many times what was measured: the network and other machines are not in the measurement.
HEADROOM = 2

#: A client waits this many times what the slowest requests took, so that it gives up on faults and not on peaks...
CLIENT_TIMEOUT_FACTOR = 4

#: ...and at least this many seconds: opening a connection and losing a packet take as long.
MIN_CLIENT_TIMEOUT_SECONDS = 1.0

#: Replicas beyond those that carry the load: one may be lost, or replaced by the next version.
SPARE_REPLICAS = 1

#: Requests a second in the worked example.
EXAMPLE_LOAD = 1_000

#: Memory beyond the most that was seen: requests may be larger than those of the measurement.
MEMORY_HEADROOM = 1.5

#: Memory is asked for in multiples of it.
MEMORY_STEP = 64 * 1024 * 1024

_MIB = 1024 * 1024

#: How many times the measured start may take on a busy machine that reads the files for the first time.
START_HEADROOM = 5

#: Seconds between two probes, as Kubernetes has them (`periodSeconds`): while it starts, and later.
STARTUP_PERIOD, READINESS_PERIOD = 2, 5

#: Probes that have to fail one after the other until a replica gets no more requests.
READINESS_FAILURES = 2


class Size(NamedTuple):
    """A figure for people, and how it comes about."""

    name: str
    figure: str
    formula: str


@dataclass(frozen=True)
class Sizing:
    """The figures as numbers.

    Attributes:
        measured: What they follow from.
        timeout_seconds: The model's limit of a request.
    """

    measured: Measurements
    timeout_seconds: float

    @cached_property
    def best(self) -> Latency:
        """The load under which most requests a second were answered, and none failed where there is such a load."""
        steps = self.measured.by_load
        sound = [step for step in steps if not step.failures] or steps
        return max(sound, key=lambda step: step.requests_per_second)

    @property
    def capacity(self) -> float:
        """Requests of one row that a replica answers a second."""
        return _down(self.best.requests_per_second)

    @property
    def safe_load(self) -> float:
        """Requests a second that a replica is to be loaded with."""
        return _down(SAFE_LOAD_SHARE * self.capacity)

    @cached_property
    def near(self) -> Latency:
        """The measured load that is nearest to the safe one."""
        return min(self.measured.by_load, key=lambda step: abs(step.requests_per_second - self.safe_load))

    @property
    def objective_seconds(self) -> float:
        """What 99 of 100 requests of one row are to be answered within."""
        return sensible(HEADROOM * self.near.p99 / 1000)

    @cached_property
    def slowest(self) -> Latency:
        """The measured step with the longest latencies, of one row or many."""
        return max((*self.measured.by_rows, *self.measured.by_load), key=lambda step: step.p99)

    @property
    def client_timeout_seconds(self) -> float:
        """How long a client waits for an answer."""
        return min(
            self.timeout_seconds,
            sensible(max(MIN_CLIENT_TIMEOUT_SECONDS, CLIENT_TIMEOUT_FACTOR * self.slowest.p99 / 1000)),
        )

    def replicas(self, load: float) -> int:
        """How many replicas carry so many requests of one row a second."""
        return math.ceil(load / self.safe_load) + SPARE_REPLICAS

    @property
    def cpu_request(self) -> float | None:
        """Cores to ask for: what a replica keeps busy at its capacity; None where that was not measured."""
        return None if self.best.cores is None else max(0.1, math.ceil(10 * self.best.cores) / 10)

    @property
    def cpu_limit(self) -> int | None:
        """Cores beyond which a replica is slowed down; None where that was not measured."""
        return None if self.most_cores is None else max(1, math.ceil(self.most_cores))

    @property
    def most_cores(self) -> float | None:
        """The most cores that were busy in any measurement; None where that was not measured."""
        steps = (*self.measured.by_rows, *self.measured.by_load)
        return max((step.cores for step in steps if step.cores is not None), default=None)

    @property
    def memory_request(self) -> int | None:
        """Bytes to ask for; None where memory was not measured."""
        return _memory(self.measured.memory_loaded_bytes)

    @property
    def memory_limit(self) -> int | None:
        """Bytes beyond which a replica is ended; None where memory was not measured."""
        loaded = self.measured.memory_loaded_bytes
        return _memory(None if loaded is None else MEMORY_HEADROOM * loaded)

    @property
    def startup_failures(self) -> int:
        """Startup probes that may fail before a replica counts as broken."""
        return math.ceil(START_HEADROOM * self.measured.cold_start_seconds / STARTUP_PERIOD)


def sensible(value: float) -> float:
    """A number rounded up to 1, 2.5 or 5 times a power of ten, as the buckets of /metrics have them."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (float(f"{step * power:.3g}") for step in (1, 2.5, 5, 10))
    return next(step for step in steps if step >= value)


def sizes(sizing: Sizing) -> list[Size]:
    """All of them, each as text; what depends on something that was not measured is left out."""
    return [*loads(sizing), *_latencies(sizing), *_replicas(sizing), *resources(sizing), *probes(sizing)]


def loads(sizing: Sizing) -> Iterator[Size]:
    """What a replica answers."""
    best = sizing.best
    most = "most that were answered" + ("; under every load some failed" if best.failures else " with no failure")
    yield Size(
        "Capacity of a replica",
        f"{_count(sizing.capacity)} requests of one row a second",
        f"{most}: {best.requests_per_second:,.1f}, from {_clients(best)}; rounded down to three digits",
    )
    yield Size(
        "Safe load of a replica",
        f"{_count(sizing.safe_load)} requests of one row a second",
        f"{percentage(SAFE_LOAD_SHARE)} of {_count(sizing.capacity)}; rounded down to three digits",
    )


def _latencies(sizing: Sizing) -> Iterator[Size]:
    yield Size(
        "Latency objective",
        f"99 of 100 requests of one row within {duration(sizing.objective_seconds)}",
        f"{HEADROOM} x {sizing.near.p99:,.4g} ms, the p99 of the measured load nearest to the safe one "
        f"({_clients(sizing.near)}); rounded up to 1, 2.5 or 5 times a power of ten",
    )
    yield Size(
        "Timeout of a client",
        f"{duration(sizing.client_timeout_seconds)} an attempt",
        f"{CLIENT_TIMEOUT_FACTOR} x {sizing.slowest.p99:,.4g} ms, the longest measured p99 "
        f"({_clients(sizing.slowest)}, {_rows(sizing.slowest)} a request), at least "
        f"{duration(MIN_CLIENT_TIMEOUT_SECONDS)}; rounded up likewise; at most the model's limit of "
        f"{duration(sizing.timeout_seconds)}",
    )


def _replicas(sizing: Sizing) -> Iterator[Size]:
    yield replicas(sizing, f"Replicas, for example for {EXAMPLE_LOAD:,} requests of one row a second", EXAMPLE_LOAD)
    yield autoscaling(sizing)


def replicas(sizing: Sizing, name: str, load: float) -> Size:
    """How many replicas carry so many requests of one row a second."""
    found = sizing.replicas(load)
    return Size(
        name,
        f"{found:,}",
        f"requests a second / safe load, rounded up, and {SPARE_REPLICAS} to spare: "
        f"{_count(load)} / {_count(sizing.safe_load)} -> {found - SPARE_REPLICAS:,} + {SPARE_REPLICAS}",
    )


def autoscaling(sizing: Sizing) -> Size:
    """What the autoscaler holds a replica at."""
    return Size(
        "Target of the autoscaler",
        f"{percentage(SAFE_LOAD_SHARE)} of the requested CPU, "
        f"or {_count(sizing.safe_load)} requests a second a replica",
        f"{percentage(SAFE_LOAD_SHARE)} of what a replica uses, or answers, at its capacity",
    )


def resources(sizing: Sizing) -> Iterator[Size]:
    """Processor and memory; what was not measured is left out."""
    if sizing.cpu_request is not None:
        yield Size(
            "CPU request",
            f"{1000 * sizing.cpu_request:.0f}m",
            f"{sizing.best.cores} cores that were busy at capacity, rounded up to a tenth",
        )
        yield Size(
            "CPU limit",
            f"{sizing.cpu_limit}",
            f"{sizing.most_cores} cores, the most that were busy in any measurement, rounded up to a whole one",
        )
    loaded = sizing.measured.memory_loaded_bytes
    if loaded is not None and sizing.memory_request is not None and sizing.memory_limit is not None:
        most = f"{loaded / _MIB:,.0f} MiB, the most under load"
        step = f"rounded up to a multiple of {MEMORY_STEP // _MIB} MiB"
        yield Size("Memory request", f"{sizing.memory_request // _MIB}Mi", f"{most}; {step}")
        yield Size("Memory limit", f"{sizing.memory_limit // _MIB}Mi", f"{MEMORY_HEADROOM} x {most}; {step}")


def probes(sizing: Sizing) -> Iterator[Size]:
    """How an orchestrator asks whether a replica is ready."""
    yield Size(
        "Startup probe",
        f"GET /readyz, periodSeconds {STARTUP_PERIOD}, failureThreshold {sizing.startup_failures}",
        f"{START_HEADROOM} x {sizing.measured.cold_start_seconds:.3g} s until ready, divided by {STARTUP_PERIOD} s; "
        "rounded up",
    )
    yield Size(
        "Readiness probe",
        f"GET /readyz, periodSeconds {READINESS_PERIOD}, failureThreshold {READINESS_FAILURES}",
        f"no requests {READINESS_FAILURES * READINESS_PERIOD} s after it stopped to be ready: "
        f"{READINESS_FAILURES} x {READINESS_PERIOD} s",
    )


def _down(value: float) -> float:
    """Three digits of a number, rounded down."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(value / step) * step:.3g}")


def _memory(held: float | None) -> int | None:
    return None if held is None else math.ceil(held / MEMORY_STEP) * MEMORY_STEP


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _clients(step: Latency) -> str:
    return f"{step.clients} client{'s' * (step.clients > 1)}"


def _rows(step: Latency) -> str:
    return f"{step.rows:,} row{'s' * (step.rows > 1)}"
