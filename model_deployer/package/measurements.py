"""benchmarks/measurements.json: latency, throughput and memory of the served model on a named machine."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from model_deployer.contract.number_format import percent

#: The shares of the time of all cores above which a machine was busy: with other processes, and with other virtual
#: machines on the same hardware (steal).
MAX_OTHERS_SHARE, MAX_STEAL_SHARE = 0.1, 0.02


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Record):
    """The machine of the measurements; a value that the machine does not report is None."""

    processor: str | None
    cores: int
    memory_bytes: int | None
    system: str
    python: str
    gpu: str | None = None


class Conditions(_Record):
    """What else happened on the machine during a measurement; a value that the machine does not report is None.

    Attributes:
        load_average: The load average of the last minute, before the measurement.
        others_share: The share of the time of all cores that processes other than the server and the clients used.
        steal_share: The share of the time of all cores that the hypervisor gave to other virtual machines.
        client_cores: The average number of cores that the clients kept busy; they can use one.
        megahertz: The frequency of the cores after the measurement, on average.
    """

    load_average: float | None
    others_share: float
    steal_share: float
    client_cores: float
    megahertz: float | None

    @property
    def is_busy(self) -> bool:
        """Whether the machine was too busy for figures that hold at another time."""
        return self.others_share > MAX_OTHERS_SHARE or self.steal_share > MAX_STEAL_SHARE


class Latency(_Record):
    """The latency of one load: the time from a request to its answer, over an open connection on the same machine.

    Attributes:
        rows: The number of rows in each request.
        clients: The number of clients; each sends one request after the other.
        requests: The number of requests that were timed.
        failures: The number of requests that were not answered with 200.
        seconds: The duration of the measurement, in all blocks together.
        p50, p95, p99: Percentiles of the latency of the requests that were answered with 200, in milliseconds.
        p50_low, p50_high: The smallest and the largest p50 of a block, in milliseconds; None in packages of older
            versions.
        requests_per_second: The rate of requests that were answered with 200, of all clients together.
        cores: The average number of processor cores that the server kept busy; None if the system does not report it.
        conditions: What else happened on the machine; None in packages of older versions.
        attempts: How often the load was measured; a measurement on a busy machine is repeated.
        busy: Whether the machine was busy in every attempt. The figures are those of the least disturbed one.
    """

    rows: int
    clients: int
    requests: int
    failures: int
    seconds: float
    p50: float
    p95: float
    p99: float
    requests_per_second: float
    p50_low: float | None = None
    p50_high: float | None = None
    cores: float | None = None
    conditions: Conditions | None = None
    attempts: int = 1
    busy: bool = False


class RelativeLatency(_Record):
    """The latency of one-row requests as a multiple of that of a reference server, measured in turn.

    A slower machine slows down both, so the ratio can be measured again on another one.

    Attributes:
        clients: The number of clients; each sends one request after the other.
        p50, p99: Percentiles of the latency of the service, in milliseconds: medians of the blocks.
        reference_p50: The median latency of the reference server under the same load, in milliseconds.
        ratio: p50 as a multiple of reference_p50: the median of the blocks.
        low, high: The smallest and the largest ratio of a block.
        blocks: The number of blocks; in each, both servers were measured, one after the other.
        conditions: What else happened on the machine.
        attempts: How often the blocks were measured; a measurement on a busy machine is repeated.
        busy: Whether the machine was busy in every attempt.
    """

    clients: int
    p50: float
    p99: float
    reference_p50: float
    ratio: float
    low: float
    high: float
    blocks: int
    conditions: Conditions
    attempts: int = 1
    busy: bool = False


class LargestRequests(_Record):
    """The load under which memory was measured: the largest requests that the model's limits allow.

    Attributes:
        rows: The number of rows in each request.
        body_bytes: The size of each body: JSON, filled up with blanks to the limit.
        clients: The number of clients that sent such requests at the same time.
        answered: The number of requests that were answered with 200.
        refused: The number of requests that were not.
    """

    rows: int
    body_bytes: int
    clients: int
    answered: int
    refused: int


class RelativeMeasurements(_Record):
    """What a verification measures again.

    Attributes:
        machine: The machine.
        relative: The latencies as multiples of those of a reference server, by the number of clients.
    """

    machine: Machine
    relative: tuple[RelativeLatency, ...]


class Measurements(_Record):
    """The content of measurements.json.

    Attributes:
        machine: The machine of the server and the clients.
        when: The time of the measurements, in UTC.
        engine: The engine that answered: ``cpu``, ``cuda`` or ``runner`` for a graph, ``source`` if the source of the
            model did, in a process of its own.
        workers: The number of processes that answer requests.
        cold_start_seconds: The time from the start of the server's process until /readyz answered 200, with its files
            in the page cache.
        memory_ready_bytes: The memory of all processes of the server when it is ready, as proportional set size (PSS):
            each process counts its share of a page that several processes use. None if the system does not report it.
        memory_loaded_bytes: The same under load, at its peak.
        by_rows: The latencies of one client by the number of rows per request.
        by_load: The latencies of one-row requests by the number of concurrent clients.
        largest: The requests of the peak of memory; None in packages of older versions.
        relative: The latencies as multiples of those of a reference server, of one client and of the load with the
            highest rate; empty in packages of older versions.
    """

    machine: Machine
    when: datetime
    engine: str
    workers: int
    cold_start_seconds: float
    memory_ready_bytes: int | None
    memory_loaded_bytes: int | None
    by_rows: tuple[Latency, ...]
    by_load: tuple[Latency, ...]
    largest: LargestRequests | None = None
    relative: tuple[RelativeLatency, ...] = ()

    @property
    def steps(self) -> tuple[Latency, ...]:
        """Every measured load; the first one, a single client with one row, is in both tables."""
        return (*self.by_rows, *(step for step in self.by_load if step not in self.by_rows))

    @property
    def is_busy(self) -> bool:
        """Whether the machine was busy during any of the measurements."""
        return any(step.busy for step in self.steps) or any(load.busy for load in self.relative)

    @property
    def others(self) -> str:
        """What else used the machine, at most: other processes used up to 12 % of the cores, ..."""
        conditions = [step.conditions for step in self.steps if step.conditions]
        conditions += [load.conditions for load in self.relative]
        others = max((each.others_share for each in conditions), default=0.0)
        steal = max((each.steal_share for each in conditions), default=0.0)
        return (
            f"other processes used up to {percent(others)} of the cores, other virtual machines up to {percent(steal)}"
        )
