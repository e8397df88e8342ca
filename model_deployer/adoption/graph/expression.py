"""Write a formula of tensors as one writes it with arrays, and get the nodes of an ONNX graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from onnx import TensorProto

from model_deployer.adoption.graph.graph_writer import GraphWriter

#: A tensor of the graph, or a constant.
Operand = Union["Expression", Any]


@dataclass(frozen=True)
class Expression:
    """A tensor of a graph; operators and functions on it add nodes, and broadcast as numpy does.

    Attributes:
        graph: The graph to add nodes to.
        tensor: The name of the tensor: double, int64, boolean or string [rows, columns], or more dimensions.
    """

    graph: GraphWriter
    tensor: str

    def apply(self, operator: str, *others: Operand, domain: str = "", **attributes: Any) -> "Expression":
        """Add an operator of ONNX whose first input is this tensor."""
        names = [self._name(other) for other in others]
        return Expression(self.graph, self.graph.add(operator, self.tensor, *names, domain=domain, **attributes))

    def _name(self, operand: Operand) -> str:
        return operand.tensor if isinstance(operand, Expression) else self.graph.constant(operand)

    def _of(self, operand: Operand) -> "Expression":
        return operand if isinstance(operand, Expression) else Expression(self.graph, self.graph.constant(operand))

    def __add__(self, other: Operand) -> "Expression":
        return self.apply("Add", other)

    def __sub__(self, other: Operand) -> "Expression":
        return self.apply("Sub", other)

    def __mul__(self, other: Operand) -> "Expression":
        return self.apply("Mul", other)

    def __truediv__(self, other: Operand) -> "Expression":
        return self.apply("Div", other)

    def __pow__(self, other: Operand) -> "Expression":
        return self.apply("Pow", other)

    def __matmul__(self, other: Operand) -> "Expression":
        return self.apply("MatMul", other)

    def __radd__(self, other: Operand) -> "Expression":
        return self._of(other) + self

    def __rsub__(self, other: Operand) -> "Expression":
        return self._of(other) - self

    def __rmul__(self, other: Operand) -> "Expression":
        return self._of(other) * self

    def __rtruediv__(self, other: Operand) -> "Expression":
        return self._of(other) / self

    def __neg__(self) -> "Expression":
        return self.apply("Neg")

    def __lt__(self, other: Operand) -> "Expression":
        return self.apply("Less", other)

    def __le__(self, other: Operand) -> "Expression":
        return self.apply("LessOrEqual", other)

    def __gt__(self, other: Operand) -> "Expression":
        return self.apply("Greater", other)

    def __ge__(self, other: Operand) -> "Expression":
        return self.apply("GreaterOrEqual", other)

    def __and__(self, other: Operand) -> "Expression":
        return self.apply("And", other)

    def __or__(self, other: Operand) -> "Expression":
        return self.apply("Or", other)

    def __invert__(self) -> "Expression":
        return self.apply("Not")

    def equals(self, other: Operand) -> "Expression":
        """Compare element by element: boolean."""
        return self.apply("Equal", other)

    def is_nan(self) -> "Expression":
        """Return where a number is NaN: boolean."""
        return self.apply("IsNaN")

    def choose(self, yes: Operand, no: Operand) -> "Expression":
        """Choose between two tensors where this one, of booleans, is true or false."""
        return self.apply("Where", yes, no)

    def number(self) -> "Expression":
        """Convert booleans or integers to double."""
        return Expression(self.graph, self.graph.number(self.tensor))

    def exp(self) -> "Expression":
        """Return e to the power of each number."""
        return self.apply("Exp")

    def log(self) -> "Expression":
        """Return the natural logarithm of each number."""
        return self.apply("Log")

    def sqrt(self) -> "Expression":
        """Return the square root of each number."""
        return self.apply("Sqrt")

    def abs(self) -> "Expression":
        """Return the absolute value of each number."""
        return self.apply("Abs")

    def clip(self, lower: float | None, upper: float | None) -> "Expression":
        """Limit each number to a range; NaN stays NaN."""
        limited = self
        if lower is not None:
            limited = (limited < float(lower)).choose(float(lower), limited)
        if upper is not None:
            limited = (limited > float(upper)).choose(float(upper), limited)
        return limited

    def sigmoid(self) -> "Expression":
        """Return 1 / (1 + exp(-x)) of each number."""
        return 1.0 / ((-self).exp() + 1.0)

    def softmax(self) -> "Expression":
        """Return the softmax of each row."""
        return self.apply("Softmax", axis=1)

    def sum(self, axis: int = 1) -> "Expression":
        """Add along an axis, which keeps the size 1."""
        return self.apply("ReduceSum", np.array([axis], np.int64))

    def max(self, axis: int = 1) -> "Expression":
        """Return the largest number along an axis, which keeps the size 1."""
        return self.apply("ReduceMax", np.array([axis], np.int64))

    def argmax(self, last: bool = False) -> "Expression":
        """Return the position of the first or the last one of the largest numbers of each row, int64 [rows, 1]."""
        return self.apply("ArgMax", axis=1, keepdims=1, select_last_index=int(last))

    def columns(self, indices: Sequence[int]) -> "Expression":
        """Return some columns by their positions."""
        return self.apply("Gather", np.asarray(indices, np.int64), axis=1)

    def reshape(self, *shape: int) -> "Expression":
        """Return the same numbers in another shape; -1 is what remains."""
        return self.apply("Reshape", np.array(shape, np.int64))

    def integer(self) -> "Expression":
        """Convert numbers to int64, which cuts the fraction off."""
        return self.apply("Cast", to=TensorProto.INT64)


def concat(parts: Sequence[Expression], axis: int = 1) -> Expression:
    """Join tensors along an axis: by default, columns next to each other."""
    first, *others = parts
    return first.apply("Concat", *others, axis=axis) if others else first
