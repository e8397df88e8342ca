"""Split a model's graph in two: the preprocessor, from raw fields to numbers, and the model behind it."""

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from model_deployer.contract.artifact import Artifact

#: The tensors at the split, with their types: float64 [rows, n] and int64 [rows, m].
_SPLIT_TENSORS = {"numbers": TensorProto.DOUBLE, "codes": TensorProto.INT64}


def split_graph(artifact: Artifact) -> tuple[bytes, bytes] | None:
    """Split the graph of a model into the preprocessor and the model behind it.

    Returns:
        Two serialized graphs; None if the graph does not consist of these two. The first one has the inputs of
        model.onnx and the outputs numbers (float64 [rows, n]) and codes (int64 [rows, m]). The second one has these as
        inputs and the outputs of model.onnx.
    """
    model = onnx.load(artifact.model)
    prefix = _prefix(model)
    if prefix is None:
        return None
    tensors = [
        helper.make_tensor_value_info(prefix + name, kind, ["rows", None]) for name, kind in _SPLIT_TENSORS.items()
    ]
    described = {value.name for value in model.graph.value_info}
    model.graph.value_info.extend(tensor for tensor in tensors if tensor.name not in described)
    extractor, split = Extractor(model), [tensor.name for tensor in tensors]
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    graphs = extractor.extract_model(inputs, split), extractor.extract_model(split, outputs)
    preprocessor, predictor = (bytes(graph.SerializeToString(deterministic=True)) for graph in graphs)
    return preprocessor, predictor


def _prefix(model: onnx.ModelProto) -> str | None:
    """Return the prefix of the inner tensors: ``model_``, after the underscores that make the names unique."""
    names = {name for node in model.graph.node for name in node.output}
    prefixes = [name.removesuffix("numbers") for name in names if name.lstrip("_") == "model_numbers"]
    return next((prefix for prefix in prefixes if f"{prefix}codes" in names), None)
