"""Collect the nodes of an ONNX graph: inputs of raw fields, operators and constants with unique names."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from model_deployer.adoption.graph.field_fact import FieldFact
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import Kind

#: The oldest versions with the operators of most writers (ONNX 1.15); a graph with a newer operator states its version.
OPSETS = {"": 20, "ai.onnx.ml": 4}
IR_VERSION = 9

_ELEMENTS = {"number": TensorProto.DOUBLE, "text": TensorProto.STRING}


class GraphWriter:
    """A graph that grows. Every tensor has rows as its first dimension, and numbers are double.

    Attributes:
        critical: Values of raw fields at which the model changes its behaviour, by the name of the field: thresholds
            and categories. Rows that prove the equality of a graph are built from them.
        facts: What the model accepts of a raw field, by the name of the field.
    """

    def __init__(self, prefix: str = "::") -> None:
        self.inputs: dict[str, Kind] = {}
        self.critical: dict[str, set[float | str]] = {}
        self.facts: dict[str, FieldFact] = {}
        self._opsets = dict(OPSETS)
        self._nodes: list[NodeProto] = []
        self._constants: dict[bytes, str] = {}
        self._initializers: list[TensorProto] = []
        self._described: list[onnx.ValueInfoProto] = []
        self._count = 0
        self._prefix = prefix

    def input(self, name: str, kind: Kind) -> str:
        """Return the tensor of a raw field, [rows, 1].

        Raises:
            UnsupportedModel: if one part of the model uses the field as a number and another part as a text.
        """
        if self.inputs.setdefault(name, kind) != kind:
            raise UnsupportedModel(f"the column '{name}' is used as a number and as a text")
        return _input_tensor(name)

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output, and return its name.

        Args:
            operator: The name of the operator.
            inputs: The names of its inputs.
            domain: ``ai.onnx.ml`` for an operator of that domain.
            attributes: Its attributes.
        """
        (output,) = self.add_many(operator, *inputs, outputs=1, domain=domain, **attributes)
        return output

    def add_many(self, operator: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Add an operator with several outputs, and return their names; see :meth:`add`."""
        names = [self._name(operator) for _ in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names

    def repeat(self, most: int, step: Callable[["GraphWriter", str], tuple[str, str]], start: str) -> str:
        """Repeat a step until it says that it is done, and return the last value.

        Args:
            most: The maximum number of repetitions.
            step: Writes one repetition: it gets the graph of the repetition and the name of the value, and returns
                the name of a boolean scalar, whether to go on, and that of the next value. It may use tensors of this
                graph.
            start: The first value, double [rows, columns].
        """
        body = GraphWriter(f"{self._name('Loop')}:")
        number, go, value = (body._name(name) for name in ("number", "go", "value"))
        outputs = step(body, value)
        repetition = helper.make_graph(
            body._nodes,
            "repetition",
            [_value(number, TensorProto.INT64, []), _value(go, TensorProto.BOOL, []), _value(value)],
            [_value(outputs[0], TensorProto.BOOL, []), _value(outputs[1])],
            body._initializers,
        )
        return self.add("Loop", self.constant(np.array(most, np.int64)), "", start, body=repetition)

    def constant(self, value: Any) -> str:
        """Return the name of a constant; numbers of Python and float arrays become double, texts become strings.

        Args:
            value: An array, number, text, or list of them.
        """
        array = _constant_array(value)
        key = b"|".join([str(array.dtype).encode(), str(array.shape).encode(), _content(array)])
        if key not in self._constants:
            name = self._constants[key] = self._name("constant")
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def number(self, tensor: str) -> str:
        """Convert a tensor of booleans, integers or floats to double."""
        return self.add("Cast", tensor, to=TensorProto.DOUBLE)

    def require_opset(self, domain: str, version: int) -> None:
        """State that the graph has an operator which a version of its domain brought."""
        self._opsets[domain] = max(self._opsets.get(domain, 0), version)

    def describe_texts(self, tensor: str, dimensions: int) -> None:
        """State the type of a tensor of texts that an operator outside of the standard returns."""
        self._described.append(_value(tensor, TensorProto.STRING, [None] * dimensions))

    def note_critical(self, field: str, values: Sequence[float | str]) -> None:
        """Remember values of a raw field at which the model changes its behaviour."""
        self.critical.setdefault(field, set()).update(values)

    def fact(self, field: str) -> FieldFact:
        """Return what is known of a raw field, to read it or to add to it."""
        return self.facts.setdefault(field, FieldFact())

    def model(self, outputs: dict[str, tuple[str, int]], element: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """Return the finished graph.

        Args:
            outputs: By the name of the output: a double tensor [rows, columns], and its number of columns.
            element: The type that they become: float32, as the outputs of every artifact, or another one of
                ``onnx.TensorProto``.

        Raises:
            onnx.checker.ValidationError: if the nodes do not fit together.
        """
        for name, (tensor, _) in outputs.items():
            self._nodes.append(helper.make_node("Cast", [tensor], [name], to=element))
        renamed = [helper.make_node("Identity", [name], [_input_tensor(name)]) for name in self.inputs]
        graph = helper.make_graph(
            [*renamed, *self._nodes],
            "model",
            [helper.make_tensor_value_info(name, _ELEMENTS[kind], ["rows", 1]) for name, kind in self.inputs.items()],
            [helper.make_tensor_value_info(name, element, ["rows", width]) for name, (_, width) in outputs.items()],
            self._initializers,
            value_info=self._described,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="model-deployer")
        onnx.checker.check_model(model, full_check=True)
        return model

    def _name(self, operator: str) -> str:
        self._count += 1
        return f"{self._prefix}{operator}_{self._count}"


def _value(
    name: str, element: int = TensorProto.DOUBLE, shape: Sequence[int | None] | None = None
) -> onnx.ValueInfoProto:
    """Describe a tensor of a repetition; without a shape, of any shape."""
    return helper.make_tensor_value_info(name, element, shape)


def _input_tensor(name: str) -> str:
    """The name of an input inside of the graph. An input is renamed, so that an output may have the same name."""
    return f"::{name}"


def _constant_array(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind == "f" or (array.dtype.kind == "i" and not isinstance(value, np.ndarray)):
        return array.astype(np.float64)
    return array.astype(object) if array.dtype.kind == "U" else array


def _content(array: NDArray[Any]) -> bytes:
    return repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
