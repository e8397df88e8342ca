"""The protocol of TorchServe's inference API.

https://docs.pytorch.org/serve/inference_api.html
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec
from python_multipart.multipart import Field, File, create_form_parser
from typing_extensions import override

from model_deployer.contract.errors import MalformedBody, RequestError, TooManyRows
from model_deployer.contract.features import Feature, Image
from model_deployer.contract.image_file import is_image_file
from model_deployer.serving.http.media_types import parse_media_type
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi, ping, schemas
from model_deployer.serving.protocols.protocol import DOCUMENTATION_PATH, Protocol, Reply, Request, Route
from model_deployer.serving.protocols.torchserve_predictions import DATA, TorchServePredictions
from model_deployer.serving.rows.images import has_images, lone_image

#: The maximum number of parts of a form; each of them takes more memory than a row.
_MAX_PARTS = 1_000

#: TorchServe's type of an error by status; all other statuses are BadRequestException.
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
    """Takes rows and returns the service's own predictions: one for one row, a list for a list."""

    name = "torchserve"
    prefixes = ("/predictions", "/explanations")

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        artifact = predictor.artifact
        self._model, self._version = artifact.manifest.name, artifact.manifest.version
        self._features = {feature.name: feature for feature in artifact.contract.features}
        self._has_images, self._image = has_images(artifact.contract.features), lone_image(artifact.contract.features)
        self._answers = TorchServePredictions(predictor)
        self._description = Reply(_encode(openapi.document(artifact, protocols=[self], row_id=predictor.row_id)))

    @property
    @override
    def routes(self) -> Sequence[Route]:
        return [
            ping.route(self.predictor),
            Route(
                DOCUMENTATION_PATH,
                self._describe,
                {"options": self._description_operation("torchserveDescription")},
            ),
            Route("/api-description", self._describe, {"get": self._description_operation("torchserveApiDescription")}),
            self._predictions_route(model=self._model),
            self._predictions_route(model=self._model, version=self._version),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        document = {
            "code": error.status,
            "type": _TYPES.get(error.status, "BadRequestException"),
            "message": bodies.error_text(error),
        }
        return Reply(_encode(document), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"code": {"type": "integer"}, "type": schemas.TEXT, "message": schemas.TEXT})}

    async def _describe(self, request: Request) -> Reply:
        return self._description

    async def _predict(self, request: Request) -> Reply:
        parameters = request.path_parameters
        self._answers.check_model(parameters["model"], parameters.get("version"))
        return await self.answer(request, lambda request: self._answers.read(self._content(request)))

    def _content(self, request: Request) -> Any:
        """Return the rows of a body: JSON, a form, or the file of an image.

        A body that starts as JSON is read as JSON even if its Content-Type is that of a form: this is curl's default.
        """
        header = request.headers.get(b"content-type", b"")
        media_type, read_parts = header.decode("latin-1"), _FORMS.get(parse_media_type(header).name)
        if self._image and is_image_file(request.body):
            return {self._image: request.body}
        if read_parts is None or request.body.lstrip().startswith((b"{", b"[")):
            return bodies.parse(request.body)
        try:
            parts = read_parts(request.body, media_type)
        except ValueError:
            raise MalformedBody("the body is not a valid form of its Content-Type") from None
        return self._form(parts)

    def _form(self, parts: Sequence[tuple[str, bytes]]) -> Any:
        """Return the rows of a form: those in the fields `data`, each of them a row, or one row with its own fields."""
        rows = [self._row(content) for name, content in parts if name == DATA]
        if not rows and self._has_images and (own := [part for part in parts if part[0] in self._features]):
            return {name: _value(self._features[name], content) for name, content in own}
        if not rows:
            raise MalformedBody(f"expected a form with the rows, as JSON, in the field `{DATA}`")
        return rows[0] if len(rows) == 1 else rows

    def _row(self, content: bytes) -> Any:
        if self._image and is_image_file(content):
            return {self._image: content}
        self.predictor.value_counter.reserve(content)
        return bodies.parse(content)

    def _description_operation(self, name: str) -> dict[str, Any]:
        document = bodies.record({"openapi": schemas.TEXT, "info": {"type": "object"}, "paths": {"type": "object"}})
        return bodies.operation(name, "The OpenAPI document", document, self.name, _ERROR)

    def _predictions_route(self, **path_parameters: str) -> Route:
        rows, predictions = schemas.ROW_LIST, schemas.PREDICTIONS
        data = bodies.record({DATA: {"anyOf": [schemas.ROW, rows]}})
        body = {"anyOf": [schemas.ROW, rows, bodies.record({"instances": rows}), data]}
        answer = {"anyOf": [schemas.PREDICTION, predictions, bodies.record({"predictions": predictions})]}
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
            for name, value in path_parameters.items()
        ]

        def operation(method: str) -> dict[str, Any]:
            name = f"torchserve{method}{'Version' * ('version' in path_parameters)}"
            options = {"parameters": parameters, "requestBody": bodies.request(body)}
            return bodies.operation(name, "Predict", answer, self.name, _ERROR, **options)

        path = "/".join(["/predictions", *(f"{{{name}}}" for name in path_parameters)])
        # `curl -T` sends PUT; other clients send POST.
        return Route(path, self._predict, {"post": operation("Predict"), "put": operation("Put")})


def _value(feature: Feature, content: bytes) -> Any:
    """Return the value of a field in a part of its own: the file of an image, a text, or JSON."""
    if isinstance(feature, Image):
        return content
    return content.decode("utf-8", "replace") if feature.dtype == "string" else bodies.parse(content)


def _multipart(body: bytes, media_type: str) -> list[tuple[str, bytes]]:
    """Return the names and the contents of the parts, whether they are files or not (RFC 7578)."""
    if body.count(b"\r\n\r\n") > _MAX_PARTS:
        raise TooManyRows(f"the form has more than {_MAX_PARTS:,} parts; send the rows as JSON")
    parts: list[Field | File] = []
    headers, in_memory = {"Content-Type": media_type.encode("latin-1")}, {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
    parser = create_form_parser(headers, parts.append, parts.append, in_memory)
    parser.write(body)
    parser.finalize()
    return [((part.field_name or b"").decode("utf-8", "replace"), _part_content(part)) for part in parts]


def _part_content(part: Field | File) -> bytes:
    if isinstance(part, Field):
        return part.value or b""
    part.file_object.seek(0)
    return part.file_object.read()


def _urlencoded(body: bytes, media_type: str) -> list[tuple[str, bytes]]:
    return [(DATA, text.encode()) for text in parse_qs(body.decode(), errors="strict").get(DATA, [])]


#: The functions that read the parts of a form, by its media type.
_FORMS = {"multipart/form-data": _multipart, "application/x-www-form-urlencoded": _urlencoded}
