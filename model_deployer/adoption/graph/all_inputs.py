"""Give a graph an input for each field of its contract."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from model_deployer.contract.features import Feature, Vector


def with_all_inputs(graph: onnx.ModelProto, features: Sequence[Feature]) -> onnx.ModelProto:
    """Return a graph with the inputs that it has, and one more for each field that it does not read.

    A model may leave columns out that it was fitted on, such as those that a selection or ``remainder="drop"``
    removes. Callers send them, as they do to the source.

    Args:
        graph: The graph; it is not changed.
        features: The fields of the contract, in their order.
    """
    complete = onnx.ModelProto()
    complete.CopyFrom(graph)
    present = {item.name for item in graph.graph.input}
    for feature in features:
        if feature.name not in present:
            element = TensorProto.STRING if feature.dtype == "string" else TensorProto.DOUBLE
            width = feature.length if isinstance(feature, Vector) else 1
            complete.graph.input.append(helper.make_tensor_value_info(feature.name, element, ["rows", width]))
    return complete
