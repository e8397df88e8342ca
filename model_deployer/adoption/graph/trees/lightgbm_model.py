"""Models of LightGBM: ``Booster``, ``LGBMClassifier``, ``LGBMRegressor`` and ``LGBMRanker``, and their text files."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Block, Frame, note_thresholds
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.trees.lightgbm_linear import linear_leaf_values
from model_deployer.adoption.graph.trees.lightgbm_text import LightgbmModel, LightgbmTree, parse_lightgbm
from model_deployer.adoption.graph.trees.links import sigmoid, softmax, two_columns
from model_deployer.adoption.graph.trees.raw_columns import check_width, read_category
from model_deployer.adoption.graph.trees.tree_ensemble import Ensemble
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject, attributes

#: LightGBM reads numbers that are at most this far from 0 as 0; it is a float32 constant.
_ZERO = float(np.float32(1e-35))

_EXPONENTIAL = {"poisson", "gamma", "tweedie"}
_SIGMOID = {"cross_entropy", "xentropy"}
_RAW = {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom"}


def read_lightgbm(content: bytes) -> StoredObject:
    """Return the text file of a model as the ``Booster`` that LightGBM makes of it.

    Raises:
        UnsupportedModel: if the file is not a model of LightGBM 2.0 or later.
    """
    text = content.decode("utf-8", errors="replace")
    parse_lightgbm(text)
    return StoredObject("lightgbm.basic", "Booster", state={"handle": text, "best_iteration": -1})


def lightgbm_columns(stored: StoredObject) -> list[str | None]:
    """Return the names of the input columns; None for each if the model was trained without names."""
    names = parse_lightgbm(_text(stored)).names
    unnamed = names == [f"Column_{number}" for number in range(len(names))]
    return [None if unnamed else name for name in names]


@predictor("lightgbm.Booster")
def write_lightgbm_booster(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a booster. With an objective of classification, the labels are 0, 1 and so on."""
    model = parse_lightgbm(_text(stored))
    scores = _scores(model, _iterations(stored), frame, graph)
    objective = model.objective[0] if model.objective else "custom"
    labels = list(range(max(2, model.outputs)))
    if objective == "binary":
        return Answer(two_columns(graph, sigmoid(graph, scores, _parameter(model, "sigmoid"))), labels, scores)
    if objective == "multiclass":
        return Answer(softmax(graph, scores), labels, scores)
    if objective == "multiclassova":
        return Answer(sigmoid(graph, scores, _parameter(model, "sigmoid")), labels, scores)
    if model.outputs > 1:
        raise UnsupportedModel("the LightGBM model has several outputs and an objective of its own")
    return Answer(_number(model, objective, scores, graph))


@predictor("lightgbm.LGBMRegressor", "lightgbm.LGBMRanker", "lightgbm.LGBMModel")
def write_lightgbm_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the regressor or ranker of LightGBM's interface for scikit-learn."""
    return write_lightgbm_booster(_booster(stored), frame, graph)


@predictor("lightgbm.LGBMClassifier")
def write_lightgbm_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the classifier of LightGBM's interface for scikit-learn, with its own labels."""
    answer = write_lightgbm_booster(_booster(stored), frame, graph)
    labels = stored.get("_classes", attributes(stored.get("_le")).get("classes_"))
    if answer.labels is None or labels is None:
        raise UnsupportedModel("the LightGBM classifier has an objective of its own, which gives no probabilities")
    return replace(answer, labels=np.asarray(labels).tolist(), scores=_decision_function(stored, answer, graph))


def _decision_function(stored: StoredObject, answer: Answer, graph: GraphWriter) -> str | None:
    """Return the scores of a classifier; before version 4.7, it has none. A random forest does not average them."""
    if "_fitted_with_feature_names" not in stored or answer.scores is None:
        return None
    model = parse_lightgbm(_text(stored))
    iterations = _iterations(_booster(stored)) or len(model.trees) // model.outputs
    return graph.add("Mul", answer.scores, graph.constant(float(iterations))) if model.averaged else answer.scores


