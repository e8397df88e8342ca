"""The graph of an artifact around a network: raw fields in double or texts in, probabilities or a value out."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, compose, helper, numpy_helper

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import SourceField
from model_deployer.adoption.network.arrangement import Slot
from model_deployer.adoption.network.network import Network
from model_deployer.contract.source_runner import NetworkAnswer, Pixels

_PREFIX = "network/"


def wrap_network(network: Network, slots: Sequence[Slot], answer: NetworkAnswer, width: int) -> onnx.ModelProto:
    """Return a graph with the inputs and the output of an artifact; the network in it stays as it is.

    Args:
        network: The network.
        slots: The fields that fill its inputs.
        answer: Which of its outputs counts, and what it means.
        width: The number of probabilities, or of values.

    Raises:
        UnsupportedModel: if a field has the name of the output.
    """
    inner = compose.add_prefix(network.model, _PREFIX, rename_functions=False)
    weights = _Weights(inner.graph)
    before = [node for slot in slots for node in _input_nodes(slot, weights)]
    after = list(_output_nodes(network.outputs[answer.position].name, answer, width, weights))
    nodes = [*before, *inner.graph.node, *after]
    del inner.graph.node[:], inner.graph.input[:], inner.graph.output[:], inner.graph.value_info[:]
    inner.graph.node.extend(nodes)
    inner.graph.input.extend(_input(slot, field) for slot in slots for field in slot.fields)
    name = output_name(answer, width)
    if any(field.name == name for slot in slots for field in slot.fields):
        raise UnsupportedModel(f"a column has the name of the output, '{name}': list others under `adopt.columns`")
    inner.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width]))
    onnx.checker.check_model(inner)
    return inner


def output_name(answer: NetworkAnswer, width: int) -> str:
    """Return the name of the output of the graph."""
    if answer.meaning == "value":
        return "value" if width == 1 else "values"
    return "probabilities"


def _input(slot: Slot, field: SourceField) -> onnx.ValueInfoProto:
    if field.image is not None:
        return helper.make_tensor_value_info(field.name, TensorProto.UINT8, ["rows", *field.image])
    if field.sequence is not None:
        return helper.make_tensor_value_info(field.name, TensorProto.DOUBLE, ["rows", f"{field.name}_length"])
    if field.dimensions is not None:
        sizes = [
            each if isinstance(each, int) else f"{field.name}_{axis}" for axis, each in enumerate(field.dimensions)
        ]
        return helper.make_tensor_value_info(field.name, TensorProto.DOUBLE, ["rows", *sizes])
    element = TensorProto.STRING if slot.tensor.kind == "text" else TensorProto.DOUBLE
    return helper.make_tensor_value_info(field.name, element, ["rows", field.length or 1])


class _Weights:
    """Adds constants to a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def add(self, value: object, kind: type = np.int64) -> str:
        """Add a constant, and return its name."""
        name = f"::constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
        return name


def _input_nodes(slot: Slot, weights: _Weights) -> Iterator[NodeProto]:
    if slot.pixels is not None:
        yield from _image_nodes(slot, slot.pixels, weights)
        return
    if slot.sequence is not None:
        yield from _sequence_nodes(slot, slot.sequence, weights)
        return
    if slot.is_tensor:
        (field,) = slot.fields
        yield helper.make_node("Cast", [field.name], [_PREFIX + slot.tensor.name], to=slot.tensor.element)
        return
    target, names = _PREFIX + slot.tensor.name, [field.name for field in slot.fields]
    joined = f"::{slot.tensor.name}"
    yield helper.make_node("Concat", names, [joined], axis=1)
    if slot.tensor.kind == "number":
        yield helper.make_node("Cast", [joined], [f"{joined}:cast"], to=slot.tensor.element)
        joined = f"{joined}:cast"
    sizes = [-1, *(size or len(slot.fields) for size in slot.tensor.sizes)]
    yield helper.make_node("Reshape", [joined, weights.add(sizes)], [target])


def _sequence_nodes(slot: Slot, sequence: str, weights: _Weights) -> Iterator[NodeProto]:
    """Yield the nodes from a sequence, double [rows, length] with NaN after its end, to an input."""
    name = f"::{slot.tensor.name}"
    yield helper.make_node("IsNaN", [sequence], [f"{name}:end"])
    if slot.fill == "mask":
        yield helper.make_node("Not", [f"{name}:end"], [f"{name}:filled"])
    else:
        numbers = sequence if slot.fill == "values" else weights.add(0.0, np.float64)
        padding = weights.add(slot.padding, np.float64)
        yield helper.make_node("Where", [f"{name}:end", padding, numbers], [f"{name}:filled"])
    yield helper.make_node("Cast", [f"{name}:filled"], [_PREFIX + slot.tensor.name], to=slot.tensor.element)


def _image_nodes(slot: Slot, pixels: Pixels, weights: _Weights) -> Iterator[NodeProto]:
    """Yield the nodes from pixels, uint8 [rows, height, width, channels], to an input; they scale in double."""
    last, name = slot.fields[0].name, f"::{slot.tensor.name}"
    if pixels.order == "bgr":
        yield helper.make_node("Gather", [last, weights.add([2, 1, 0])], [f"{name}:order"], axis=3)
        last = f"{name}:order"
    if slot.tensor.is_float:
        low, high = pixels.range
        mean, std = (np.array(numbers or [default]) for numbers, default in ((pixels.mean, 0.0), (pixels.std, 1.0)))
        factor, offset = (high - low) / 255 / std, (low - mean) / std
        yield helper.make_node("Cast", [last], [f"{name}:double"], to=TensorProto.DOUBLE)
        yield helper.make_node("Mul", [f"{name}:double", weights.add(factor, np.float64)], [f"{name}:scaled"])
        yield helper.make_node("Add", [f"{name}:scaled", weights.add(offset, np.float64)], [f"{name}:moved"])
        last = f"{name}:moved"
    yield helper.make_node("Cast", [last], [f"{name}:cast"], to=slot.tensor.element)
    axes = [0, 3, 1, 2] if pixels.layout == "channels_first" else [0, 1, 2, 3]
    yield helper.make_node("Transpose", [f"{name}:cast"], [_PREFIX + slot.tensor.name], perm=axes)


def _output_nodes(name: str, answer: NetworkAnswer, width: int, weights: _Weights) -> Iterator[NodeProto]:
    columns = 1 if answer.is_single else width
    yield helper.make_node("Reshape", [_PREFIX + name, weights.add([-1, columns])], ["::columns"])
    if answer.meaning == "value":
        yield helper.make_node("Cast", ["::columns"], [output_name(answer, width)], to=TensorProto.FLOAT)
        return
    yield helper.make_node("Cast", ["::columns"], ["::double"], to=TensorProto.DOUBLE)
    last = "::double"
    if answer.meaning == "logits":
        yield (
            helper.make_node("Sigmoid", [last], ["::shares"])
            if answer.is_single
            else helper.make_node("Softmax", [last], ["::shares"], axis=1)
        )
        last = "::shares"
    if answer.is_single:
        yield helper.make_node("Sub", [weights.add([[1.0]], np.float64), last], ["::other"])
        yield helper.make_node("Concat", ["::other", last], ["::both"], axis=1)
        last = "::both"
    yield helper.make_node("Cast", [last], ["probabilities"], to=TensorProto.FLOAT)
