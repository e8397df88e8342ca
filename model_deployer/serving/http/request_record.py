"""A request in progress: the gateway makes the record, the predictor adds its rows, and the access log reads both."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from model_deployer.contract.errors import RequestError
from model_deployer.serving.capture.traffic_listener import TakenRows
from model_deployer.serving.http.headers import Headers


@dataclass(slots=True)
class RequestRecord:
    """A request in progress.

    Attributes:
        headers: Its headers.
        request_id: Its id, which its response has, too.
        start: Its arrival by time.perf_counter.
        error: The error of its response; None as long as it is not refused.
        cause: The exception behind that error.
        rows: The number of its rows; 0 as long as no row was accepted.
        taken: What listeners to traffic took of its answered rows.
    """

    headers: Headers
    request_id: bytes
    start: float = field(default_factory=time.perf_counter)
    error: RequestError | None = None
    cause: Exception | None = None
    rows: int = 0
    taken: tuple[TakenRows, ...] = ()


#: The record of the request in whose context the code runs; None outside of requests, as in the Python API.
current_request: ContextVar[RequestRecord | None] = ContextVar("current_request", default=None)
