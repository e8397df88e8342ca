"""Graphs in ONNX that other programs would write, for tests of adoption."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

ROWS = np.random.default_rng(0).normal(size=(200, 3))


def linear_graph(width: int, outputs: int, last: str | None, **options: Any) -> onnx.ModelProto:
    """Return ``last(x @ weights)`` in float32 as a graph.

    Args:
        width: The number of inputs.
        outputs: The number of outputs.
        last: The last operator, such as ``Softmax``; None for none.
        options: ``rows``: the first dimension; ``element``: the type of the input; ``opset``.
    """
    random, element = np.random.default_rng(1), options.get("element", TensorProto.FLOAT)
    weights = numpy_helper.from_array(random.normal(size=(width, outputs)).astype(np.float32), "probabilities")
    names = ["float", "score", "y"] if last else ["float", "y"]
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["float", "probabilities"], [names[1]]),
        *([helper.make_node(last, ["score"], ["y"])] if last else []),
    ]
    rows = options.get("rows", "n")
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", element, [rows, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, outputs])],
        [weights],
    )
    opset = [helper.make_opsetid("", options.get("opset", 18))]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def write_network_spec(folder: Path, source: str, adopt: str = "", data: str = "", features: str = "") -> Path:
    """Write a model.yaml that adopts a network in this environment; return it."""
    path = folder / "model.yaml"
    lines = f"name: net\nadopt:\n  source: {source}\n  environment: current\n{adopt}"
    path.write_text(f"{lines}data: {{{data or 'target: y'}}}\n{features}")
    return path


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities, float64 [rows, labels]."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
