"""Who is turned away before any work is done: at the connection, where it costs least."""

from model_deployer.contract.errors import RequestError
from model_deployer.serving.http import headers
from model_deployer.serving.http.asgi import Scope
from model_deployer.serving.predictor import Predictor

#: Seconds of waiting work below which no request is looked at: nobody allows so little time.
_SHORT = 0.005


class AdmissionControl:
    """Asks the predictor whether a request would wait in vain."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._most = predictor.artifact.contract.limits.timeout_seconds

    def refusal(self, scope: Scope) -> RequestError | None:
        """The refusal of a request whose head has come; None where it is let in."""
        if self._predictor.waiting_seconds < _SHORT or scope["path"] != "/predict":
            return None
        try:
            seconds = headers.timeout_seconds(dict(scope["headers"]), self._most)
        except RequestError:  # the gateway says what is wrong
            return None
        return self._predictor.refusal(seconds)

    def count_refusal(self, route: str, status: int) -> None:
        """Count a refusal."""
        self._predictor.metrics.count_response("none" if route == "other" else "native", route, status, 0.0)