def _booster(stored: StoredObject) -> StoredObject:
    booster = stored.get("_Booster")
    if not isinstance(booster, StoredObject):
        raise UnsupportedModel(f"{stored.path} is not fitted: it has no _Booster")
    return booster


def _text(stored: StoredObject) -> str:
    """Return the text of a model; the attribute was called ``handle`` before version 4."""
    booster = stored if stored.name == "Booster" else _booster(stored)
    text = booster.get("_handle", booster.get("handle"))
    if not isinstance(text, str):
        raise UnsupportedModel("the LightGBM booster has no trees")
    return text


def _iterations(stored: StoredObject) -> int | None:
    """Return the number of iterations that ``predict`` uses: up to the best one if early stopping found it."""
    best = stored.get("best_iteration")
    return int(best) if best is not None and int(best) > 0 else None


def _parameter(model: LightgbmModel, name: str) -> float:
    """Return a number of the objective, such as that of ``sigmoid:1``."""
    values = [text.partition(":")[2] for text in model.objective if text.startswith(f"{name}:")]
    return float(values[0]) if values else 1.0


def _number(model: LightgbmModel, objective: str, scores: str, graph: GraphWriter) -> str:
    """Return the prediction of an objective of regression, double [rows, 1]."""
    if "sqrt" in model.objective:
        return graph.add("Mul", scores, graph.add("Abs", scores))
    if objective in _EXPONENTIAL:
        return graph.add("Exp", scores)
    if objective in _SIGMOID:
        return sigmoid(graph, scores)
    if objective in ("cross_entropy_lambda", "xentlambda"):
        return graph.add("Log", graph.add("Add", graph.add("Exp", scores), graph.constant(1.0)))
    if objective not in _RAW:
        raise UnsupportedModel(f"the LightGBM objective '{objective}' has no graph writer")
    return scores


def _scores(model: LightgbmModel, iterations: int | None, frame: Frame, graph: GraphWriter) -> str:
    """Return the sum of the trees, or their average, double [rows, outputs]."""
    trees = model.trees if iterations is None else model.trees[: iterations * model.outputs]
    block = _columns(model, trees, frame, graph)
    assert block.tensor is not None
    numbers = _with_zero_as_missing(graph, block.tensor, trees)
    ensemble = Ensemble()
    for number, part in enumerate(trees):
        column = part.tree.column + block.width * part.zero_is_missing
        ensemble.add(replace(part.tree, column=column), number % model.outputs)
    ensemble.note_thresholds(Frame((block, block)).numbers(graph), graph)
    if any(part.leaves is not None for part in trees):
        leaves = linear_leaf_values(graph, block, ensemble.leaves(graph, numbers), trees)
        by_output = graph.add("Reshape", leaves, graph.constant(np.array([0, -1, model.outputs], np.int64)))
        scores = graph.add("ReduceSum", by_output, graph.constant(np.array([1], np.int64)), keepdims=0)
    else:
        scores = ensemble.sums(graph, numbers, model.outputs)
    return graph.add("Div", scores, graph.constant(len(trees) / model.outputs)) if model.averaged else scores


def _columns(model: LightgbmModel, trees: Sequence[LightgbmTree], frame: Frame, graph: GraphWriter) -> Block:
    """Return the numbers that the splits compare, double [rows, columns]."""
    check_width(frame, len(model.names))
    categories = _columns_with_categories(model)
    parts = enumerate(frame.columns(graph)) if categories else []
    blocks = [
        read_category(part, categories[i], graph) if i in categories else part.numbers(graph) for i, part in parts
    ]
    block = (Frame(tuple(blocks)) if blocks else frame).numbers(graph)
    assert block.tensor is not None
    members = _category_members(model, trees)
    for column, values in members.items():
        note_thresholds(block.origins[column], sorted(values), graph)
    tensor = _cut_fractions(graph, block.tensor, sorted(members), block.width)
    return replace(block, tensor=_cut_small_numbers(graph, tensor, trees))


