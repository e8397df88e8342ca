"""Azure Machine Learning's inference server: ``/score``, as its stock image answers it.

https://learn.microsoft.com/azure/machine-learning/how-to-inference-server-http
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec
from typing_extensions import override

from model_deployer.contract.errors import HeadersTooLarge, MalformedBody, NotFound, RequestError
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route

#: The header that says whether the model failed.
_FAILED = b"x-ms-run-function-failed"

#: What the stock server calls the nothing that it answers to OPTIONS.
_NOTHING = b"text/html; charset=utf-8"

#: Characters of an id that the stock server takes.
_LONGEST_ID = 100

_ERROR = "AzureError"

_encode = msgspec.json.Encoder().encode


class Azure(Protocol):
    """Rows in, the service's own predictions out."""

    name = "azure"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._contract = predictor.artifact.contract
        self._names = self._contract.names
        self._predictions = self._contract.output.predictions
        openapi_3 = _encode(openapi.document(predictor.artifact))
        self._swagger = {"2": _encode(self._swagger_2()), "3": openapi_3, "3.1": openapi_3}

    @property
    @override
    def routes(self) -> Sequence[Route]:
        return [
            Route("/score", self._score, {"post": self._score_operation(), "options": _OPTIONS}),
            Route("/swagger.json", self._answer_swagger, {"get": _SWAGGER}),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        has_failed = [(_FAILED, b"True" if error.status == 500 else b"False")]
        return Reply(_encode({"message": bodies.words(error)}), error.status, headers=has_failed)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"message": bodies.TEXT})}

    async def _score(self, request: Request) -> Reply:
        echoed = _echoed(request.headers)
        if request.method == "OPTIONS":
            return Reply(b"", media_type=_NOTHING, headers=echoed)
        began = time.perf_counter()
        given = await bodies.document(request.body)
        predictions = self._predictions(await self.predictor.predict(_rows(given, self._names)))
        took = f"{1000 * (time.perf_counter() - began):.3f}".encode()
        answer = {"Results": predictions} if "Inputs" in given else predictions
        return Reply(_encode(answer), headers=[*echoed, (b"x-ms-run-fn-exec-ms", took)])

    async def _answer_swagger(self, request: Request) -> Reply:
        asked = parse_qs(request.query, keep_blank_values=True).get("version", ["2"])[0]
        if asked not in self._swagger:
            raise NotFound(f"the versions are {', '.join(self._swagger)}")
        return Reply(self._swagger[asked], headers=_echoed(request.headers))

    def _score_operation(self) -> dict[str, Any]:
        rows = bodies.rows_schema(self._contract)
        asked = {"anyOf": [bodies.record({"data": rows}), bodies.record({"Inputs": bodies.record({"data": rows})})]}
        predictions = bodies.array(self._contract.output.json_schema())
        answered = {"anyOf": [predictions, bodies.record({"Results": predictions})]}
        return bodies.operation("azureScore", "Predict", answered, self.name, _ERROR, requestBody=bodies.request(asked))

    def _swagger_2(self) -> dict[str, Any]:
        """The document of Swagger 2, which knows fewer words than JSON Schema: names and types alone."""
        manifest = self.predictor.artifact.manifest
        fields = {each.name: {"type": _plain(each.value_schema()["type"])} for each in self._contract.features}
        row = {"type": "object", "properties": fields}
        rows = {"type": "object", "properties": {"data": bodies.array(row)}}
        body = {"name": "serviceInputPayload", "in": "body", "required": True, "schema": rows}
        predictions = {"description": "Predictions", "schema": bodies.array({"type": "object"})}
        score = {"operationId": "RunMLService", "parameters": [body], "responses": {"200": predictions}}
        return {
            "swagger": "2.0",
            "info": {"title": manifest.name, "version": manifest.version},
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "paths": {"/score": {"post": score}},
        }


def _rows(given: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """The rows of ``{"data": [...]}``, of ``{"Inputs": {"data": [...]}}`` and of MLflow's ``{"input_data": {...}}``."""
    if "input_data" in given:
        table = given["input_data"]
        if not isinstance(table, dict):
            return bodies.rows(table, "input_data", names)
        columns = table.get("columns", list(names))
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise MalformedBody("expected `columns` to be a list of fields")
        return bodies.rows(table.get("data"), "data", columns)
    inputs = given.get("Inputs", given)
    if not isinstance(inputs, dict):
        raise MalformedBody("expected `Inputs` to be an object with the rows under `data`")
    return bodies.rows(inputs.get("data"), "data", names)


def _echoed(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The client's id, under both of its names, as the stock server gives it back; the gateway does X-Request-ID.

    Beside it that nothing failed: what fails is refused, and answered without it.
    """
    legacy, given = headers.get(b"x-ms-request-id", b""), headers.get(b"x-ms-client-request-id", b"")
    if max(len(legacy), len(given), len(headers.get(b"x-request-id", b""))) > _LONGEST_ID:
        raise HeadersTooLarge(f"ids must not exceed {_LONGEST_ID} characters")
    found = {b"x-ms-client-request-id": given or legacy, b"x-ms-request-id": legacy or given}
    return [(_FAILED, b"False"), *((name, value) for name, value in found.items() if value)]


def _plain(kind: Any) -> str:
    return kind if isinstance(kind, str) else str(kind[0])


_OPTIONS = bodies.operation("azureOptions", "What browsers ask first", bodies.TEXT, Azure.name, _ERROR)
_OPTIONS["responses"]["200"]["content"] = {"text/html": {"schema": bodies.TEXT}}
_SWAGGER = bodies.operation(
    "azureSwagger", "Swagger 2, or with `?version=3` or `3.1` OpenAPI", bodies.record({}), Azure.name, _ERROR,
    parameters=[{"name": "version", "in": "query", "schema": {"type": "string", "enum": ["2", "3", "3.1"]}}],
)  # fmt: skip
