"""New probabilities, or a new interval, from those that a graph has: nodes after its outputs."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: The smallest probability whose logarithm is taken; float32 has none between it and 0.
SMALLEST = 1e-38


def recalibrate_probabilities(graph: onnx.ModelProto, slope: float, intercept: float) -> None:
    """Replace the output ``probabilities`` of a graph, float32 [rows, labels], by calibrated ones.

    With two labels the log-odds of the second one become ``slope * log_odds + intercept``; with more labels the new
    probabilities are ``softmax(slope * log(probabilities))``.

    Args:
        graph: The graph, which is changed in place.
        slope: A number above 0: the order of the probabilities stays.
        intercept: The change of the log-odds of the second of two labels; without meaning for more labels.
    """
    inner, labels, prefix = graph.graph, _width(graph, "probabilities"), _unused_prefix(graph)
    old = _rename_output(graph, "probabilities", prefix)
    offsets = np.array([0.0, intercept] if labels == 2 else [0.0] * labels)
    for name, value in {"smallest": np.array(SMALLEST), "slope": np.array(slope), "offsets": offsets}.items():
        inner.initializer.append(numpy_helper.from_array(value, prefix + name))
    steps: list[tuple[str, list[str], str, dict[str, int]]] = [
        ("Cast", [old], "double", {"to": TensorProto.DOUBLE}),
        ("Max", [f"{prefix}double", f"{prefix}smallest"], "positive", {}),
        ("Log", [f"{prefix}positive"], "logs", {}),
        ("Mul", [f"{prefix}logs", f"{prefix}slope"], "sloped", {}),
        ("Add", [f"{prefix}sloped", f"{prefix}offsets"], "shifted", {}),
        ("Softmax", [f"{prefix}shifted"], "shares", {"axis": 1}),
    ]
    inner.node.extend(
        helper.make_node(operator, inputs, [prefix + output], **attributes)  # type: ignore[arg-type]
        for operator, inputs, output, attributes in steps
    )
    inner.node.append(helper.make_node("Cast", [f"{prefix}shares"], ["probabilities"], to=TensorProto.FLOAT))
    onnx.checker.check_model(graph, full_check=True)


def recalibrate_interval(graph: onnx.ModelProto, factor: float) -> None:
    """Make the distances of the outputs ``lower`` and ``upper`` of a graph from ``value`` a number of times as large.

    Args:
        graph: The graph, which is changed in place.
        factor: A number of at least 0.
    """
    inner, prefix = graph.graph, _unused_prefix(graph)
    inner.initializer.append(numpy_helper.from_array(np.array(factor, np.float32), f"{prefix}factor"))
    for output in ("lower", "upper"):
        old, distance = _rename_output(graph, output, prefix), f"{prefix}distance_{output}"
        inner.node.extend(
            [
                helper.make_node("Sub", [old, "value"], [distance]),
                helper.make_node("Mul", [distance, f"{prefix}factor"], [f"{prefix}new_{output}"]),
                helper.make_node("Add", ["value", f"{prefix}new_{output}"], [output]),
            ]
        )
    onnx.checker.check_model(graph, full_check=True)


def _width(graph: onnx.ModelProto, output: str) -> int:
    (value,) = [value for value in graph.graph.output if value.name == output]
    return int(value.type.tensor_type.shape.dim[1].dim_value)


def _unused_prefix(graph: onnx.ModelProto) -> str:
    """Return the beginning of the names of new tensors: a graph may be calibrated again."""
    names = {value.name for value in graph.graph.initializer}
    number = 1
    while any(name.startswith(f"::recalibration{number}_") for name in names):
        number += 1
    return f"::recalibration{number}_"


def _rename_output(graph: onnx.ModelProto, name: str, prefix: str) -> str:
    """Rename the tensor of an output within the graph, so that new nodes can make the output; return its new name."""
    renamed = prefix + name
    for node in graph.graph.node:
        for names in (node.input, node.output):
            for index, each in enumerate(names):
                if each == name:
                    names[index] = renamed
    return renamed
