"""Admission control: refuse requests at the connection, where it costs least, while the server is overloaded."""

from model_deployer.contract.errors import RequestError
from model_deployer.serving.http import headers
from model_deployer.serving.http.asgi import Scope
from model_deployer.serving.predictor import Predictor

#: Requests are not examined while the queued work takes less time than this: no client allows so little.
_MIN_WAITING_SECONDS = 0.005


class AdmissionControl:
    """Refuses a request if the predictor's queue leaves too little time to answer it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._max_seconds = predictor.artifact.contract.limits.timeout_seconds

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
        return self._predictor.refusal(seconds)

    def count_refusal(self, route: str, status: int) -> None:
        """Count a refusal; ``route`` is ``other`` if the bytes never became a request."""
        self._predictor.metrics.count_response("none" if route == "other" else "native", route, status, 0.0)
