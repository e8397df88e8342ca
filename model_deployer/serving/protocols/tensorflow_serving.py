"""The protocols of TensorFlow Serving's REST API and of KServe, version 1, which share their paths.

https://www.tensorflow.org/tfx/serving/api_rest and
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from model_deployer.contract.errors import MalformedBody, NotFound, RequestError
from model_deployer.contract.outputs import Arrays, Classification, VectorOutput
from model_deployer.serving.predictor import Predicted, Predictor
from model_deployer.serving.protocols import bodies, schemas
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route, RowsAndAnswer
from model_deployer.serving.protocols.row_forms import RowForms
from model_deployer.serving.protocols.schemas import Schema
from model_deployer.serving.protocols.tensorflow_signature import (
    LABEL,
    SIGNATURE,
    integer_version,
    output_types,
    signature_definitions,
)

#: The ways to select a version: the suffix of the operationId, and the part of the path after the model's name.
_SELECTORS = {"": "", "Version": "/versions/{version}", "Label": "/labels/{label}"}

#: The names of the schemas.
_ERROR, _COLUMNS = "TensorFlowServingError", "TensorFlowServingColumns"

_encode = msgspec.json.Encoder().encode

Handler = Callable[[Request], Awaitable[Reply]]


class TensorFlowServing(Protocol):
    """Takes rows or columns and returns tensors by name.

    A classification has ``decision``, ``probabilities`` and maybe ``set``; a regression ``value``, ``lower`` and
    ``upper``; several numbers are ``values``, which neither classify nor regress returns.
    """

    name = "tensorflow_serving"
    prefixes = ("/v1",)

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._contract = predictor.artifact.contract
        self._forms = RowForms(self._contract.features)
        self._model = predictor.artifact.manifest.name
        self._version = integer_version(predictor.artifact.manifest.version)
        self._metadata_body = _encode(
            {
                "model_spec": {"name": self._model, "signature_name": "", "version": self._version},
                "metadata": {"signature_def": signature_definitions(predictor.artifact)},
            }
        )

    @property
    @override
    def routes(self) -> Sequence[Route]:
        models = bodies.operation("tensorflowModels", "The model's name", _MODELS, self.name, _ERROR)
        routes = [Route("/v1/models", self._get_models, {"get": models}, ignore_case=True)]
        for selector, path in _SELECTORS.items():
            routes += [
                self._get(selector, path, "Status", self._get_status, _STATUS),
                self._get(selector, f"{path}/metadata", "Metadata", self._get_metadata, _METADATA),
                self._post(selector, f"{path}:predict", "Predict", self._predict, self._predict_schemas()),
            ]
            routes += [
                self._post(selector, f"{path}:{task}", task.title(), handler, self._examples_schemas())
                for task, handler in self._tasks.items()
            ]
        return routes

    @property
    def _tasks(self) -> Mapping[str, Handler]:
        """The method that takes examples, by its name; several numbers have none."""
        if isinstance(self._contract.output, VectorOutput):
            return {}
        if isinstance(self._contract.output, Classification):
            return {"classify": self._classify}
        return {"regress": self._regress}

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        return Reply(_encode({"error": bodies.error_text(error)}), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"error": schemas.TEXT}), _COLUMNS: self._columns_schema()}

    async def _get_models(self, request: Request) -> Reply:
        return Reply(_encode({"models": [self._model]}))

    async def _get_status(self, request: Request) -> Reply:
        self._check_model(request)
        is_ready = self.predictor.ready
        status = {
            "version": self._version,
            "state": "AVAILABLE" if is_ready else "LOADING",
            "status": {"error_code": "OK", "error_message": ""},
        }
        # KServe's clients read the last two keys.
        return Reply(_encode({"model_version_status": [status], "name": self._model, "ready": is_ready}))

    async def _get_metadata(self, request: Request) -> Reply:
        self._check_model(request)
        return Reply(self._metadata_body)

    async def _predict(self, request: Request) -> Reply:
        self._check_model(request)
        return await self.answer(request, self._read_rows)

    async def _classify(self, request: Request) -> Reply:
        self._check_model(request)
        return await self.answer(request, lambda request: (self._read_examples(request.body), self._class_results))

    async def _regress(self, request: Request) -> Reply:
        self._check_model(request)
        return await self.answer(request, lambda request: (self._read_examples(request.body), _regression_results))

    def _read_rows(self, request: Request) -> RowsAndAnswer:
        document = _document(request.body)
        if ("instances" in document) == ("inputs" in document):
            raise MalformedBody("expected either `instances`, a list of rows, or `inputs`, lists of values by field")
        if "instances" in document:
            rows = self._forms.rows(document["instances"], "instances")
            return rows, lambda predicted: {"predictions": _by_row(self._tensors(predicted.outputs))}
        inputs = document["inputs"]
        if not isinstance(inputs, list):
            return self._forms.scalars(_rows(inputs)), lambda predicted: {
                "outputs": _by_column(self._tensors(predicted.outputs))
            }
        # KServe's clients send rows and read `predictions`; those of TensorFlow Serving, for a model of one field, send
        # its values and read `outputs`.
        return self._forms.rows(inputs, "inputs"), self._both_forms

    def _read_examples(self, body: bytes) -> list[Any]:
        document = _document(body)
        examples, context = document.get("examples"), document.get("context", {})
        if not isinstance(examples, list) or not isinstance(context, dict):
            raise MalformedBody("expected `examples` to be a list of rows, and `context` the fields that they share")
        rows = self._forms.rows(examples, "examples")
        return [context | row if isinstance(row, dict) else row for row in rows]

    def _both_forms(self, predicted: Predicted) -> dict[str, Any]:
        tensors = self._tensors(predicted.outputs)
        return {"predictions": _by_row(tensors), "outputs": _by_column(tensors)}

    def _class_results(self, predicted: Predicted) -> dict[str, Any]:
        output, outputs = self._contract.output, predicted.outputs
        labels = output.labels if isinstance(output, Classification) else ()
        return {"results": [list(zip(labels, row, strict=True)) for row in outputs["probabilities"].tolist()]}

    def _check_model(self, request: Request) -> None:
        parameters = request.path_parameters
        if parameters["model"] != self._model:
            raise NotFound("the service has no model of this name; GET /v1/models names the one that it has")
        if parameters.get("version", self._version) != self._version or parameters.get("label", LABEL) != LABEL:
            raise NotFound("the model has no such version; GET /v1/models/MODEL names the one that it has")

    def _tensors(self, outputs: Arrays) -> dict[str, list[Any]]:
        """Return the tensors of the response by name, as lists with one value per row."""
        output = self._contract.output
        if isinstance(output, VectorOutput):
            return {name: outputs[name].tolist() for name in output.tensors}
        if not isinstance(output, Classification):
            return {name: outputs[name][:, 0].tolist() for name in output.tensors}
        tensors = {"decision": list(output.columns(outputs)["decision"])}
        tensors["probabilities"] = outputs["probabilities"].tolist()
        if output.set_threshold is not None:
            tensors["set"] = output.sets(outputs).tolist()
        return tensors

    def _get(self, selector: str, path: str, name: str, handler: Handler, schema: Schema) -> Route:
        operation = bodies.operation(
            f"tensorflow{selector}{name}", f"{name} of the model", schema, self.name, _ERROR,
            parameters=self._parameters(selector),
        )  # fmt: skip
        return Route(f"/v1/models/{{model}}{path}", handler, {"get": operation}, ignore_case=True)

    def _post(self, selector: str, path: str, name: str, handler: Handler, schemas: tuple[Schema, Schema]) -> Route:
        body, answer = schemas
        operation = bodies.operation(
            f"tensorflow{selector}{name}", name, answer, self.name, _ERROR,
            parameters=self._parameters(selector), requestBody=bodies.request(body),
        )  # fmt: skip
        return Route(f"/v1/models/{{model}}{path}", handler, {"post": operation}, ignore_case=True)

    def _parameters(self, selector: str) -> list[dict[str, Any]]:
        versions = {"Version": {"version": self._version}, "Label": {"label": LABEL}}
        values = {"model": self._model} | versions.get(selector, {})
        return [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
            for name, value in values.items()
        ]

    def _predict_schemas(self) -> tuple[Schema, Schema]:
        rows = _request("instances", schemas.ROW_LIST)
        tensors = {
            name: _VALUES[dtype, bool(shape)] for name, (dtype, *shape) in output_types(self._contract.output).items()
        }
        columns = {name: bodies.array(schema) for name, schema in tensors.items()}
        is_single = len(tensors) == 1  # a single tensor drops its name
        of_row, of_all = (next(iter(e.values())) if is_single else bodies.record(e) for e in (tensors, columns))
        by_rows = bodies.record({"predictions": bodies.array(of_row)})
        by_columns = bodies.record({"outputs": of_all})
        inputs = _request("inputs", schemas.ROW_LIST)
        return {"anyOf": [rows, inputs, schemas.reference(_COLUMNS)]}, {"anyOf": [by_rows, by_columns]}

    def _columns_schema(self) -> dict[str, Any]:
        return _request("inputs", schemas.FIELD_COLUMNS)

    def _examples_schemas(self) -> tuple[Schema, Schema]:
        about = {"description": "An object `context` next to the list may hold the fields that all examples share."}
        body = _request("examples", bodies.array(schemas.ROW) | self._limits() | about)
        label_and_probability = bodies.array({"type": ["string", "number"]}) | {"minItems": 2, "maxItems": 2}
        is_classification = isinstance(self._contract.output, Classification)
        result = bodies.array(label_and_probability) if is_classification else _NUMBER
        return body, bodies.record({"results": bodies.array(result)})

    def _limits(self) -> dict[str, int]:
        return {"minItems": 1, "maxItems": self._contract.limits.rows}


def _document(body: bytes) -> dict[str, Any]:
    document = bodies.document(body)
    if document.get("signature_name", SIGNATURE) != SIGNATURE:
        raise MalformedBody(f"the only signature is `{SIGNATURE}`")
    return document


def _regression_results(predicted: Predicted) -> dict[str, Any]:
    return {"results": predicted.outputs["value"][:, 0].tolist()}


def _rows(inputs: Any) -> list[Any]:
    """Return the rows of lists of values by field."""
    if not isinstance(inputs, dict) or not all(isinstance(column, list) for column in inputs.values()):
        raise MalformedBody("expected `inputs` to be a list of rows, or to hold a list of values for each field")
    if len({len(column) for column in inputs.values()}) > 1:
        raise MalformedBody("expected all lists of `inputs` to have the same number of values")
    return _transpose(inputs)


def _by_row(tensors: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    """Return one value for each row: an object of tensors, or the value of a single tensor, which drops its name."""
    return _transpose(tensors) if len(tensors) > 1 else next(iter(tensors.values()))


def _by_column(tensors: Mapping[str, Sequence[Any]]) -> Any:
    """Return tensors by name, or a single tensor, which drops its name."""
    return tensors if len(tensors) > 1 else next(iter(tensors.values()))


def _transpose(columns: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return the rows of columns of the same length."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _request(key: str, schema: Schema) -> dict[str, Any]:
    """Return the schema of a body with this key and an optional name of the signature."""
    body = bodies.record({key: schema})
    body["properties"]["signature_name"] = {"type": "string", "enum": [SIGNATURE]}
    return body


_NUMBER: Mapping[str, Any] = {"type": "number"}
_BOOLEAN: Mapping[str, Any] = {"type": "boolean"}

#: The schema of a tensor's value for one row, by its dtype and whether it has a second dimension.
_VALUES: Mapping[tuple[str, bool], Any] = {
    ("DT_STRING", False): schemas.TEXT,
    ("DT_FLOAT", False): _NUMBER,
    ("DT_FLOAT", True): bodies.array(_NUMBER),
    ("DT_BOOL", True): bodies.array(_BOOLEAN),
}

_MODELS = bodies.record({"models": bodies.array(schemas.TEXT)})
_VERSION = {
    "version": schemas.TEXT,
    "state": schemas.TEXT,
    "status": bodies.record({"error_code": schemas.TEXT, "error_message": schemas.TEXT}),
}
_STATUS = bodies.record(
    {"model_version_status": bodies.array(bodies.record(_VERSION)), "name": schemas.TEXT, "ready": _BOOLEAN}
)
_METADATA = bodies.record(
    {"model_spec": bodies.record({"name": schemas.TEXT, "version": schemas.TEXT}), "metadata": bodies.record({})}
)
