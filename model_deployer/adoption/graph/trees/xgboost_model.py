"""Models of XGBoost: ``Booster``, the classes of its interface for scikit-learn, and its files in JSON and UBJSON.

XGBoost rounds the columns to float32, and a row goes left if its number is below the threshold. It adds the leaves one
after the other in float32, and computes probabilities in float32. The graph does the same: a model that reads these
probabilities, such as isotonic calibration, may change at exactly one of them.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Block, Frame, note_thresholds
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.trees.links import two_columns
from model_deployer.adoption.graph.trees.raw_columns import (
    check_width,
    note_missing_form,
    read_category,
    round_to_float32,
)
from model_deployer.adoption.graph.trees.tree import Numbers
from model_deployer.adoption.graph.trees.tree_ensemble import Comparison, Ensemble
from model_deployer.adoption.graph.trees.xgboost_file import XgboostModel, parse_xgboost
from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject, attributes

_LOGISTIC = {"binary:logistic", "reg:logistic"}
_EXPONENTIAL = {"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"}
_RAW = {
    *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror"),
    *("reg:quantileerror", "reg:expectileerror", "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map"),
}
_HINGE = "binary:hinge"


def read_xgboost(content: bytes) -> StoredObject:
    """Return a model file as the ``Booster`` that XGBoost makes of it.

    Raises:
        UnsupportedModel: if the file is not a model in JSON or UBJSON.
    """
    parse_xgboost(content)
    return StoredObject("xgboost.core", "Booster", state={"handle": content})


def with_document(stored: StoredObject | None, content: bytes) -> StoredObject:
    """Return a model whose booster is in a binary format, with the same booster in JSON.

    Args:
        stored: A ``Booster``, or an object of the interface for scikit-learn; None for a file.
        content: The booster in JSON, as its own library writes it.

    Raises:
        UnsupportedModel: if the bytes are not a model in JSON.
    """
    booster = read_xgboost(content)
    if stored is None or stored.name == "Booster":
        return booster
    return replace(stored, state={**stored.state, "_Booster": booster})


def xgboost_columns(stored: StoredObject) -> list[str | None]:
    """Return the names of the input columns; None for each if the model was trained without names."""
    model = parse_xgboost(_content(stored))
    return [*model.names] or [None] * model.width


@predictor("xgboost.Booster")
def write_xgboost_booster(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a booster with all its trees. With an objective of classification, the labels are 0, 1 and so on."""
    return _answer(parse_xgboost(_content(stored)), np.nan, frame, graph)


@predictor("xgboost.XGBRegressor", "xgboost.XGBRFRegressor", "xgboost.XGBRanker", "xgboost.XGBModel")
def write_xgboost_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the regressor or ranker of XGBoost's interface for scikit-learn, up to its best iteration."""
    return _answer(_up_to_best_iteration(parse_xgboost(_content(stored))), _missing(stored), frame, graph)


@predictor("xgboost.XGBClassifier", "xgboost.XGBRFClassifier")
def write_xgboost_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the classifier of XGBoost's interface for scikit-learn, with its own labels, up to its best iteration."""
    answer = write_xgboost_regressor(stored, frame, graph)
    labels = attributes(stored.get("_le")).get("classes_", stored.get("classes_"))
    labels = list(range(stored.get("n_classes_", 2))) if labels is None else np.asarray(labels).tolist()
    if answer.labels is None:  # a score instead of a probability: the library passes it on, and decides at 0.5
        answer = Answer(two_columns(graph, answer.prediction), [0, 1])
    if len(answer.labels or []) != len(labels):
        raise UnsupportedModel("the XGBoost classifier has another number of labels than outputs")
    return replace(answer, labels=labels, scores=None)  # the interface has no decision_function


def _content(stored: StoredObject) -> bytes:
    booster = stored if stored.name == "Booster" else stored.get("_Booster")
    content = booster.get("handle") if isinstance(booster, StoredObject) else None
    if not isinstance(content, bytes | bytearray):
        raise UnsupportedModel(f"{stored.path} is not fitted: it has no booster")
    return bytes(content)


def _missing(stored: StoredObject) -> float:
    """Return the number that stands for a missing value, next to NaN."""
    value = stored.get("missing")
    return float("nan") if value is None else float(value)


def _up_to_best_iteration(model: XgboostModel) -> XgboostModel:
    if model.best_iteration is None or model.linear is not None:
        return model
    count = (model.best_iteration + 1) * model.trees_per_iteration * model.outputs
    return replace(model, trees=model.trees[:count], tree_outputs=model.tree_outputs[:count])


def _answer(model: XgboostModel, missing: float, frame: Frame, graph: GraphWriter) -> Answer:
    scores = _scores(model, missing, frame, graph)
    if model.objective in ("multi:softprob", "multi:softmax"):
        return Answer(_softmax(graph, scores), list(range(model.outputs)))
    if model.outputs > 1 and model.objective.startswith("binary:"):
        raise SeveralDecisions(f"the XGBoost objective '{model.objective}' of several targets")
    if model.objective == "binary:logistic":
        return Answer(two_columns(graph, _sigmoid(graph, scores)), [0, 1])
    if model.objective == _HINGE:
        decision = graph.number(graph.add("Greater", scores, graph.constant(0.0)))
        return Answer(two_columns(graph, decision), [0, 1])
    if model.objective in _LOGISTIC:
        scores = _sigmoid(graph, scores)
    elif model.objective in _EXPONENTIAL:
        scores = _exponential(graph, scores)
    elif model.objective not in _RAW:
        raise UnsupportedModel(f"the XGBoost objective '{model.objective}' has no graph writer")
    return Answer(scores, targets=model.outputs)


