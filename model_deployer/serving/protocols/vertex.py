"""The protocol of Vertex AI for custom containers: the platform chooses a path for health and one for predictions.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from model_deployer.contract.errors import RequestError, UsageError
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi, ping, schemas
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route, RowsAndAnswer
from model_deployer.serving.protocols.row_forms import RowForms

#: The environment variables with the paths that the platform has chosen.
_HEALTH_VARIABLE, _PREDICT_VARIABLE = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"

#: A valid path (RFC 3986, section 3.3).
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")

_ERROR = "VertexError"

_encode = msgspec.json.Encoder().encode


class Vertex(Protocol):
    """Takes rows and returns the service's own predictions. It has no routes unless the platform sets their paths."""

    name = "vertex"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        artifact = predictor.artifact
        self._contract = artifact.contract
        self._forms = RowForms(self._contract.features)
        self._health_path, self._predict_path = _path(_HEALTH_VARIABLE), _path(_PREDICT_VARIABLE)

    @property
    @override
    def routes(self) -> Sequence[Route]:
        routes = []
        # The service's own health paths also suit the platform.
        if self._health_path and self._health_path not in {"/", *openapi.HEALTH_PATHS}:
            routes.append(ping.route(self.predictor, self._health_path))
        if self._predict_path and self._predict_path != "/predict":
            routes.append(Route(self._predict_path, self._predict, {"post": self._predict_operation()}))
        return routes

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        # https://google.aip.dev/193
        document = {"code": error.status, "message": bodies.error_text(error), "status": error.grpc_status}
        return Reply(_encode({"error": document}), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"error": bodies.record(_ERROR_PROPERTIES)})}

    async def _predict(self, request: Request) -> Reply:
        return await self.answer(request, self._read)

    def _read(self, request: Request) -> RowsAndAnswer:
        rows = self._forms.rows(bodies.document(request.body).get("instances"), "instances")
        return rows, lambda predicted: {"predictions": self.predictor.predictions(predicted)}

    def _predict_operation(self) -> dict[str, Any]:
        body = bodies.record({"instances": schemas.ROW_LIST})
        body["properties"]["parameters"] = {"description": "Ignored: the model has no parameters."}
        answer = bodies.record({"predictions": schemas.PREDICTIONS})
        return bodies.operation("vertexPredict", "Predict", answer, self.name, _ERROR, requestBody=bodies.request(body))


def _path(variable: str) -> str | None:
    """Return the path in an environment variable; None if it is not set or empty.

    Raises:
        UsageError: if its value is not a path.
    """
    path = os.environ.get(variable) or None
    if path and not _PATH.fullmatch(path):
        raise UsageError(f"{variable}: expected a path that begins with a slash, such as /health, and no query")
    return path


_ERROR_PROPERTIES = {"code": {"type": "integer"}, "message": schemas.TEXT, "status": schemas.TEXT}
