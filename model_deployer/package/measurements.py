"""benchmarks/measurements.json: what the served model took on a named machine."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Fact):
    """Where it was measured; None is what the machine does not tell."""

    processor: str | None
    cores: int
    memory_bytes: int | None
    system: str
    python: str
    gpu: str | None = None


class Latency(_Fact):
    """Milliseconds from a request to its answer, over a kept connection on the same machine.

    Attributes:
        rows: Rows of each request.
        clients: Clients that each send one request after the other.
        requests: Requests that were timed.
        failures: Those that were not answered with 200.
        seconds: How long it took.
        p50, p95, p99: Percentiles of the requests that were answered with 200, in milliseconds.
        requests_per_second: Answered with 200, of all clients together.
        cores: Processor cores that the server kept busy, on average; None where the system does not tell.
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


class Measurements(_Fact):
    """The content of measurements.json.

    Attributes:
        machine: Where.
        when: In UTC.
        engine: What ran the graph: ``cpu``, ``cuda`` or ``runner``.
        workers: Processes that answered.
        cold_start_seconds: From the start of the server's process until /readyz answered 200; files in the page cache.
        memory_ready_bytes: What all processes of the server hold when it is ready: proportional set size (PSS), which
            counts a page that several share by its part; None where the system does not tell.
        memory_loaded_bytes: Likewise, the most that was seen under load.
        by_rows: One client, requests of more and more rows.
        by_load: Requests of one row by more and more clients at once.
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
