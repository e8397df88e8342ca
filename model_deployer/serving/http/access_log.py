"""The record of every response: a count in the metrics, and a log line if the settings ask for one."""

import math
import time
from dataclasses import dataclass, field

from model_deployer.contract.errors import PredictionFailed, RequestError
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.http import headers
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.observability import logs
from model_deployer.serving.observability.metrics import Metrics

#: The status of a response that has no reader, because the client has disconnected. nginx introduced the number.
CLIENT_CLOSED_REQUEST = 499

_FAILED = "the service failed; report this with the request id"


@dataclass(slots=True)
class RequestRecord:
    """A request in progress; ``start`` is its arrival by time.perf_counter."""

    headers: Headers
    request_id: bytes
    start: float = field(default_factory=time.perf_counter)


class AccessLog:
    """Counts and logs the responses of one worker."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._min_logged_seconds = {"all": 0.0, "slow": settings.slow_seconds, "errors": math.inf}[
            settings.log_requests
        ]

    def refusal(self, record: RequestRecord, error: Exception) -> RequestError:
        """Return the error that the client receives for an exception; a fault of the service is logged."""
        refusal = error if isinstance(error, RequestError) else PredictionFailed(_FAILED)
        if refusal.status == 500:
            logs.log_failure(error, record.request_id.decode())
        return refusal

    def write(self, record: RequestRecord, protocol: str, route: str, status: int, method: str = "") -> None:
        """Count a response and log it. Call it before sending, so that a client that has it finds it in the metrics.

        Args:
            record: The request.
            protocol: The protocol of the client.
            route: One of the service's own routes, never the path of a request.
            status: The HTTP status; for gRPC, the status that the same error has over HTTP.
            method: The HTTP method; empty for gRPC.
        """
        seconds = time.perf_counter() - record.start
        self._metrics.count_response(protocol, route, status, seconds)
        if seconds >= self._min_logged_seconds or status in (500, 504):
            logs.log_request(
                request_id=record.request_id.decode(),
                trace_id=headers.trace_id(record.headers),
                method=method,
                route=route,
                status=status,
                milliseconds=round(1000 * seconds, 3),
            )
