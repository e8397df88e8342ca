"""Admission control: refuse requests at the connection, where it costs least, while the server is overloaded."""

from model_deployer.contract.errors import RequestError
from model_deployer.serving.http import headers
from model_deployer.serving.http.access_log import AccessLog, Endpoint
from model_deployer.serving.http.asgi import Scope
from model_deployer.serving.http.request_record import RequestRecord
from model_deployer.serving.predictor import Predictor

#: Requests are not examined while the queued work takes less time than this: no client allows so little.
_MIN_WAITING_SECONDS = 0.005


class AdmissionControl:
    """Refuses a request if the predictor's queue leaves too little time to answer it.

    Args:
        predictor: The predictor, whose queue decides.
        access_log: Counts and logs the refusals.
    """

    def __init__(self, predictor: Predictor, access_log: AccessLog) -> None:
        self._predictor = predictor
        self._access_log = access_log
        limits = predictor.artifact.contract.limits
        self._max_seconds, self._max_bytes = limits.timeout_seconds, limits.body_bytes

    def refusal(self, scope: Scope) -> RequestError | None:
        """Return the error for a request whose head has arrived; None if the request is accepted."""
        if self._predictor.waiting_seconds < _MIN_WAITING_SECONDS or scope["path"] != "/predict":
            return None
        request_headers = dict(scope["headers"])
        if b"origin" in request_headers:  # the gateway refuses it with the headers that let a page read the reason
            return None
        try:
            seconds = headers.timeout_seconds(request_headers, self._max_seconds)
        except RequestError:  # the gateway refuses it with the reason
            return None
        return self._predictor.refusal(seconds, headers.possible_bytes(request_headers, self._max_bytes))

    def record_refusal(self, record: RequestRecord, error: RequestError, route: str, method: str) -> None:
        """Count and log a refusal; ``route`` is ``other`` if the bytes never became a request."""
        record.error = error
        protocol = "none" if route == "other" else "native"
        self._access_log.write(record, Endpoint(protocol, route, method), error.status)
