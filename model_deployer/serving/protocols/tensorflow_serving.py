"""TensorFlow Serving's REST API, and version 1 of KServe's protocol, which shares its paths.

https://www.tensorflow.org/tfx/serving/api_rest and
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from model_deployer.contract.errors import MalformedBody, NotFound, RequestError
from model_deployer.contract.features import Boolean, Feature, Integer, Numeric
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route

_SIGNATURE = "serving_default"

#: Label of the only version that there is: what the reference calls the one that callers get.
_LABEL = "stable"

#: Where a model is found, by what else its path says.
_PLACES = {"": "", "Version": "/versions/{version}", "Label": "/labels/{label}"}

#: Names of schemas.
_ERROR, _COLUMNS = "TensorFlowServingError", "TensorFlowServingColumns"

_encode = msgspec.json.Encoder().encode

Answer = Callable[[Request], Awaitable[Reply]]


def number_of(version: str) -> str:
    """A version as the whole number that this protocol wants: 1.2.3 is 1002003."""
    major, minor, patch = map(int, version.split("."))
    return str(1_000_000 * major + 1_000 * minor + patch)


class TensorFlowServing(Protocol):
    """Rows or columns in; tensors by name out: ``decision``, ``probabilities``, ``set``, or ``value`` and its ends."""

    name = "tensorflow_serving"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._contract = predictor.artifact.contract
        self._names = self._contract.names
        self._model = predictor.artifact.manifest.name
        self._version = number_of(predictor.artifact.manifest.version)
        self._metadata_body = _encode(self._metadata())

    @property
    @override
    def routes(self) -> Sequence[Route]:
        is_classification = isinstance(self._contract.output, Classification)
        task = ("classify", self._classify) if is_classification else ("regress", self._regress)
        models = bodies.operation("tensorflowModels", "The model's name", _MODELS, self.name, _ERROR)
        found = [Route("/v1/models", self._answer_models, {"get": models}, ignore_case=True)]
        for place, path in _PLACES.items():
            found += [
                self._get(place, path, "Status", self._answer_status, _STATUS),
                self._get(place, f"{path}/metadata", "Metadata", self._answer_metadata, _METADATA),
                self._post(place, f"{path}:predict", "Predict", self._predict, self._predict_schemas()),
                self._post(place, f"{path}:{task[0]}", task[0].title(), task[1], self._examples_schemas()),
            ]
        return found

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        return Reply(_encode({"error": bodies.words(error)}), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {_ERROR: bodies.record({"error": bodies.TEXT}), _COLUMNS: self._columns_schema()}

    async def _answer_models(self, request: Request) -> Reply:
        return Reply(_encode({"models": [self._model]}))

    async def _answer_status(self, request: Request) -> Reply:
        self._check_model(request)
        is_ready = self.predictor.ready
        status = {
            "version": self._version,
            "state": "AVAILABLE" if is_ready else "LOADING",
            "status": {"error_code": "OK", "error_message": ""},
        }
        # The last two keys are KServe's.
        return Reply(_encode({"model_version_status": [status], "name": self._model, "ready": is_ready}))

    async def _answer_metadata(self, request: Request) -> Reply:
        self._check_model(request)
        return Reply(self._metadata_body)

    async def _predict(self, request: Request) -> Reply:
        given = await self._document(request)
        if ("instances" in given) == ("inputs" in given):
            raise MalformedBody("expected either `instances`, a list of rows, or `inputs`, lists of values by field")
        if "instances" in given:
            rows = bodies.rows(given["instances"], "instances", self._names)
            tensors = self._tensors(await self.predictor.predict(rows))
            predictions = [dict(zip(tensors, row, strict=True)) for row in zip(*tensors.values(), strict=True)]
            return Reply(_encode({"predictions": predictions}))
        return Reply(_encode({"outputs": self._tensors(await self.predictor.predict(_rows(given["inputs"])))}))

    async def _classify(self, request: Request) -> Reply:
        probabilities = (await self._of_examples(request))["probabilities"].tolist()
        output = self._contract.output
        labels = output.labels if isinstance(output, Classification) else ()
        return Reply(_encode({"results": [list(zip(labels, row, strict=True)) for row in probabilities]}))

    async def _regress(self, request: Request) -> Reply:
        outputs = await self._of_examples(request)
        return Reply(_encode({"results": outputs["value"][:, 0].tolist()}))

    async def _of_examples(self, request: Request) -> Arrays:
        given = await self._document(request)
        examples, context = given.get("examples"), given.get("context", {})
        if not isinstance(examples, list) or not isinstance(context, dict):
            raise MalformedBody("expected `examples` to be a list of rows, and `context` the fields that they share")
        return await self.predictor.predict([context | row if isinstance(row, dict) else row for row in examples])

    async def _document(self, request: Request) -> dict[str, Any]:
        self._check_model(request)
        given = await bodies.document(request.body)
        if given.get("signature_name", _SIGNATURE) != _SIGNATURE:
            raise MalformedBody(f"the only signature is `{_SIGNATURE}`")
        return given

    def _check_model(self, request: Request) -> None:
        named = request.named
        if named["model"] != self._model:
            raise NotFound("the service has no model of this name; GET /v1/models names the one that it has")
        if named.get("version", self._version) != self._version or named.get("label", _LABEL) != _LABEL:
            raise NotFound("the model has no such version; GET /v1/models/MODEL names the one that it has")

    def _tensors(self, outputs: Arrays) -> dict[str, list[Any]]:
        """A value a row by the name of the tensor."""
        output = self._contract.output
        if not isinstance(output, Classification):
            return {name: outputs[name][:, 0].tolist() for name in output.tensors}
        tensors = {"decision": list(output.columns(outputs)["decision"])}
        tensors["probabilities"] = outputs["probabilities"].tolist()
        if output.set_threshold is not None:
            tensors["set"] = output.sets(outputs).tolist()
        return tensors

    def _metadata(self) -> dict[str, Any]:
        """GetModelMetadataResponse of TensorFlow Serving's get_model_metadata.proto, as JSON."""
        signature = {
            "inputs": {each.name: _tensor(each.name, _type(each)) for each in self._contract.features},
            "outputs": {name: _tensor(name, kind, *shape) for name, (kind, *shape) in self._output_types().items()},
            "method_name": "tensorflow/serving/predict",
        }
        return {
            "model_spec": {"name": self._model, "signature_name": "", "version": self._version},
            "metadata": {"signature_def": {"signature_def": {_SIGNATURE: signature}}},
        }

    def _output_types(self) -> dict[str, tuple[Any, ...]]:
        output = self._contract.output
        if not isinstance(output, Classification):
            return dict.fromkeys(output.tensors, ("DT_FLOAT",))
        types: dict[str, tuple[Any, ...]] = {"decision": ("DT_STRING",)}
        types["probabilities"] = ("DT_FLOAT", len(output.labels))
        return types | ({"set": ("DT_BOOL", len(output.labels))} if output.set_threshold is not None else {})

    def _get(self, place: str, path: str, name: str, answer: Answer, schema: bodies.Schema) -> Route:
        title = f"tensorflow{place}{name}"
        described = bodies.operation(
            title, f"{name} of the model", schema, self.name, _ERROR, parameters=self._parameters(place)
        )
        return Route(f"/v1/models/{{model}}{path}", answer, {"get": described}, ignore_case=True)

    def _post(
        self, place: str, path: str, name: str, answer: Answer, schemas: tuple[bodies.Schema, bodies.Schema]
    ) -> Route:
        asked, answered = schemas
        described = bodies.operation(
            f"tensorflow{place}{name}", name, answered, self.name, _ERROR,
            parameters=self._parameters(place), requestBody=bodies.request(asked),
        )  # fmt: skip
        return Route(f"/v1/models/{{model}}{path}", answer, {"post": described}, ignore_case=True)

    def _parameters(self, place: str) -> list[dict[str, Any]]:
        values = {"model": self._model} | {"Version": {"version": self._version}, "Label": {"label": _LABEL}}.get(
            place, {}
        )
        return [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
            for name, value in values.items()
        ]

    def _predict_schemas(self) -> tuple[bodies.Schema, bodies.Schema]:
        rows = _request("instances", bodies.rows_schema(self._contract))
        tensors = {name: _TENSORS[kind, bool(shape)] for name, (kind, *shape) in self._output_types().items()}
        by_rows = bodies.record({"predictions": bodies.array(bodies.record(tensors))})
        by_columns = bodies.record(
            {"outputs": bodies.record({name: bodies.array(schema) for name, schema in tensors.items()})}
        )
        return {"anyOf": [rows, {"$ref": f"#/components/schemas/{_COLUMNS}"}]}, {"anyOf": [by_rows, by_columns]}

    def _columns_schema(self) -> dict[str, Any]:
        row, limits = self._contract.row_schema(), self._limits()
        columns = {name: bodies.array(value) | limits for name, value in row["properties"].items()}
        inputs = {"type": "object", "required": row["required"], "additionalProperties": False, "properties": columns}
        return _request("inputs", inputs | {"description": "Lists of the same length: the first row, the second..."})

    def _examples_schemas(self) -> tuple[bodies.Schema, bodies.Schema]:
        about = {"description": "`context`, an object beside the list, may hold the fields that all examples share."}
        asked = _request("examples", bodies.array({"$ref": "#/components/schemas/Row"}) | self._limits() | about)
        scored = bodies.array({"type": ["string", "number"]}) | {"minItems": 2, "maxItems": 2}
        is_classification = isinstance(self._contract.output, Classification)
        return asked, bodies.record({"results": bodies.array(bodies.array(scored) if is_classification else _NUMBER)})

    def _limits(self) -> dict[str, int]:
        return {"minItems": 1, "maxItems": self._contract.limits.rows}


