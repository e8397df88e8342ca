"""The nodes of expressions in the graph; :mod:`training.data.expression_values` has the same results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_deployer.training.data.expression import Node
from model_deployer.training.data.expression_values import Lookup

#: ONNX Runtime's tokenizer cannot handle zero rows: a text is appended, and removed afterwards.
_SOME_TEXT = "-"


class GraphBuilder:
    """Collects nodes.

    Args:
        prefix: The beginning of the names of the inner tensors.

    Attributes:
        nodes: The nodes.
        types: The types of inner tensors that shape inference cannot derive.
    """

    def __init__(self, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.types: list[onnx.ValueInfoProto] = []
        self._prefix = prefix

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        name = f"{self._prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        return self.add("Constant", value=numpy_helper.from_array(value))

    def number(self, value: float) -> str:
        """Add a float64 constant of [1, 1], and return its name."""
        return self.constant(np.array([[value]], dtype=np.float64))


#: The operators of ONNX of the operations that have one.
_OPERATORS: Mapping[str, str] = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "negative": "Neg",
    "abs": "Abs", "sqrt": "Sqrt", "log": "Log", "exp": "Exp", "floor": "Floor", "ceil": "Ceil", "minimum": "Min",
    "maximum": "Max", "less": "Less", "less_or_equal": "LessOrEqual", "equal": "Equal", "and": "And", "or": "Or",
    "not": "Not", "where": "Where", "is_missing": "IsNaN", "seconds": "Identity",
}  # fmt: skip


def add_nodes(root: Node, graph: GraphBuilder, lookups: Sequence[Lookup]) -> str:
    """Add the nodes of an expression to a graph, and return the name of its value, float64 [rows, 1].

    Args:
        root: The expression; its columns are tensors of their names, [rows, 1].
        graph: The graph.
        lookups: The tables of the expression, in the order of its steps.
    """
    remaining = iter(lookups)
    names: dict[int, str] = {}
    for node in root.walk():
        names[id(node)] = _add_node(node, graph, [names[id(argument)] for argument in node.arguments], remaining)
    value = names[id(root)]
    if root.type == "boolean":
        return graph.add("Cast", value, to=TensorProto.DOUBLE)
    is_bad = graph.add("Or", graph.add("IsNaN", value), graph.add("IsInf", value))
    return graph.add("Where", is_bad, graph.number(np.nan), value)


def _add_node(node: Node, graph: GraphBuilder, arguments: Sequence[str], lookups: Any) -> str:
    match node.operation:
        case "constant":
            return "" if node.type == "text" else graph.number(node.value)
        case "column":
            return graph.add("Equal", node.value, graph.number(1)) if node.type == "boolean" else str(node.value)
        case "number_of":
            return graph.add("Cast", arguments[0], to=TensorProto.DOUBLE)
        case "table":
            return _add_lookup(graph, arguments[0], next(lookups))
        case "equal_text":
            return graph.add("Equal", arguments[0], graph.constant(np.array([[node.value]], dtype=object)))
        case "matches":
            return graph.add("RegexFullMatch", arguments[0], pattern=node.value)
        case "length":
            return _add_length(graph, arguments[0])
    return graph.add(_OPERATORS[node.operation], *arguments)


def _add_lookup(graph: GraphBuilder, texts: str, lookup: Lookup) -> str:
    levels: Any = [level.encode() for level in lookup.levels]
    return graph.add(
        "LabelEncoder",
        texts,
        domain="ai.onnx.ml",
        keys_tensor=helper.make_tensor("keys", TensorProto.STRING, [len(levels)], levels),
        values_tensor=helper.make_tensor("values", TensorProto.DOUBLE, [len(levels)], lookup.numbers),
        default_tensor=helper.make_tensor("default", TensorProto.DOUBLE, [1], [lookup.default]),
    )


def _add_length(graph: GraphBuilder, texts: str) -> str:
    """Add nodes that count the characters of texts; NaN for a missing text."""
    padded = graph.add("Concat", texts, graph.constant(np.array([[_SOME_TEXT]], dtype=object)), axis=0)
    characters = graph.add(
        "Tokenizer", padded, domain="com.microsoft", mark=0, mincharnum=1, pad_value="", tokenexp="(?s)."
    )
    shape: list[str | int | None] = [f"{characters}_rows", 1, f"{characters}_longest"]
    graph.types.append(helper.make_tensor_value_info(characters, TensorProto.STRING, shape))
    nothing = graph.constant(np.array([[[""]]], dtype=object))
    is_character = graph.add("Not", graph.add("Equal", characters, nothing))
    ones = graph.add("Cast", is_character, to=TensorProto.INT64)
    counts = graph.add("ReduceSum", ones, graph.constant(np.array([2])), keepdims=0)
    zero, end = graph.constant(np.array([0])), graph.constant(np.array([-1]))
    lengths = graph.add("Cast", graph.add("Slice", counts, zero, end, zero), to=TensorProto.DOUBLE)
    return graph.add("Where", graph.add("Equal", lengths, graph.number(0)), graph.number(np.nan), lengths)
