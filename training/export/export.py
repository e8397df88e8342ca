"""Export a trained model to one ONNX graph, from raw features to calibrated predictions.

torch exports the numeric part. The nodes that encode strings come before it: one LabelEncoder (ai.onnx.ml) per
categorical column, and some nodes per free-text column.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import polars as pl
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, compose, helper
from torch import Tensor, nn

from model_deployer.adoption.tensor_column import axes_of, tensor_values
from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.features import MAX_ELEMENTS, Feature, Image, NumberSequence
from model_deployer.contract.image_file import read_image
from model_deployer.contract.tensor_batch import Graph, padded, padded_elements
from model_deployer.training.models.model import Model, rows_at_once
from model_deployer.training.models.onnx_estimator import COLUMNS, IR_VERSION, OPSETS, SCORES
from model_deployer.training.preprocessing.derived import derived_nodes
from model_deployer.training.preprocessing.preprocessing import UNKNOWN, Preprocessor
from model_deployer.training.preprocessing.vocabulary import DOMAIN
from model_deployer.training.runtime.silence import silence_libraries

#: The numbers of a usual image, 224 x 224 pixels of three colours, and of a usual sequence. They limit the rows of a
#: call.
_IMAGE_ELEMENTS, _SEQUENCE_ELEMENTS = 150_528, 512

#: The largest allowed difference between the predictions of two engines, relative for predictions above their scale.
TOLERANCE = 1e-5


def export_onnx(model: Model, features: Sequence[Feature]) -> onnx.ModelProto:
    """Return the graph of a model; the same model always gives the same bytes.

    The graph has one input per feature, with the name and the dtype of the feature and the shape [rows, 1]. A missing
    number is NaN, a missing string "". The outputs are those of model_deployer/contract/outputs.py.

    Args:
        model: The fitted model.
        features: Its features.
    """
    prefix = _unused_prefix([*features, *(derived.feature for derived in model.blueprint.preprocessor.derived)])
    numeric_graph = _numeric_graph(model, prefix)
    encoder_graph = _encoder_graph(model.blueprint.preprocessor, features, prefix)
    io_map = [(name, name) for name in (f"{prefix}numbers", f"{prefix}codes")]
    graph = compose.merge_models(encoder_graph, numeric_graph, io_map=io_map)
    _strip(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def run_onnx(graph: onnx.ModelProto, frame: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of a graph for the rows of a conformed frame, by name: float32 [rows, columns]."""
    return graph_predictor(graph)(frame)


def graph_predictor(graph: onnx.ModelProto) -> Callable[[pl.DataFrame], dict[str, NDArray[np.float32]]]:
    """Load a graph, and return a function that does the same as :func:`run_onnx`, for repeated calls."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]

    run = Graph(session)

    def predict(frame: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
        rows = rows_at_once(sum(map(_width, frame)))
        chunks = [frame[first : first + rows] for first in range(0, max(1, frame.height), rows)]
        parts = [run(feeds(session, chunk)) for chunk in chunks]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    return predict


def _width(column: pl.Series) -> int:
    """Return the numbers in a value of a column; those of an image and of a sequence are estimated."""
    dtype = column.dtype
    if axes_of(dtype) > 1:
        shapes = [value.shape for value in tensor_values(column) if value is not None]
        return padded_elements(shapes) // max(1, len(shapes))
    if isinstance(dtype, pl.List):
        return _SEQUENCE_ELEMENTS
    if dtype == pl.Binary:
        return _IMAGE_ELEMENTS
    return dtype.size if isinstance(dtype, pl.Array) else 1


def feeds(session: onnxruntime.InferenceSession, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the rows of a conformed frame as the inputs of a session: [rows, 1] for each, float64 or strings.

    Vectors, sequences and tensors are float64 [rows, *shape], with NaN after the ends of smaller ones, and images uint8
    [rows, height, width, channels].
    """
    return {value.name: _feed(frame[value.name], value.shape) for value in session.get_inputs()}


def _feed(column: pl.Series, shape: Sequence[Any]) -> NDArray[Any]:
    """Return a column as an input of this shape; the files of images are resized to it."""
    if column.dtype == pl.Binary:
        _, height, width, channels = shape
        image = Image(name=column.name, height=height, width=width, channels=channels, resize=True)
        return np.stack([read_image(image, content) for content in column])
    if axes_of(column.dtype) > 1:
        return padded(tensor_values(column), [size if isinstance(size, int) else 1 for size in shape[1:]])
    if isinstance(column.dtype, pl.List):
        sequences = [numbers.to_numpy() for numbers in column]
        return NumberSequence(name=column.name, longest=MAX_ELEMENTS).column(sequences)
    array = column.to_numpy()
    return array.reshape(-1, 1) if array.ndim == 1 else array


