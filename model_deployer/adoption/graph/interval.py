"""The prediction interval of a quantity whose model gives values only."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def add_interval(graph: onnx.ModelProto, half_width: float) -> None:
    """Add the outputs ``lower`` and ``upper``, float32 [rows, 1], to a graph with the output ``value``.

    Args:
        graph: The graph, which is changed in place.
        half_width: The distance of both from the value, in the unit of the target.
    """
    inner = graph.graph
    name = "::half_width"
    inner.initializer.append(numpy_helper.from_array(np.array(half_width, np.float32), name))
    for output, operator in (("lower", "Sub"), ("upper", "Add")):
        inner.node.append(helper.make_node(operator, ["value", name], [output]))
        inner.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", 1]))
    onnx.checker.check_model(graph, full_check=True)
