"""TorchServe's inference API.

https://docs.pytorch.org/serve/inference_api.html
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec
from python_multipart.multipart import Field, File, create_form_parser
from typing_extensions import override

from model_deployer.contract.errors import MalformedBody, NotFound, RequestError
from model_deployer.serving.http.media_types import parse_media_type
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi, ping
from model_deployer.serving.protocols.protocol import PAGE, Protocol, Reply, Request, Route

#: The field of a form, and the key of an object, under which the rows may stand.
_DATA = "data"

#: What TorchServe calls a refusal, by its status; of every other one it thinks that the request is bad.
_TYPES = {
    401: "InvalidKeyException",
    404: "ModelNotFoundException",
    405: "MethodNotAllowedException",
    408: "RequestTimeoutException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    504: "RequestTimeoutException",
}

_ERROR = "TorchServeError"

_encode = msgspec.json.Encoder().encode


class TorchServe(Protocol):
    """Rows in, the service's own predictions out: one for one row, a list for a list."""

    name = "torchserve"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        artifact = predictor.artifact
        self._contract = artifact.contract
        self._model, self._version = artifact.manifest.name, artifact.manifest.version
        self._predictions = self._contract.output.predictions
        self._description = Reply(_encode(openapi.document(artifact, protocols=[self])))

    @property
    @override
    def routes(self) -> Sequence[Route]:
        return [
            ping.route(self.predictor),
            Route(PAGE, self._describe, {"options": self._description_operation("torchserveDescription")}),
            Route("/api-description", self._describe, {"get": self._description_operation("torchserveApiDescription")}),
            self._predictions_route(model=self._model),
            self._predictions_route(model=self._model, version=self._version),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        kind = _TYPES.get(error.status, "BadRequestException")
        return Reply(_encode({"code": error.status, "type": kind, "message": bodies.words(error)}), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"code": {"type": "integer"}, "type": bodies.TEXT, "message": bodies.TEXT})}

    async def _describe(self, request: Request) -> Reply:
        return self._description

    async def _predict(self, request: Request) -> Reply:
        if request.named["model"] != self._model or request.named.get("version", self._version) != self._version:
            raise NotFound("the service has no such model, or no such version; GET /model names what it has")
        given = _unwrapped(await _given(request))
        if isinstance(given, list):
            return Reply(_encode(await self._answer(given)))
        if not isinstance(given, dict):
            raise MalformedBody("expected a row, a list of rows, or an object with that under `instances` or `data`")
        if isinstance(given.get("instances"), list):
            return Reply(_encode({"predictions": await self._answer(given["instances"])}))
        (prediction,) = await self._answer([given])
        return Reply(_encode(prediction))

    async def _answer(self, rows: list[Any]) -> list[dict[str, Any]]:
        return self._predictions(await self.predictor.predict(bodies.rows(rows, _DATA, self._contract.names)))

    def _description_operation(self, name: str) -> dict[str, Any]:
        document = bodies.record({"openapi": bodies.TEXT, "info": {}, "paths": {}})
        return bodies.operation(name, "The paths in OpenAPI's words", document, self.name, _ERROR)

    def _predictions_route(self, **named: str) -> Route:
        rows, prediction = bodies.rows_schema(self._contract), self._contract.output.json_schema()
        predictions = bodies.array(prediction)
        row = {"$ref": "#/components/schemas/Row"}
        asked = {"anyOf": [row, rows, bodies.record({"instances": rows}), bodies.record({_DATA: rows})]}
        answered = {"anyOf": [prediction, predictions, bodies.record({"predictions": predictions})]}
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
            for name, value in named.items()
        ]

        def operation(method: str) -> dict[str, Any]:
            identity = f"torchserve{method}{'Version' * ('version' in named)}"
            said = {"parameters": parameters, "requestBody": bodies.request(asked)}
            return bodies.operation(identity, "Predict", answered, self.name, _ERROR, **said)

        path = "/".join(["/predictions", *(f"{{{name}}}" for name in named)])
        # curl -T puts where the others post.
        return Route(path, self._predict, {"post": operation("Predict"), "put": operation("Put")})


async def _given(request: Request) -> Any:
    """The JSON of a body, or of the fields `data` of a form: of several, each is a row.

    What begins as JSON is no form, even where it is announced as one: curl does that unless it is told otherwise.
    """
    header = request.headers.get(b"content-type", b"")
    kind, read = header.decode("latin-1"), _FORMS.get(parse_media_type(header).name)
    if read is None or request.body.lstrip().startswith((b"{", b"[")):
        return await bodies.parsed(request.body)
    try:
        found = await asyncio.to_thread(read, request.body, kind)
    except ValueError:
        raise MalformedBody("the body cannot be read as the form that it is announced as") from None
    if not found:
        raise MalformedBody(f"expected a form with the rows, as JSON, in the field `{_DATA}`")
    rows = [await bodies.parsed(each) for each in found]
    return rows[0] if len(rows) == 1 else rows


def _multipart(body: bytes, kind: str) -> list[bytes]:
    """The parts `data`, be they files or not (RFC 7578)."""
    found: list[Field | File] = []
    headers, in_memory = {"Content-Type": kind.encode("latin-1")}, {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
    parser = create_form_parser(headers, found.append, found.append, in_memory)
    parser.write(body)
    parser.finalize()
    return [_content(part) for part in found if part.field_name == _DATA.encode()]


def _content(part: Field | File) -> bytes:
    if isinstance(part, Field):
        return part.value or b""
    part.file_object.seek(0)
    return part.file_object.read()


def _urlencoded(body: bytes, kind: str) -> list[bytes]:
    return [text.encode() for text in parse_qs(body.decode(), errors="strict").get(_DATA, [])]


#: What reads the fields `data` of a form, by its type.
_FORMS = {"multipart/form-data": _multipart, "application/x-www-form-urlencoded": _urlencoded}


def _unwrapped(given: Any) -> Any:
    """The rows of `{"data": ...}`; what stands there as the value of a field is no list and no object."""
    inner = given.get(_DATA) if isinstance(given, dict) else None
    return inner if isinstance(inner, list | dict) else given