def _category_members(model: LightgbmModel, trees: Sequence[LightgbmTree]) -> dict[int, set[int]]:
    """Return the categories that training saw or that splits list, by the columns that have splits by categories."""
    members: dict[int, set[int]] = {}
    for part in trees:
        for node, split in part.tree.categories.items():
            members.setdefault(int(part.tree.column[node]), set()).update(split.members.tolist())
    for column, codes in members.items():
        codes.update(code for code in map(int, model.ranges[column].split(":")) if code >= 0)
    return members


def _cut_fractions(graph: GraphWriter, numbers: str, columns: Sequence[int], width: int) -> str:
    """Cut the fractions of categories off, towards 0: -0.5 is the category 0."""
    if not columns:
        return numbers
    is_category = graph.constant(np.isin(np.arange(width), columns).reshape(1, -1))
    cut = graph.add("And", is_category, graph.add("Less", numbers, graph.constant(0.0)))
    return graph.add("Where", cut, graph.add("Ceil", numbers), numbers)


def _cut_small_numbers(graph: GraphWriter, numbers: str, trees: Sequence[LightgbmTree]) -> str:
    """Read numbers near 0 as 0, if a threshold is among them."""
    thresholds = np.concatenate([part.tree.threshold[~part.tree.is_leaf] for part in trees])
    if not np.any((thresholds >= -_ZERO) & (thresholds < _ZERO)):
        return numbers
    return graph.add("Where", _near_zero(graph, numbers), graph.constant(0.0), numbers)


def _with_zero_as_missing(graph: GraphWriter, numbers: str, trees: Sequence[LightgbmTree]) -> str:
    """Append all columns again, with NaN in place of numbers near 0, if a split reads 0 as missing."""
    if not any(part.zero_is_missing.any() for part in trees):
        return numbers
    missing = graph.add("Where", _near_zero(graph, numbers), graph.constant(np.nan), numbers)
    return graph.add("Concat", numbers, missing, axis=1)


def _near_zero(graph: GraphWriter, numbers: str) -> str:
    return graph.add("LessOrEqual", graph.add("Abs", numbers), graph.constant(_ZERO))


def _columns_with_categories(model: LightgbmModel) -> dict[int, list[Any]]:
    """Return the categories of the columns that were categories of pandas, by the position of the column.

    The file lists them without the columns. Training saw codes from -1 (missing) in these columns.

    Raises:
        UnsupportedModel: if the file does not tell which columns they belong to.
    """
    lists = model.pandas_categories or []
    categorical = [number for number, text in enumerate(model.ranges) if text[:1] not in ("[", "n")]
    if len(categorical) == len(lists):
        return dict(zip(categorical, lists, strict=True))
    columns = list(range(len(model.names)))
    first = _match(lists, columns, model.ranges)
    last = _match(lists[::-1], columns[::-1], model.ranges)
    if first is None or last is None or first != last[::-1]:
        raise UnsupportedModel("the LightGBM model does not tell which columns its pandas categories belong to")
    return dict(zip(first, lists, strict=True))


def _match(lists: Sequence[list[Any]], columns: Sequence[int], ranges: Sequence[str]) -> list[int] | None:
    """Return the first possible column for each list of categories, in their order; None if there are too few."""
    remaining = iter(columns)
    chosen = [next((c for c in remaining if _may_have(ranges[c], len(values))), None) for values in lists]
    return None if None in chosen else [column for column in chosen if column is not None]


def _may_have(text: str, count: int) -> bool:
    """Return whether what training saw of a column can be the codes of a number of categories."""
    if text == "none":
        return True
    codes = [float(part) for part in text.strip("[]").split(":")]
    return all(code.is_integer() and -1 <= code < count for code in codes)
