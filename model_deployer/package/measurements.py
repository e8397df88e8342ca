"""benchmarks/measurements.json: latency, throughput and memory of the served model on a named machine."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


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


class Latency(_Record):
    """The latency of one load: the time from a request to its answer, over an open connection on the same machine.

    Attributes:
        rows: The number of rows in each request.
        clients: The number of clients; each sends one request after the other.
        requests: The number of requests that were timed.
        failures: The number of requests that were not answered with 200.
        seconds: The duration of the measurement.
        p50, p95, p99: Percentiles of the latency of the requests that were answered with 200, in milliseconds.
        requests_per_second: The rate of requests that were answered with 200, of all clients together.
        cores: The average number of processor cores that the server kept busy; None if the system does not report it.
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
    cores: float | None = None


class Measurements(_Record):
    """The content of measurements.json.

    Attributes:
        machine: The machine of the server and the clients.
        when: The time of the measurements, in UTC.
        engine: The engine that ran the graph: ``cpu``, ``cuda`` or ``runner``.
        workers: The number of processes that answer requests.
        cold_start_seconds: The time from the start of the server's process until /readyz answered 200, with its files
            in the page cache.
        memory_ready_bytes: The memory of all processes of the server when it is ready, as proportional set size (PSS):
            each process counts its share of a page that several processes use. None if the system does not report it.
        memory_loaded_bytes: The same under load, at its peak.
        by_rows: The latencies of one client by the number of rows per request.
        by_load: The latencies of one-row requests by the number of concurrent clients.
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