def check_parity(graph: onnx.ModelProto, model: Model, frame: pl.DataFrame) -> float:
    """Return the largest difference between the outputs of the graph and of the torch model.

    Args:
        graph: The exported model.
        model: The torch model.
        frame: A conformed frame.

    Returns:
        The difference in units of :func:`prediction_scale`, relative for predictions above it.

    Raises:
        CheckFailed: if it is larger than ``TOLERANCE``, or only one of the two outputs is a number.
    """
    expected = model.predict(model.blueprint.preprocessor.transform(frame))
    outputs = run_onnx(graph, frame)
    scale = prediction_scale(model)
    largest = max(_difference(outputs[name], expected[name].numpy(), scale) for name in expected)
    if not largest <= TOLERANCE:
        raise CheckFailed(
            f"the exported graph differs from the trained model by up to {largest:g}; at most {TOLERANCE:g} is allowed"
        )
    return largest


def prediction_scale(model: Model) -> float:
    """Return the unit of differences between predictions: 1, or the larger scale of a quantity.

    The scale is the standard deviation of a regression target, or the mean of a count. A prediction near 0 is a small
    difference of numbers of that size, and float32 keeps seven digits of them.
    """
    return model.head.scale


def _difference(outputs: NDArray[np.float32], expected: NDArray[np.float32], scale: float) -> float:
    return float(np.max(np.abs(outputs - expected) / np.maximum(scale, np.abs(expected)), initial=0.0))


def _unused_prefix(features: Sequence[Feature]) -> str:
    """Return a prefix that no feature's name has, so that the names of inner tensors cannot clash with features."""
    prefix = "model_"
    while any(feature.name.startswith(prefix) for feature in features):
        prefix = f"_{prefix}"
    return prefix


def _numeric_graph(model: Model, prefix: str) -> onnx.ModelProto:
    """Export the part from ``numbers`` and ``codes`` to the outputs.

    torch exports it in one piece, or in two with the ONNX estimator between them.
    """
    layout, levels = model.blueprint.layout, model.blueprint.preprocessor.levels
    numbers = torch.zeros(2, layout.plain + layout.datetimes + layout.booleans, dtype=torch.float64)
    codes = torch.zeros(2, len(levels), dtype=torch.int64)
    inputs = {"numbers": numbers, "codes": codes}
    if not (model.estimator and model.columns):
        return compose.add_prefix(_export(model, inputs, model.head.names), prefix, rename_outputs=False)
    body_outputs = [*(["member_outputs"] if model.network else []), COLUMNS]
    with torch.no_grad():
        body_values = _Body(model)(numbers, codes)
        scores = model.estimator.scores(model.columns(numbers, codes))
    head_inputs = dict(zip([*body_outputs[:-1], SCORES], [*body_values[:-1], scores], strict=True))
    body = compose.add_prefix(_export(_Body(model), inputs, body_outputs), prefix)
    estimator = compose.add_prefix(model.estimator.model, f"{prefix}estimator_")
    head = compose.add_prefix(
        _export(_Head(model), head_inputs, model.head.names), f"{prefix}head_", rename_outputs=False
    )
    with_scores = compose.merge_models(body, estimator, io_map=[(f"{prefix}{COLUMNS}", f"{prefix}estimator_{COLUMNS}")])
    sources = {name: f"{prefix}estimator_{name}" if name == SCORES else f"{prefix}{name}" for name in head_inputs}
    io_map = [(sources[name], f"{prefix}head_{name}") for name in head_inputs]
    return compose.merge_models(with_scores, head, io_map=io_map)


class _Body(nn.Module):
    """The part before the ONNX estimator: its columns and, if there is a network, the outputs of the members."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        assert self._model.columns
        outputs, columns = self._model.member_outputs(numbers, codes), self._model.columns(numbers, codes)
        return (columns,) if outputs is None else (outputs, columns)


class _Head(nn.Module):
    """The part after the ONNX estimator: the head."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._head = model.head

    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        *member_outputs, scores = parts
        combined = self._head.combine(member_outputs[0] if member_outputs else None, scores)
        return cast(tuple[Tensor, ...], self._head(combined))


