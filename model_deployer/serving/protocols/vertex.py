"""Vertex AI's contract with a custom container: a path for health and one for predictions, which the platform names.

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
from model_deployer.serving.protocols import bodies, openapi, ping
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route

#: The paths that stand in these variables are those that the platform asks.
_HEALTH, _PREDICT = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"

#: What may stand in a path (RFC 3986, 3.3).
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")

_ERROR = "VertexError"

_encode = msgspec.json.Encoder().encode


class Vertex(Protocol):
    """Rows in, the service's own predictions out; it has no path where the platform names none."""

    name = "vertex"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        artifact = predictor.artifact
        self._contract = artifact.contract
        self._names = self._contract.names
        self._predictions = self._contract.output.predictions
        self._health, self._predict = _path(_HEALTH), _path(_PREDICT)

    @property
    @override
    def routes(self) -> Sequence[Route]:
        found = []
        # The service's own paths tell the platform as much.
        if self._health and self._health not in {"/", *openapi.HEALTH_PATHS}:
            found.append(ping.route(self.predictor, self._health))
        if self._predict and self._predict != "/predict":
            found.append(Route(self._predict, self._answer, {"post": self._predict_operation()}))
        return found

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        # https://google.aip.dev/193
        said = {"code": error.status, "message": bodies.words(error), "status": error.grpc_status}
        return Reply(_encode({"error": said}), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"error": bodies.record(_SAID)})}

    async def _answer(self, request: Request) -> Reply:
        given = await bodies.document(request.body)
        outputs = await self.predictor.predict(bodies.rows(given.get("instances"), "instances", self._names))
        return Reply(_encode({"predictions": self._predictions(outputs)}))

    def _predict_operation(self) -> dict[str, Any]:
        asked = bodies.record({"instances": bodies.rows_schema(self._contract)})
        asked["properties"]["parameters"] = {"description": "Taken and not looked at: the model has none."}
        answered = bodies.record({"predictions": bodies.array(self._contract.output.json_schema())})
        return bodies.operation(
            "vertexPredict", "Predict", answered, self.name, _ERROR, requestBody=bodies.request(asked)
        )


def _path(variable: str) -> str | None:
    """The path that an environment variable names; None where it names none.

    Raises:
        UsageError: It is no path.
    """
    given = os.environ.get(variable) or None
    if given and not _PATH.fullmatch(given):
        raise UsageError(f"{variable}: expected a path that begins with a slash, such as /health, and no query")
    return given


_SAID = {"code": {"type": "integer"}, "message": bodies.TEXT, "status": bodies.TEXT}
