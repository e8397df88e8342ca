"""The OpenAPI description of the Open Inference Protocol: operations by path, and the schemas to which they refer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Feature, NumberArray
from model_deployer.serving.protocols import bodies
from model_deployer.serving.protocols import schemas as model_schemas
from model_deployer.serving.protocols.bodies import array, record
from model_deployer.serving.protocols.schemas import TEXT, Schema, reference
from model_deployer.serving.protocols.tensors import DTYPES, Output, datatypes
from model_deployer.serving.rows.vectors import has_vectors

#: The names of the schemas.
_REQUEST, _ANSWER = "OpenInferenceRequest", "OpenInferenceAnswer"
_INPUT, _NUMBER = "OpenInferenceInput", "OpenInferenceNumber"
_METADATA, _ERROR = "OpenInferenceModel", "OpenInferenceError"

_TENSOR, _STATISTICS, _DURATION = "OpenInferenceTensor", "OpenInferenceStatistics", "OpenInferenceDuration"
_CONFIGURATION = "OpenInferenceConfiguration"

_BOOLEAN: Schema = {"type": "boolean"}
_SHAPE = array({"type": "integer"})

#: The JSON Schema of a value by the datatype of a tensor of the response.
_ITEMS = {"FP32": {"type": "number"}, "BYTES": TEXT, "BOOL": _BOOLEAN}


def operations(artifact: Artifact) -> dict[str, dict[str, Any]]:
    """Return the operations of each path, by method in lower case."""
    manifest = artifact.manifest
    server = record({"name": TEXT, "version": TEXT, "extensions": array(TEXT)})
    server_operations = {
        "/v2": _get("serverMetadata", "The server's metadata", server),
        "/v2/health/live": _get("serverLive", "Alive", record({"live": _BOOLEAN, "ready": _BOOLEAN})),
        "/v2/health/ready": _health("serverReady", "Ready", record({"live": _BOOLEAN, "ready": _BOOLEAN})),
        "/v2/repository/index": {"post": _operation("repositoryIndex", "The served models", _INDEX)},
        "/v2/models": _get("modelNames", "The names of the served models", record({"models": array(TEXT)})),
        "/v2/models/stats": _get("statistics", "Statistics of all models", reference(_STATISTICS)),
    }
    model = [_path_parameter("model", manifest.name)]
    return (
        server_operations
        | _model_operations("/v2/models/{model}", "", model, artifact.contract)
        | _model_operations(
            "/v2/models/{model}/versions/{version}",
            "Version",
            [*model, _path_parameter("version", manifest.version)],
            artifact.contract,
        )
    )


def schemas(contract: Contract, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return the schemas of a request with one row, of a response, of the metadata, and of an error.

    Args:
        contract: The contract of the model.
        outputs: The tensors of the response, by name.
    """
    tensor = reference(_TENSOR)
    names = model_schemas.field_names(contract)
    metadata = {"name": TEXT, "versions": array(TEXT), "platform": TEXT}
    return {
        **{
            _input_name(names[feature.name]): _input_schema(feature, reference(names[feature.name]))
            for feature in contract.features
        },
        _NUMBER: {"type": "string", "enum": sorted(name for name in DTYPES if name != "BOOL")},
        _INPUT: record({"name": TEXT, "datatype": TEXT, "shape": _SHAPE, "data": array(_value(contract))}),
        _TENSOR: record({"name": TEXT, "datatype": TEXT, "shape": _SHAPE}),
        _STATISTICS: _STATISTICS_SCHEMA,
        _DURATION: record({"count": {"type": "integer"}, "ns": {"type": "integer"}}),
        _CONFIGURATION: _CONFIGURATION_SCHEMA,
        _REQUEST: _request_schema(contract, outputs),
        _ANSWER: _answer_schema(outputs),
        _METADATA: record(metadata | {"inputs": array(tensor), "outputs": array(tensor)}),
        _ERROR: record({"error": TEXT, "code": TEXT, "request_id": TEXT}),
    }


_STATISTICS_SCHEMA = record(
    {
        "model_stats": array(
            record(
                {
                    "name": TEXT,
                    "version": TEXT,
                    "inference_count": {"type": "integer"},
                    "execution_count": {"type": "integer"},
                    "inference_stats": record(dict.fromkeys(("success", "fail", "queue"), reference(_DURATION))),
                }
            )
        )
    }
)
_CONFIGURED_TENSOR = record({"name": TEXT, "data_type": TEXT, "dims": _SHAPE})
_CONFIGURATION_SCHEMA = record(
    {
        "name": TEXT,
        "platform": TEXT,
        "backend": TEXT,
        "max_batch_size": {"type": "integer"},
        "input": array(_CONFIGURED_TENSOR),
        "output": array(_CONFIGURED_TENSOR),
    }
)
_INDEX = array(record({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}))


def _model_operations(
    path: str, suffix: str, parameters: Sequence[Schema], contract: Contract
) -> dict[str, dict[str, Any]]:
    ready = record({"name": TEXT, "ready": _BOOLEAN})
    infer = _operation(
        f"modelInfer{suffix}",
        "Predict",
        reference(_ANSWER),
        parameters=parameters,
        requestBody={"required": True, "content": {"application/json": _request_content(contract)}},
    )
    infer["responses"]["200"]["content"]["application/octet-stream"] = {"schema": model_schemas.BINARY}
    metadata = _get(f"modelMetadata{suffix}", "The model's tensors", reference(_METADATA), parameters)
    return {
        path: metadata,
        f"{path}/ready": _health(f"modelReady{suffix}", "Whether the model is ready", ready, parameters),
        f"{path}/infer": {"post": infer},
        f"{path}/config": _get(
            f"modelConfiguration{suffix}", "The configuration", reference(_CONFIGURATION), parameters
        ),
        f"{path}/stats": _get(
            f"modelStatistics{suffix}", "Statistics of the model", reference(_STATISTICS), parameters
        ),
    }