def _scores(model: XgboostModel, missing: float, frame: Frame, graph: GraphWriter) -> str:
    """Return the scores before the link function, double [rows, outputs]."""
    block = _columns(model, missing, frame, graph)
    assert block.tensor is not None
    start = _start(model)
    if model.linear is not None:
        return _linear_scores(model.linear, start, block.tensor, graph)
    ensemble = Ensemble(Comparison.BELOW)
    for tree, output in zip(model.trees, model.tree_outputs, strict=True):
        ensemble.add(tree, output)
    ensemble.note_thresholds(block, graph)
    values = _single(graph, ensemble.tree_values(graph, block.tensor))
    sums = []
    for output, first in enumerate(start.tolist()):
        columns = np.flatnonzero(np.array(model.tree_outputs) == output)
        terms = graph.add("Gather", values, graph.constant(columns), axis=1) if model.outputs > 1 else values
        sums.append(_sum_one_by_one(graph, first, terms, len(columns)))
    return sums[0] if len(sums) == 1 else graph.add("Concat", *sums, axis=1)


def _start(model: XgboostModel) -> NDArray[np.float32]:
    """Return the scores before the first tree, float32 [outputs]; the file has them in the units of the target."""
    start = np.broadcast_to(model.start, model.outputs).astype(np.float32)
    if model.objective in _LOGISTIC:
        return -np.log(1 / start - 1)
    return np.log(start) if model.objective in _EXPONENTIAL else start


def _columns(model: XgboostModel, missing: float, frame: Frame, graph: GraphWriter) -> Block:
    """Return the numbers that the splits compare, double [rows, columns]."""
    check_width(frame, model.width)
    known = {number: values for number, values in enumerate(model.categories) if values is not None}
    columns = frame.columns(graph) if known else []
    for number, values in known.items():
        note_missing_form(columns[number], "NaN", graph)
        columns[number] = Frame((read_category(columns[number], values, graph, refuses_others=True),))
    block = (sum(columns[1:], columns[0]) if columns else frame).numbers(graph)
    assert block.tensor is not None
    for column, members in _category_members(model).items():
        note_thresholds(block.origins[column], sorted(members), graph)
    tensor = round_to_float32(graph, block.tensor)
    if not np.isnan(missing):
        for origin in block.origins:
            note_thresholds(origin, [missing], graph)
        is_missing = graph.add("Equal", tensor, graph.constant(float(np.float32(missing))))
        tensor = graph.add("Where", is_missing, graph.constant(np.nan), tensor)
    return replace(block, tensor=tensor)


def _category_members(model: XgboostModel) -> dict[int, set[int]]:
    """Return the categories that splits list, by their column."""
    members: dict[int, set[int]] = {}
    for tree in model.trees:
        for node, split in tree.categories.items():
            members.setdefault(int(tree.column[node]), set()).update(split.members.tolist())
    return members


def _linear_scores(weights: Numbers, start: NDArray[np.float32], numbers: str, graph: GraphWriter) -> str:
    """Return the scores of a linear model, double [rows, outputs].

    A missing value adds nothing. XGBoost starts all outputs with the start of the first one.
    """
    present = _single(graph, graph.add("Where", graph.add("IsNaN", numbers), graph.constant(0.0), numbers))
    sums = []
    for output, bias in enumerate(weights[-1].tolist()):
        weight = _single(graph, graph.constant(weights[:-1, output].reshape(1, -1)))
        terms = graph.add("Mul", present, weight)
        sums.append(_sum_one_by_one(graph, bias + float(start[0]), terms, len(weights) - 1))
    return sums[0] if len(sums) == 1 else graph.add("Concat", *sums, axis=1)


def _sum_one_by_one(graph: GraphWriter, first: float, terms: str, count: int) -> str:
    """Add float32 numbers in their order, and round each time, as XGBoost does.

    Args:
        graph: The graph to write to.
        first: The number to begin with.
        terms: The numbers, float32 [rows, count].
        count: The number of terms.

    Returns:
        Double [rows, 1].
    """
    one = graph.constant(np.array([1], np.int64))
    shape = graph.add("Concat", graph.add("Shape", terms, end=1), one, axis=0)
    start = graph.add("Expand", _single(graph, graph.constant([[first]])), shape)
    cumulative = graph.add("CumSum", graph.add("Concat", start, terms, axis=1), graph.constant(np.array(1, np.int64)))
    return graph.number(graph.add("Gather", cumulative, graph.constant(np.array([count], np.int64)), axis=1))


def _exponential(graph: GraphWriter, scores: str) -> str:
    """Return e to the power of the scores, rounded to float32, double [rows, columns]."""
    return round_to_float32(graph, graph.add("Exp", scores))


def _sigmoid(graph: GraphWriter, scores: str) -> str:
    """Return 1 / (1 + exp(-score)) with float32 steps, double [rows, 1]."""
    one = _single(graph, graph.constant([[1.0]]))
    exponential = _single(graph, graph.add("Exp", graph.add("Neg", scores)))
    return graph.number(graph.add("Div", one, graph.add("Add", exponential, one)))


def _softmax(graph: GraphWriter, scores: str) -> str:
    """Return the softmax of each row with float32 steps, double [rows, labels]."""
    last = graph.constant(np.array([1], np.int64))
    difference = round_to_float32(graph, graph.add("Sub", scores, graph.add("ReduceMax", scores, last)))
    exponential = _exponential(graph, difference)
    total = _single(graph, graph.add("ReduceSum", exponential, last))
    return graph.number(graph.add("Div", _single(graph, exponential), total))


def _single(graph: GraphWriter, numbers: str) -> str:
    return graph.add("Cast", numbers, to=TensorProto.FLOAT)
