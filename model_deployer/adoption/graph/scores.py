"""Probabilities for a model that gives scores only."""

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

SCORES, PROBABILITIES = "scores", "probabilities"


def replace_scores(graph: onnx.ModelProto, slope: float, intercept: float) -> None:
    """Replace the output ``scores`` of a graph by ``probabilities``, float32 [rows, labels].

    Of one score, the probability of the second label is ``sigmoid(slope * score + intercept)``; of several, the
    probabilities are ``softmax(slope * scores)``. The order of the scores, and so the decision, stays.

    Args:
        graph: The graph, which is changed in place.
        slope: A number above 0.
        intercept: The log-odds of the second label at a score of 0; without meaning for several scores.
    """
    inner = graph.graph
    output = next(value for value in inner.output if value.name == SCORES)
    width = output.type.tensor_type.shape.dim[1].dim_value
    inner.output.remove(output)
    nodes = [
        helper.make_node("Cast", [SCORES], ["::double_scores"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["::double_scores", _constant(inner, "::slope", slope)], ["::scaled"]),
        *(_two_labels(inner, intercept) if width == 1 else _labels()),
        helper.make_node("Cast", ["::shares"], [PROBABILITIES], to=TensorProto.FLOAT),
    ]
    inner.node.extend(nodes)
    labels = 2 if width == 1 else width
    inner.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["rows", labels]))
    onnx.checker.check_model(graph, full_check=True)


def has_scores(graph: onnx.ModelProto) -> bool:
    """Return whether a graph gives scores in place of probabilities."""
    return any(value.name == SCORES for value in graph.graph.output)


def remove_decision(graph: onnx.ModelProto) -> None:
    """Remove the output ``decision`` of a graph, if it has one: the contract decides by the probabilities."""
    outputs = graph.graph.output
    for value in [value for value in outputs if value.name == "decision"]:
        outputs.remove(value)


def _labels() -> list[NodeProto]:
    return [helper.make_node("Softmax", ["::scaled"], ["::shares"], axis=1)]


def _two_labels(inner: onnx.GraphProto, intercept: float) -> list[NodeProto]:
    return [
        helper.make_node("Add", ["::scaled", _constant(inner, "::intercept", intercept)], ["::log_odds"]),
        helper.make_node("Sigmoid", ["::log_odds"], ["::second"]),
        helper.make_node("Neg", ["::log_odds"], ["::negative"]),
        helper.make_node("Sigmoid", ["::negative"], ["::first"]),
        helper.make_node("Concat", ["::first", "::second"], ["::shares"], axis=1),
    ]


def _constant(inner: onnx.GraphProto, name: str, value: float) -> str:
    inner.initializer.append(numpy_helper.from_array(np.array(value, np.float64), name))
    return name
