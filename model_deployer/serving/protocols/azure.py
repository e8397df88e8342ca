"""The protocol of Azure Machine Learning's inference server: ``/score``, as in its stock image.

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
from model_deployer.serving.protocols import bodies, openapi, schemas
from model_deployer.serving.protocols.dataframes import DataFrames
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route, RowsAndAnswer
from model_deployer.serving.protocols.row_forms import RowForms

#: The header that reports whether the model failed.
_FAILED = b"x-ms-run-function-failed"

#: The media type of the stock server's empty response to OPTIONS.
_OPTIONS_MEDIA_TYPE = b"text/html; charset=utf-8"

#: The maximum length of an id in the stock server.
_MAX_ID_CHARACTERS = 100

_ERROR, _COLUMNS = "AzureError", "AzureColumns"

_encode = msgspec.json.Encoder().encode


class Azure(Protocol):
    """Takes rows and returns the service's own predictions."""

    name = "azure"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._contract = predictor.artifact.contract
        self._names = self._contract.names
        self._forms = RowForms(self._contract.features)
        self._frames = DataFrames(self._contract.features, predictor.row_id)
        self._predictions = predictor.predictions
        openapi_3 = _encode(openapi.document(predictor.artifact, row_id=predictor.row_id))
        self._swagger = {"2": _encode(self._swagger_2()), "3": openapi_3, "3.1": openapi_3}

    @property
    @override
    def routes(self) -> Sequence[Route]:
        return [
            Route("/score", self._score, {"post": self._score_operation(), "options": _OPTIONS}),
            Route("/swagger.json", self._get_swagger, {"get": _SWAGGER}),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        headers = [(_FAILED, b"True" if error.status == 500 else b"False")]
        return Reply(_encode({"message": bodies.error_text(error)}), error.status, headers=headers)

    @override
    def schemas(self) -> Mapping[str, Any]:
        columns = bodies.record({"input_data": schemas.FIELD_COLUMNS})
        return {_ERROR: bodies.record({"message": schemas.TEXT}), _COLUMNS: columns}

    async def _score(self, request: Request) -> Reply:
        headers = _common_headers(request.headers)
        if request.method == "OPTIONS":
            return Reply(b"", media_type=_OPTIONS_MEDIA_TYPE, headers=headers)
        start = time.perf_counter()
        reply = await self.answer(request, self._read)
        milliseconds = f"{1000 * (time.perf_counter() - start):.3f}".encode()
        return reply._replace(headers=[*headers, (b"x-ms-run-fn-exec-ms", milliseconds)])

    def _read(self, request: Request) -> RowsAndAnswer:
        document = bodies.document(request.body)
        rows = self._rows(document)
        if "Inputs" in document:
            return rows, lambda predicted: {"Results": self._predictions(predicted)}
        return rows, self._predictions

    def _rows(self, document: Mapping[str, Any]) -> list[Any]:
        """Return the rows under ``data``, MLflow's ``input_data``, or the ``data`` of ``Inputs``."""
        if "input_data" in document:
            return self._table(document["input_data"], "input_data")
        inputs = document.get("Inputs", document)
        if not isinstance(inputs, dict):
            raise MalformedBody("expected `Inputs` to be an object with the rows under `data`")
        return self._table(inputs.get("data"), "data")

    def _table(self, value: Any, key: str) -> list[Any]:
        """Return the rows of a list, or of a DataFrame in one of pandas' forms."""
        if not isinstance(value, dict):
            rows = self._forms.rows(value, key)
            return self._frames.records(rows) if key == "input_data" else rows
        is_split = isinstance(value.get("data"), list) and ("columns" in value or "data" not in self._names)
        return self._frames.split(value) if is_split else self._frames.columns(value)

    async def _get_swagger(self, request: Request) -> Reply:
        version = parse_qs(request.query, keep_blank_values=True).get("version", ["2"])[0]
        if version not in self._swagger:
            raise NotFound(f"expected `version` to be one of {', '.join(self._swagger)}")
        return Reply(self._swagger[version], headers=_common_headers(request.headers))

    def _score_operation(self) -> dict[str, Any]:
        rows = bodies.record({"data": schemas.ROW_LIST})
        body = {"anyOf": [rows, bodies.record({"Inputs": rows}), schemas.reference(_COLUMNS)]}
        answer = {"anyOf": [schemas.PREDICTIONS, bodies.record({"Results": schemas.PREDICTIONS})]}
        return bodies.operation("azureScore", "Predict", answer, self.name, _ERROR, requestBody=bodies.request(body))

    def _swagger_2(self) -> dict[str, Any]:
        """Return the Swagger 2 document with names and types only: it lacks most keywords of JSON Schema."""
        manifest = self.predictor.artifact.manifest
        fields = {
            feature.name: {"type": _first_type(feature.value_schema()["type"])} for feature in self._contract.features
        }
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


def _common_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers of a successful response: that the model did not fail, and the client's id.

    As in the stock server, the id has two names. The gateway adds X-Request-ID.
    """
    legacy_id, client_id = headers.get(b"x-ms-request-id", b""), headers.get(b"x-ms-client-request-id", b"")
    if max(len(legacy_id), len(client_id), len(headers.get(b"x-request-id", b""))) > _MAX_ID_CHARACTERS:
        raise HeadersTooLarge(f"ids must not exceed {_MAX_ID_CHARACTERS} characters")
    ids = {b"x-ms-client-request-id": client_id or legacy_id, b"x-ms-request-id": legacy_id or client_id}
    return [(_FAILED, b"False"), *((name, value) for name, value in ids.items() if value)]


def _first_type(schema_type: Any) -> str:
    return schema_type if isinstance(schema_type, str) else str(schema_type[0])


_OPTIONS = bodies.operation("azureOptions", "Preflight request of browsers", schemas.TEXT, Azure.name, _ERROR)
_OPTIONS["responses"]["200"]["content"] = {"text/html": {"schema": schemas.TEXT}}
_SWAGGER = bodies.operation(
    "azureSwagger", "Swagger 2, or with `?version=3` or `3.1` OpenAPI", bodies.record({}), Azure.name, _ERROR,
    parameters=[{"name": "version", "in": "query", "schema": {"type": "string", "enum": ["2", "3", "3.1"]}}],
)  # fmt: skip
