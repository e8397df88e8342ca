"""A graph in ONNX that another program wrote."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, external_data_helper

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import Kind, label_text

#: The formats that hold networks; all but ``onnx`` are converted in their cells.
NETWORKS = frozenset(
    {"onnx", "torch", "torchscript", "torch_export", "lightning_checkpoint", "torch_state_dict"}
    | {"keras", "keras_h5", "saved_model"}
)

#: The first version of the operators with the form that the nodes around a network have.
MIN_OPSET = 7

#: The operators that are made for missing numbers. Others give NaN, or a number that depends on the processor.
_TAKE_MISSING = {"IsNaN", "Imputer", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"}

_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
_WHOLE = {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.INT8, TensorProto.UINT8}

#: The output that those for one class each are joined to.
_JOINED = "all_classes"

#: What exporters call the lists of labels in the metadata of a file.
_LABEL_KEYS = ("labels", "classes", "class_names", "names")


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network.

    Attributes:
        name: Its name.
        element: The type of its elements, of ``onnx.TensorProto``.
        sizes: Its dimensions without the first one, which counts rows; None for one that is not fixed.
    """

    name: str
    element: int
    sizes: tuple[int | None, ...]

    @property
    def kind(self) -> Kind:
        """Whether it holds numbers or texts."""
        return "text" if self.element == TensorProto.STRING else "number"

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers."""
        return self.element in _WHOLE

    @property
    def is_float(self) -> bool:
        """Whether it holds real numbers."""
        return self.element in _FLOATS

    @property
    def width(self) -> int | None:
        """The number of its elements for each row; None if it is not fixed."""
        fixed = [size for size in self.sizes if size is not None]
        return math.prod(fixed) if len(fixed) == len(self.sizes) else None


@dataclass(frozen=True)
class Network:
    """A graph with any number of rows.

    Attributes:
        model: The graph; lists of maps are replaced by the tensor in them.
        inputs: Its inputs, in their order.
        outputs: Its outputs, in their order.
        labels: Its classes as text, in the order of its probabilities; None if it does not name them.
        joined: The columns of an output that is joined from outputs for one class each, in their order, by its name.
    """

    model: onnx.ModelProto
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...] | None
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def takes_missing(self) -> bool:
        """Whether it may have an answer for a missing number; else NaN is refused before it."""
        return any(node.op_type in _TAKE_MISSING for node in self.model.graph.node)

    def table_rows(self, name: str) -> int | None:
        """Return the rows of the table that an input of whole numbers picks from; None if it picks from none."""
        tables = {tensor.name: tensor.dims[0] for tensor in self.model.graph.initializer if len(tensor.dims) == 2}
        reached = {name}
        for node in self.model.graph.node:
            if node.op_type in ("Cast", "Identity") and node.input[0] in reached:
                reached.add(node.output[0])
            if node.op_type == "Gather" and node.input[0] in tables and node.input[1] in reached:
                return int(tables[node.input[0]])
        return None


def read_network(content: bytes, folder: Path | None = None) -> Network:
    """Read a file in ONNX; nothing of it runs.

    Args:
        content: The file.
        folder: The folder with its external data; None if it has none.

    Raises:
        UnsupportedModel: if it is damaged, or a graph of this form cannot be served; the message says why.
    """
    try:
        model = onnx.ModelProto.FromString(content)
        if folder is not None:
            external_data_helper.load_external_data_for_model(model, str(folder))
        labels = _without_maps(model) or _labels_of_nodes(model) or _labels_of_metadata(model)
        _as_written_today(model)
        joined = _join_columns(model, labels or ())
        _refuse_lost_constants(model)
        _free_rows(model)
        model.SerializeToString()
    except (DecodeError, OSError, onnx.checker.ValidationError) as error:
        raise UnsupportedModel("the file in ONNX is damaged, or its external data is") from error
    except (EncodeError, ValueError) as error:
        raise UnsupportedModel("the graph has more than 2 GiB with its weights") from error
    inputs, outputs = tuple(map(_tensor, model.graph.input)), tuple(map(_tensor, model.graph.output))
    if not inputs or not outputs:
        raise UnsupportedModel("the graph has no input or no output")
    return Network(model, inputs, outputs, labels, joined)


def _without_maps(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Replace a list of maps from label to probability by the tensor that it is made from, and return the labels."""
    maps = {node.output[0]: node for node in model.graph.node if node.op_type == "ZipMap"}
    labels = None
    for output in model.graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            continue
        node = maps.get(output.name)
        if node is None:
            raise UnsupportedModel(f"the output '{output.name}' is not a tensor: export the model without it")
        labels = _texts_of(node)
        model.graph.node.remove(node)
        model.graph.node.append(onnx.helper.make_node("Identity", [node.input[0]], [output.name]))
        described = onnx.helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["rows", len(labels)])
        output.CopyFrom(described)
    return labels