def _operation(name: str, summary: str, answer: Schema, **options: Any) -> dict[str, Any]:
    return bodies.operation(name, summary, answer, "open_inference", _ERROR, **options)


def _get(name: str, summary: str, answer: Schema, parameters: Sequence[Schema] = ()) -> dict[str, Any]:
    return {"get": _operation(name, summary, answer, **({"parameters": parameters} if parameters else {}))}


def _health(name: str, summary: str, answer: Schema, parameters: Sequence[Schema] = ()) -> dict[str, Any]:
    operations = _get(name, summary, answer, parameters)
    content = {"application/json": {"schema": answer}}
    operations["get"]["responses"]["503"] = {"description": "Not ready: send no requests", "content": content}
    return operations


def _path_parameter(name: str, value: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}


def _by_requirement(contract: Contract) -> list[Feature]:
    """Return the features, the required ones first: their number is the minimum number of inputs of a request."""
    return sorted(contract.features, key=lambda feature: not feature.required)


def _request_content(contract: Contract) -> dict[str, Any]:
    example = contract.example()
    inputs = [
        _input_example(feature, example[feature.name])
        for feature in _by_requirement(contract)
        if feature.name in example
    ]
    return {"schema": reference(_REQUEST), "example": {"inputs": inputs}}


def _input_example(feature: Feature, value: Any) -> dict[str, Any]:
    shape, data = [1], [value]
    if isinstance(feature, NumberArray):
        numbers = np.array(value)
        shape, data = [1, *numbers.shape], numbers.ravel().tolist()
    return {"name": feature.name, "shape": shape, "datatype": datatypes(feature)[0], "data": data}


def _request_schema(contract: Contract, outputs: Mapping[str, Output]) -> dict[str, Any]:
    components = model_schemas.field_names(contract)
    names = [components[feature.name] for feature in _by_requirement(contract)]
    required_count = sum(feature.required for feature in contract.features)
    requested_output = record({"name": {"enum": list(outputs)}})
    requested_output["properties"]["parameters"] = _parameters(binary_data={"type": ["boolean", "null"]})
    return {
        "type": "object",
        "description": "A request with one row. For more rows, increase the first number of each shape and send that "
        "number of values. Inputs may be in any order, and those that are not required may be left out.",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"]},
            "inputs": {
                "type": "array",
                "prefixItems": [reference(_input_name(name)) for name in names],
                "items": reference(_INPUT),
                "minItems": max(required_count, 1),
                "maxItems": len(contract.features),
            },
            "outputs": {"type": ["array", "null"], "items": requested_output},
            "parameters": _parameters(binary_data_output=_BOOLEAN),
        },
    }


def _value(contract: Contract) -> Schema:
    """Return the schema of a value of a tensor; with vectors, `data` may have a list for each row."""
    return {"type": ["number", "string", "boolean", "null", *(["array"] * has_vectors(contract.features))]}


def _input_schema(feature: Feature, field: Schema) -> dict[str, Any]:
    data: Schema = array(field) | {"minItems": 1, "maxItems": 1}
    shape = array({"type": "integer", "enum": [1]}) | {"minItems": 1, "maxItems": 2}
    if isinstance(feature, NumberArray):
        # A tensor has no null, and its numbers may be nested by row.
        data = {"anyOf": [_flat(feature), array(feature.value_schema()) | {"minItems": 1, "maxItems": 1}]}
        sizes = [{"type": "integer", "minimum": low, "maximum": high} for low, high in feature.sizes]
        shape = model_schemas.nameless([{"const": 1}, *sizes], {"type": "integer"})
    is_number = len(datatypes(feature)) > 1
    datatype = reference(_NUMBER) if is_number else {"type": "string", "enum": datatypes(feature)}
    name = {"type": "string", "const": feature.name}
    return record({"name": name, "shape": shape, "datatype": datatype, "data": data})


def _flat(feature: NumberArray) -> Schema:
    """Return the schema of the numbers of a value in one list."""
    items = feature.value_schema()
    for _ in feature.sizes:
        items = items["items"]
    lowest, highest = (math.prod(sizes) for sizes in zip(*feature.sizes, strict=True))
    return array(items) | {"minItems": lowest, "maxItems": highest}


def _input_name(field: str) -> str:
    """Return the name of the component of an input, from that of its field."""
    return f"{_INPUT}{field.removeprefix('Field')}"


def _answer_schema(outputs: Mapping[str, Output]) -> dict[str, Any]:
    tensors = []
    for name, output in outputs.items():
        tensor = record({"name": {"const": name}, "datatype": {"const": output.datatype}, "shape": _SHAPE})
        tensor["properties"] |= {"data": array(_ITEMS[output.datatype]), "parameters": {"type": "object"}}
        tensors.append(tensor)
    answer = record({"model_name": TEXT, "model_version": TEXT, "outputs": array({"anyOf": tensors})})
    answer["properties"]["id"] = TEXT
    return answer


def _parameters(**properties: Schema) -> dict[str, Any]:
    return {"type": ["object", "null"], "properties": properties}
