"""What is written down of every answer: a count, and a line in the log where the settings want one."""

import math
import time
from dataclasses import dataclass, field

from model_deployer.contract.errors import PredictionFailed, RequestError
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.http import headers
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.observability import logs
from model_deployer.serving.observability.metrics import Metrics

#: The status of an answer that nobody reads, for the client is gone. nginx made the number known.
CLIENT_CLOSED_REQUEST = 499

_FAILED = "the service failed; report it with the request id"


@dataclass(slots=True)
class RequestRecord:
    """A request under way; ``began`` is when it came, by time.perf_counter."""

    headers: Headers
    request_id: bytes
    began: float = field(default_factory=time.perf_counter)


class AccessLog:
    """Of one worker."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._logged_from = {"all": 0.0, "slow": settings.slow_seconds, "errors": math.inf}[settings.log_requests]

    def refusal(self, entry: RequestRecord, error: Exception) -> RequestError:
        """What the client is told of an error; one of ours goes into the log."""
        told = error if isinstance(error, RequestError) else PredictionFailed(_FAILED)
        if told.status == 500:
            logs.failure(error, entry.request_id.decode())
        return told

    def answered(self, entry: RequestRecord, protocol: str, route: str, status: int, method: str = "") -> None:
        """Write an answer down, before it is sent: a client who has it then finds it in the metrics.

        Args:
            entry: The request.
            protocol: What the client speaks.
            route: One of the service's own, never the path of a request.
            status: Of HTTP, whatever is spoken.
            method: Of HTTP, where that is spoken.
        """
        seconds = time.perf_counter() - entry.began
        self._metrics.answered(protocol, route, status, seconds)
        if seconds >= self._logged_from or status in (500, 504):
            logs.request(
                request_id=entry.request_id.decode(),
                trace_id=headers.trace_id(entry.headers),
                method=method,
                route=route,
                status=status,
                milliseconds=round(1000 * seconds, 3),
            )