def _rows(inputs: Any) -> list[Any]:
    """The rows of lists of values by field."""
    if not isinstance(inputs, dict) or not all(isinstance(column, list) for column in inputs.values()):
        raise MalformedBody("expected `inputs` to hold a list of values for each field")
    if len({len(column) for column in inputs.values()}) > 1:
        raise MalformedBody("expected all lists of `inputs` to have the same number of values")
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]


def _type(feature: Feature) -> str:
    match feature:
        case Numeric():
            return "DT_DOUBLE"
        case Integer():
            return "DT_INT64"
        case Boolean():
            return "DT_BOOL"
    return "DT_STRING"


def _tensor(name: str, kind: str, *shape: int) -> dict[str, Any]:
    """TensorInfo of TensorFlow's meta_graph.proto; -1 stands for the rows."""
    sizes = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"dtype": kind, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}


def _request(key: str, schema: bodies.Schema) -> dict[str, Any]:
    asked = bodies.record({key: schema})
    asked["properties"]["signature_name"] = {"type": "string", "enum": [_SIGNATURE]}
    return asked


_NUMBER: Mapping[str, Any] = {"type": "number"}
_TRUTH: Mapping[str, Any] = {"type": "boolean"}

#: The schema of a row of a tensor, by its type and whether it has a second dimension.
_TENSORS: Mapping[tuple[str, bool], Any] = {
    ("DT_STRING", False): bodies.TEXT,
    ("DT_FLOAT", False): _NUMBER,
    ("DT_FLOAT", True): bodies.array(_NUMBER),
    ("DT_BOOL", True): bodies.array(_TRUTH),
}

_MODELS = bodies.record({"models": bodies.array(bodies.TEXT)})
_VERSION = {
    "version": bodies.TEXT,
    "state": bodies.TEXT,
    "status": bodies.record({"error_code": bodies.TEXT, "error_message": bodies.TEXT}),
}
_STATUS = bodies.record(
    {"model_version_status": bodies.array(bodies.record(_VERSION)), "name": bodies.TEXT, "ready": _TRUTH}
)
_METADATA = bodies.record(
    {"model_spec": bodies.record({"name": bodies.TEXT, "version": bodies.TEXT}), "metadata": bodies.record({})}
)