def _join_columns(model: onnx.ModelProto, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Replace outputs for one class each, which skl2onnx writes with ``zipmap: columns``, by one with all of them.

    Returns:
        The names of its columns, by its name; nothing if there are none.
    """
    columns = [item for item in model.graph.output if _tensor(item).is_float and _tensor(item).width == 1]
    names = [item.name for item in columns]
    if len(names) < 2 or not _are_of_classes(names, labels):
        return {}
    shape, parts = f"{_JOINED}:shape", [f"{_JOINED}:{name}" for name in names]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1]), shape))
    reshaped = zip(names, parts, strict=True)
    model.graph.node.extend(onnx.helper.make_node("Reshape", [name, shape], [part]) for name, part in reshaped)
    model.graph.node.append(onnx.helper.make_node("Concat", parts, [_JOINED], axis=1))
    others = [item for item in model.graph.output if item.name not in names]
    element = columns[0].type.tensor_type.elem_type
    joined = onnx.helper.make_tensor_value_info(_JOINED, element, ["rows", len(names)])
    del model.graph.output[:]
    model.graph.output.extend([*others, joined])
    return {_JOINED: tuple(names)}


def _are_of_classes(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether each name is a label after the same prefix: skl2onnx has ``i`` and ``s``, after their types."""
    if len(names) != len(labels) or not all(map(str.endswith, names, labels)):
        return False
    return len(set(map(str.removesuffix, names, labels))) == 1


def _labels_of_nodes(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Return the classes of the last operator that names some."""
    named = [labels for node in model.graph.node if (labels := _texts_of(node))]
    return named[-1] if named else None


def _texts_of(node: onnx.NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name in ("classlabels_int64s", "classlabels_ints"):
            return tuple(map(str, attribute.ints))
        if attribute.name == "classlabels_strings":
            return tuple(text.decode("utf-8", "replace") for text in attribute.strings)
    return ()


def _labels_of_metadata(model: onnx.ModelProto) -> tuple[str, ...] | None:
    values = {item.key.lower(): item.value for item in model.metadata_props}
    for key in _LABEL_KEYS:
        if names := list(_label_list(values.get(key, ""))):
            return tuple(names)
    return None


def _label_list(text: str) -> Iterator[str]:
    """Yield the labels of a list or dict in JSON, or of a list with commas."""
    try:
        value = json.loads(text)
    except ValueError:
        value = [part.strip() for part in text.split(",")] if "," in text and "{" not in text else []
    if isinstance(value, dict):
        value = [value.get(str(position)) for position in range(len(value))]
    if isinstance(value, list) and None not in value:
        yield from map(label_text, value)


def _as_written_today(model: onnx.ModelProto) -> None:
    """Leave weights out of the inputs, where old exporters list them, and state the version of the operators."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer} | {item.values.name for item in graph.sparse_initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    standard = [item for item in model.opset_import if item.domain in ("", "ai.onnx")]
    if not standard:
        model.opset_import.append(onnx.helper.make_opsetid("", 13))
    elif standard[0].version < MIN_OPSET:
        raise UnsupportedModel(
            f"the graph has operators of version {standard[0].version}: export it with opset {MIN_OPSET} or later"
        )


def _refuse_lost_constants(model: onnx.ModelProto) -> None:
    """Refuse a graph of tf2onnx whose constants became inputs, as the export of Keras 3 does with Normalization."""
    lost = [item.name for item in model.graph.input if "/" in item.name and not _has_free_rows(item)]
    if model.producer_name == "tf2onnx" and lost and any(map(_has_free_rows, model.graph.input)):
        raise UnsupportedModel(
            f"its export lost the numbers of '{lost[0]}', which are an input now: hand over the network itself, as "
            f"`.keras` or as a SavedModel"
        )


def _has_free_rows(item: onnx.ValueInfoProto) -> bool:
    return not all(part.dim_value for part in item.type.tensor_type.shape.dim[:1])


def _free_rows(model: onnx.ModelProto) -> None:
    """Make the first dimension of the inputs and outputs free; whether the graph allows it, its answers show."""
    for item in (*model.graph.input, *model.graph.output):
        sizes = item.type.tensor_type.shape.dim
        if not sizes:
            continue
        if sizes[0].dim_value > 1 and item in model.graph.input:
            raise UnsupportedModel(
                f"the input '{item.name}' has {sizes[0].dim_value} rows at a time: export the model with a free first "
                f"dimension"
            )
        if sizes[0].dim_value:
            del model.graph.value_info[:]
        sizes[0].dim_param = "rows"


def fixed_rows(content: bytes) -> bool:
    """Return whether a file in ONNX takes one row at a time."""
    graph = onnx.ModelProto.FromString(content).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    return any(item.type.tensor_type.shape.dim[:1] and item.type.tensor_type.shape.dim[0].dim_value for item in inputs)


def _tensor(item: onnx.ValueInfoProto) -> Tensor:
    tensor = item.type.tensor_type
    sizes = [part.dim_value or None for part in tensor.shape.dim]
    return Tensor(item.name, tensor.elem_type, tuple(sizes[1:]))


def element_type(tensor: Tensor) -> np.dtype[np.generic]:
    """Return the type of numpy of the elements of a tensor."""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.element))
