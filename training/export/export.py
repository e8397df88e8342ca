"""A trained model becomes one ONNX graph: raw features in, calibrated prediction out.

torch exports everything numeric; what strings become stands in front of it: one LabelEncoder (ai.onnx.ml) a column of
categories, and a handful of nodes a free text.
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

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.features import Feature
from model_deployer.training.models.model import Model, rows_at_once
from model_deployer.training.models.onnx_estimator import COLUMNS, IR_VERSION, OPSETS, SCORES
from model_deployer.training.preprocessing.preprocessing import UNKNOWN, Preprocessor
from model_deployer.training.preprocessing.vocabulary import DOMAIN
from model_deployer.training.runtime.silence import silence_libraries

#: The largest difference between two answers that are still the same; relative for values above the answers' scale.
TOLERANCE = 1e-5


def export_onnx(model: Model, features: Sequence[Feature]) -> onnx.ModelProto:
    """The graph of a model; the same model always gives the same bytes.

    It has one input a feature, named as the feature, of shape [rows, 1] and of the feature's dtype; a missing number is
    NaN, a missing string "". Its outputs are those of model_deployer/contract/outputs.py.
    """
    prefix = _unused_prefix(features)
    core = _core(model, prefix)
    front = _front(model.blueprint.preprocessor, features, prefix)
    graph = compose.merge_models(front, core, io_map=[(name, name) for name in (f"{prefix}numbers", f"{prefix}codes")])
    _strip(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def run_onnx(graph: onnx.ModelProto, frame: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
    """The graph's answers to the rows of a conformed frame, by output name."""
    return answerer(graph)(frame)


def answerer(graph: onnx.ModelProto) -> Callable[[pl.DataFrame], dict[str, NDArray[np.float32]]]:
    """:func:`run_onnx` for whoever asks more than once: the graph is loaded now."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]

    def answer(frame: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
        rows = rows_at_once(frame.width)
        chunks = [frame[first : first + rows] for first in range(0, max(1, frame.height), rows)]
        arrays = zip(*(session.run(names, feeds(session, chunk)) for chunk in chunks), strict=True)
        return {name: np.concatenate(parts) for name, parts in zip(names, arrays, strict=True)}

    return answer


def feeds(session: onnxruntime.InferenceSession, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """The rows of a conformed frame as a session takes them: [rows, 1] for each input."""
    return {value.name: frame[value.name].to_numpy().reshape(-1, 1) for value in session.get_inputs()}


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
    exact = model.predict(model.blueprint.preprocessor.transform(frame))
    answers = run_onnx(graph, frame)
    scale = prediction_scale(model)
    largest = max(_difference(answers[name], exact[name].numpy(), scale) for name in exact)
    if not largest <= TOLERANCE:
        raise CheckFailed(
            f"the exported graph answers otherwise than the model: by up to {largest:g}; {TOLERANCE:g} is allowed"
        )
    return largest


def prediction_scale(model: Model) -> float:
    """What a difference between answers is measured by: 1, or the deviation of a regression target where it is larger.

    A prediction near 0 is a small difference of numbers of that size, and float32 keeps seven digits of them.
    """
    return model.head.scale


def _difference(answer: NDArray[np.float32], exact: NDArray[np.float32], scale: float) -> float:
    return float(np.max(np.abs(answer - exact) / np.maximum(scale, np.abs(exact)), initial=0.0))


def _unused_prefix(features: Sequence[Feature]) -> str:
    """What no feature's name begins with, so that inner names cannot clash with them."""
    prefix = "model_"
    while any(feature.name.startswith(prefix) for feature in features):
        prefix = f"_{prefix}"
    return prefix


def _core(model: Model, prefix: str) -> onnx.ModelProto:
    """All but the strings: one graph of ``numbers`` and ``codes``; the scorer stands between its two halves."""
    layout, levels = model.blueprint.layout, model.blueprint.preprocessor.levels
    numbers = torch.zeros(2, layout.plain + layout.datetimes + layout.booleans, dtype=torch.float64)
    codes = torch.zeros(2, len(levels), dtype=torch.int64)
    inputs = {"numbers": numbers, "codes": codes}
    if not (model.estimator and model.columns):
        return compose.add_prefix(_export(model, inputs, model.head.names), prefix, rename_outputs=False)
    middle = [*(["answers"] if model.network else []), COLUMNS]
    with torch.no_grad():
        before = _Before(model)(numbers, codes)
        scores = model.estimator.scores(model.columns(numbers, codes))
    after = dict(zip([*middle[:-1], SCORES], [*before[:-1], scores], strict=True))
    first = compose.add_prefix(_export(_Before(model), inputs, middle), prefix)
    scorer = compose.add_prefix(model.estimator.model, f"{prefix}by_")
    last = compose.add_prefix(_export(_After(model), after, model.head.names), f"{prefix}after_", rename_outputs=False)
    grown = compose.merge_models(first, scorer, io_map=[(f"{prefix}{COLUMNS}", f"{prefix}by_{COLUMNS}")])
    sources = {name: f"{prefix}by_{name}" if name == SCORES else f"{prefix}{name}" for name in after}
    return compose.merge_models(grown, last, io_map=[(sources[name], f"{prefix}after_{name}") for name in after])


