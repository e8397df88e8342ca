"""A model in TensorFlow Serving's terms: its version, and the signature with its tensors."""

from collections.abc import Mapping
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.features import Boolean, Feature, Integer, NumberArray, Numeric
from model_deployer.contract.outputs import Classification, Output, VectorOutput

#: The name of the only signature.
SIGNATURE = "serving_default"

#: The label of the only version: TensorFlow Serving's reference uses this name for the version in use.
LABEL = "stable"


def integer_version(version: str) -> str:
    """Return a semantic version as the integer that this protocol requires: 1002003 for 1.2.3."""
    major, minor, patch = map(int, version.split("."))
    return str(1_000_000 * major + 1_000 * minor + patch)


def signature_definitions(artifact: Artifact) -> dict[str, Any]:
    """Return the message SignatureDefMap of TensorFlow Serving's get_model_metadata.proto, as JSON."""
    outputs = output_types(artifact.contract.output).items()
    signature = {
        "inputs": {
            feature.name: _tensor_info(feature.name, _dtype(feature), *_shape(feature))
            for feature in artifact.contract.features
        },
        "outputs": {name: _tensor_info(name, dtype, *shape) for name, (dtype, *shape) in outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {"signature_def": {SIGNATURE: signature}}


def output_types(output: Output) -> Mapping[str, tuple[Any, ...]]:
    """Return the dtype of each tensor of the response, followed by its shape without the rows."""
    if isinstance(output, VectorOutput):
        return dict.fromkeys(output.tensors, ("DT_FLOAT", output.length))
    if not isinstance(output, Classification):
        return dict.fromkeys(output.tensors, ("DT_FLOAT",))
    types: dict[str, tuple[Any, ...]] = {"decision": ("DT_STRING",)}
    types["probabilities"] = ("DT_FLOAT", len(output.labels))
    return types | ({"set": ("DT_BOOL", len(output.labels))} if output.set_threshold is not None else {})


def _dtype(feature: Feature) -> str:
    match feature:
        case Numeric():
            return "DT_DOUBLE"
        case Integer() | NumberArray(integers=True):
            return "DT_INT64"
        case NumberArray():
            return "DT_FLOAT"
        case Boolean():
            return "DT_BOOL"
    return "DT_STRING"


def _shape(feature: Feature) -> tuple[int, ...]:
    """Return the shape of a field without the rows; a field of one value has none."""
    return feature.open_shape if isinstance(feature, NumberArray) else ()


def _tensor_info(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    """Return TensorInfo of TensorFlow's meta_graph.proto, as JSON; -1 is the unknown number of rows."""
    sizes = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}