def _export(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    rows = torch.export.Dim("rows")
    with silence_libraries():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=_dynamic_shapes(module, list(inputs), rows),
            opset_version=OPSETS[""],
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.ir_version = IR_VERSION  # torch writes a newer one for the same operators
    return model


def _dynamic_shapes(module: nn.Module, names: Sequence[str], rows: Any) -> Any:
    """Return the dynamic dimension of each input: the first one is the number of rows."""
    if isinstance(module, _Head):
        return (tuple({0: rows} for _ in names),)
    return {name: {0: rows} for name in names}


def _encoder_graph(preprocessor: Preprocessor, features: Sequence[Feature], prefix: str) -> onnx.ModelProto:
    """Return the graph from the features to ``numbers`` and ``codes``, which does the same as the preprocessor."""
    derived, derived_types = derived_nodes(preprocessor.derived, prefix)
    matrices = [_number_nodes(preprocessor, prefix), _code_nodes(preprocessor, prefix)]
    matrices.sort(key=lambda nodes: nodes[-1].op_type == "Cast")  # an empty matrix is derived from the other one
    graph = helper.make_graph(
        [*derived, *(node for nodes in matrices for node in nodes)],
        "model",
        [
            _tensor(feature.name, TensorProto.STRING if feature.dtype == "string" else TensorProto.DOUBLE, 1)
            for feature in features
        ],
        [_tensor(f"{prefix}numbers", TensorProto.DOUBLE, None), _tensor(f"{prefix}codes", TensorProto.INT64, None)],
    )
    graph.value_info.extend(derived_types)
    for result, name in _text_results(preprocessor, prefix).items():
        graph.value_info.extend(preprocessor.texts[name].types(result))
    versions = OPSETS | DOMAIN if preprocessor.texts or derived_types else OPSETS
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _tensor(name: str, element: int, columns: int | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, ["rows", columns])


def _number_nodes(preprocessor: Preprocessor, prefix: str) -> list[NodeProto]:
    nodes = [
        _lookup(name, f"{prefix}encoded_{name}_{index}", encoding.levels, values_floats=values, default_float=unknown)
        for name, encoding in preprocessor.encoded.items()
        for index, (values, unknown) in enumerate(zip(encoding.columns, encoding.unknown, strict=True))
    ]
    doubles = []
    if nodes:
        encoded, double = f"{prefix}encoded", f"{prefix}encoded_double"
        nodes.append(helper.make_node("Concat", [node.output[0] for node in nodes], [encoded], axis=1))
        nodes.append(helper.make_node("Cast", [encoded], [double], to=TensorProto.DOUBLE))
        doubles.append(double)
    texts = _text_results(preprocessor, prefix)
    for result, name in texts.items():
        nodes += preprocessor.texts[name].nodes(name, result)
    columns = [*preprocessor.numeric, *doubles, *texts, *preprocessor.datetimes, *preprocessor.booleans]
    return [*nodes, *_concatenate(columns, f"{prefix}numbers", f"{prefix}codes", TensorProto.DOUBLE)]


def _text_results(preprocessor: Preprocessor, prefix: str) -> dict[str, str]:
    """Return the features of free text by the names of their encoded tensors."""
    return {f"{prefix}text{index}": name for index, name in enumerate(preprocessor.texts)}


def _code_nodes(preprocessor: Preprocessor, prefix: str) -> list[NodeProto]:
    nodes = [
        _lookup(name, f"{prefix}code_{name}", levels, values_int64s=range(1, 1 + len(levels)), default_int64=UNKNOWN)
        for name, levels in preprocessor.levels.items()
    ]
    columns = [node.output[0] for node in nodes]
    return [*nodes, *_concatenate(columns, f"{prefix}codes", f"{prefix}numbers", TensorProto.INT64)]


def _lookup(source: str, result: str, levels: Sequence[str], **values: Any) -> NodeProto:
    return helper.make_node("LabelEncoder", [source], [result], domain="ai.onnx.ml", keys_strings=levels, **values)


def _concatenate(columns: Sequence[str], result: str, other: str, element: int) -> list[NodeProto]:
    """Join columns to one matrix; without columns, the matrix has 0 columns and as many rows as ``other``."""
    if columns:
        return [helper.make_node("Concat", columns, [result], axis=1)]
    ends = helper.make_tensor(f"{result}_ends", TensorProto.INT64, [1], [0])
    return [
        helper.make_node("Constant", [], [ends.name], value=ends),
        helper.make_node("Constant", [], [f"{result}_axes"], value_ints=[1]),
        helper.make_node("Slice", [other, ends.name, ends.name, f"{result}_axes"], [f"{result}_empty"]),
        helper.make_node("Cast", [f"{result}_empty"], [result], to=element),
    ]


def _strip(graph: onnx.ModelProto) -> None:
    """Remove everything that depends on the machine or the versions that made the graph."""
    graph.producer_name = "model-deployer"
    graph.ClearField("producer_version")
    graph.ClearField("metadata_props")
    versions = {entry.domain: entry.version for entry in graph.opset_import}
    graph.ClearField("opset_import")
    graph.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    inner = graph.graph
    for part in (inner, *inner.node, *inner.input, *inner.output, *inner.value_info, *inner.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