class _Before(nn.Module):
    """Up to the scorer: what the network's members answer, if there is one, and what the scorer is asked with."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        assert self._model.columns
        outputs, columns = self._model.member_outputs(numbers, codes), self._model.columns(numbers, codes)
        return (columns,) if outputs is None else (outputs, columns)


class _After(nn.Module):
    """What follows the scorer: the head."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._head = model.head

    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        *answers, scores = parts
        return cast(tuple[Tensor, ...], self._head(self._head.combine(answers[0] if answers else None, scores)))


def _export(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    rows = torch.export.Dim("rows")
    with silence_libraries():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=_dynamic(module, list(inputs), rows),
            opset_version=OPSETS[""],
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _dynamic(module: nn.Module, names: Sequence[str], rows: Any) -> Any:
    """Which dimension of each input is the number of rows."""
    if isinstance(module, _After):
        return (tuple({0: rows} for _ in names),)
    return {name: {0: rows} for name in names}


def _front(preprocessor: Preprocessor, features: Sequence[Feature], prefix: str) -> onnx.ModelProto:
    """The graph that makes ``numbers`` and ``codes`` of the features, as :class:`Preprocessor` does."""
    matrices = [_numbers(preprocessor, prefix), _codes(preprocessor, prefix)]
    matrices.sort(key=lambda nodes: nodes[-1].op_type == "Cast")  # an empty matrix is made from the other one
    graph = helper.make_graph(
        [node for nodes in matrices for node in nodes],
        "model",
        [
            _tensor(feature.name, TensorProto.STRING if feature.dtype == "string" else TensorProto.DOUBLE, 1)
            for feature in features
        ],
        [_tensor(f"{prefix}numbers", TensorProto.DOUBLE, None), _tensor(f"{prefix}codes", TensorProto.INT64, None)],
    )
    for result, name in _texts(preprocessor, prefix).items():
        graph.value_info.extend(preprocessor.texts[name].types(result))
    versions = OPSETS | DOMAIN if preprocessor.texts else OPSETS
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _tensor(name: str, element: int, columns: int | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, ["rows", columns])


def _numbers(preprocessor: Preprocessor, prefix: str) -> list[NodeProto]:
    nodes = [
        _look_up(name, f"{prefix}encoded_{name}_{place}", encoding.levels, values_floats=values, default_float=unknown)
        for name, encoding in preprocessor.encoded.items()
        for place, (values, unknown) in enumerate(zip(encoding.columns, encoding.unknown, strict=True))
    ]
    doubles = []
    if nodes:
        encoded, double = f"{prefix}encoded", f"{prefix}encoded_double"
        nodes.append(helper.make_node("Concat", [node.output[0] for node in nodes], [encoded], axis=1))
        nodes.append(helper.make_node("Cast", [encoded], [double], to=TensorProto.DOUBLE))
        doubles.append(double)
    texts = _texts(preprocessor, prefix)
    for result, name in texts.items():
        nodes += preprocessor.texts[name].nodes(name, result)
    columns = [*preprocessor.numeric, *doubles, *texts, *preprocessor.datetimes, *preprocessor.booleans]
    return [*nodes, *_side_by_side(columns, f"{prefix}numbers", f"{prefix}codes", TensorProto.DOUBLE)]


def _texts(preprocessor: Preprocessor, prefix: str) -> dict[str, str]:
    """What the numbers of each free text are called."""
    return {f"{prefix}text{place}": name for place, name in enumerate(preprocessor.texts)}


def _codes(preprocessor: Preprocessor, prefix: str) -> list[NodeProto]:
    nodes = [
        _look_up(name, f"{prefix}code_{name}", levels, values_int64s=range(1, 1 + len(levels)), default_int64=UNKNOWN)
        for name, levels in preprocessor.levels.items()
    ]
    columns = [node.output[0] for node in nodes]
    return [*nodes, *_side_by_side(columns, f"{prefix}codes", f"{prefix}numbers", TensorProto.INT64)]


def _look_up(source: str, result: str, levels: Sequence[str], **values: Any) -> NodeProto:
    return helper.make_node("LabelEncoder", [source], [result], domain="ai.onnx.ml", keys_strings=levels, **values)


def _side_by_side(columns: Sequence[str], result: str, other: str, element: int) -> list[NodeProto]:
    """One matrix of the columns; where there are none, one of no columns and as many rows as the ``other`` has."""
    if columns:
        return [helper.make_node("Concat", columns, [result], axis=1)]
    ends = helper.make_tensor(f"{result}_ends", TensorProto.INT64, [1], [0])
    return [
        helper.make_node("Constant", [], [ends.name], value=ends),
        helper.make_node("Constant", [], [f"{result}_axes"], value_ints=[1]),
        helper.make_node("Slice", [other, ends.name, ends.name, f"{result}_axes"], [f"{result}_none"]),
        helper.make_node("Cast", [f"{result}_none"], [result], to=element),
    ]


def _strip(graph: onnx.ModelProto) -> None:
    """Take out what only tells where and by what the graph was made."""
    graph.producer_name = "model-deployer"
    graph.ClearField("producer_version")
    graph.ClearField("metadata_props")
    inner = graph.graph
    for part in (inner, *inner.node, *inner.input, *inner.output, *inner.value_info, *inner.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
