"""The record of every response: a count in the metrics, and a log line for refusals and what the settings ask for."""

import logging
import math
import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from model_deployer.contract.errors import (
    HeadersTooLarge,
    InvalidRows,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    PredictionFailed,
    RequestError,
    Unauthorized,
)
from model_deployer.serving.capture.traffic_listener import AnsweredRequest, TrafficListener
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.http import headers
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.http.request_record import RequestRecord
from model_deployer.serving.observability.line_limit import LineLimit
from model_deployer.serving.observability.logs import logger
from model_deployer.serving.observability.metrics import OTHER_FIELD, Metrics

#: The status of a response that has no reader, because the client has disconnected. nginx introduced the number.
CLIENT_CLOSED_REQUEST = 499

#: The maximum number of field names in a line.
_MAX_LOGGED_FIELDS = 20

#: The number of frames of a failure in a line, beginning with the innermost.
_LOGGED_FRAMES = 5

#: The methods of requests for predictions; gRPC has none.
_PREDICTING_METHODS = frozenset({"POST", ""})

#: The errors of requests that are not for the model.
_NOT_CAPTURED = (Unauthorized, NotFound, MethodNotAllowed, MalformedRequest, HeadersTooLarge)

_FAILED = "the service failed; report this with the request id"


class Endpoint(NamedTuple):
    """What a request was for.

    Attributes:
        protocol: The protocol of the client.
        route: One of the service's own routes, never the path of a request.
        method: The HTTP method; empty for gRPC.
        is_probe: Whether the route is for health checks or metrics: their requests are logged only if they fail.
    """

    protocol: str
    route: str
    method: str = ""
    is_probe: bool = False


class AccessLog:
    """Counts and logs the responses of one worker.

    Args:
        metrics: The metrics of the worker.
        settings: The settings of the server.
        keys: The valid API keys, whose names are logged; None if no key is required.
        listeners: Take answered and refused requests.
    """

    def __init__(
        self, metrics: Metrics, settings: Settings, keys: ApiKeys | None, listeners: Sequence[TrafficListener] = ()
    ) -> None:
        self._metrics = metrics
        self._listeners = listeners
        self._keys = keys
        self._known_fields = metrics.fields
        self._limit = LineLimit()
        slow = settings.slow_seconds
        self._min_seconds = {"all": 0.0, "slow": slow, "errors": math.inf}[settings.log_requests]
        self._min_probe_seconds = {"all": slow, "slow": slow, "errors": math.inf}[settings.log_requests]

    def refusal(self, record: RequestRecord, error: Exception) -> RequestError:
        """Return the error that the client receives for an exception, and keep it in the record for the log."""
        record.error = error if isinstance(error, RequestError) else PredictionFailed(_FAILED)
        if record.error.status == PredictionFailed.status:
            record.cause = error
        else:
            _forget_frames(error)
        return record.error

    def write(self, record: RequestRecord, endpoint: Endpoint, status: int) -> None:
        """Count a response and log it. Call it before sending, so that a client that has it finds it in the metrics.

        Refusals and failures are logged under every setting. Where they flood, a part of them is.

        Args:
            record: The request.
            endpoint: What it was for.
            status: The HTTP status; for gRPC, the status that the same error has over HTTP.
        """
        seconds = time.perf_counter() - record.start
        self._metrics.count_response(endpoint.protocol, endpoint.route, status, seconds, record.rows)
        if self._listeners and (record.taken or record.error):
            self._pass_on(record, endpoint, status, seconds)
        if status >= 400 and status != CLIENT_CLOSED_REQUEST:
            code = record.error.code if record.error else ""
            suppressed = self._limit.admit((status, code))
            if suppressed is None:
                return
            refusal = {"code": code, **self._describe_error(record), "suppressed": suppressed or None}
        elif seconds >= (self._min_probe_seconds if endpoint.is_probe else self._min_seconds):
            refusal = {}
        else:
            return
        line = {
            "request_id": record.request_id.decode(),
            "trace_id": headers.trace_id(record.headers),
            "method": endpoint.method,
            "route": endpoint.route,
            "status": status,
            "protocol": endpoint.protocol,
            "milliseconds": round(1000 * seconds, 3),
            "body_bytes": headers.content_length(record.headers),
            "key": self._keys.name_of(record.headers) if self._keys else None,
            **refusal,
        }
        level, message = _summary(status)
        logger.log(level, message, extra={name: value for name, value in line.items() if value not in ("", None)})

    def _pass_on(self, record: RequestRecord, endpoint: Endpoint, status: int, seconds: float) -> None:
        if status < 300:
            request_id = record.request_id.decode("latin-1")
            for taken in record.taken:
                taken.listener.add(AnsweredRequest(request_id, endpoint.protocol, seconds, taken))
        elif record.error and endpoint.method in _PREDICTING_METHODS and not isinstance(record.error, _NOT_CAPTURED):
            for listener in self._listeners:
                listener.add_refusal(record.request_id, endpoint.protocol, seconds, record.error)

    def _describe_error(self, record: RequestRecord) -> dict[str, Any]:
        """Return what a line says about an error: the fields of the contract, never a value or name that was sent."""
        if isinstance(record.error, InvalidRows):
            return self._describe_problems(record.error)
        if record.error is None or record.error.status != 500:
            return {}
        # The text of the exception is left out: it may have values that the client sent.
        cause = record.cause.__cause__ or record.cause if record.cause else record.error
        frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(cause.__traceback__)]
        return {"error": type(cause).__name__, "at": frames[-_LOGGED_FRAMES:]}

    def _describe_problems(self, error: InvalidRows) -> dict[str, Any]:
        fields = {problem.field if problem.field in self._known_fields else OTHER_FIELD for problem in error.problems}
        return {
            "problems": error.total,
            "problem_rows": len({problem.row for problem in error.problems}),
            "fields": sorted(fields)[:_MAX_LOGGED_FIELDS],
            "problem_codes": sorted({problem.code for problem in error.problems}),
        }


def _summary(status: int) -> tuple[int, str]:
    """Return the level and the message of a line."""
    if status == 500:
        return logging.ERROR, "request failed"
    if status >= 500:
        return logging.WARNING, "request refused"
    return logging.INFO, "request refused" if status >= 400 and status != CLIENT_CLOSED_REQUEST else "request"


def _forget_frames(error: Exception) -> None:
    """Cut an exception off the frames that it passed, and the one that it replaced.

    They hold the body of the request, and the frame that caught the exception holds the exception: without this, many
    refused bodies would stay in memory until the next full garbage collection.
    """
    error.__traceback__ = None
    error.__context__ = None
