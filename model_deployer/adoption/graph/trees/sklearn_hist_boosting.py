"""Histogram gradient boosting of scikit-learn, which compares doubles.

Since version 1.4, an encoder inside of the model turns categories into codes and moves their columns to the front.
Before, the categories were whole numbers from 0 already.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Block, Frame, note_thresholds, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.trees.links import sigmoid, softmax, two_columns
from model_deployer.adoption.graph.trees.raw_columns import check_width, read_category
from model_deployer.adoption.graph.trees.sklearn_trees import labels_of, sklearn_version
from model_deployer.adoption.graph.trees.tree import CategorySplit, Integers, Tree
from model_deployer.adoption.graph.trees.tree_ensemble import Ensemble
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

_IDENTITY = {"squared_error", "least_squares", "absolute_error", "least_absolute_deviation", "quantile"}
_EXPONENTIAL = {"poisson", "gamma"}

#: Before version 1.4, the library cuts a number down to 32 bits, and then to the 8 bits of a category.
_INTEGER_LIMIT, _CATEGORY_LIMIT = 2.0**31, 256.0


@predictor("sklearn.HistGradientBoostingRegressor")
def write_hist_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write histogram gradient boosting that predicts a number."""
    scores, loss = _scores(stored, frame, graph), stored["loss"]
    if loss in _EXPONENTIAL:
        return Answer(graph.add("Exp", scores))
    if loss not in _IDENTITY:
        raise UnsupportedModel(f"{stored.path} has a loss without a graph writer")
    return Answer(scores)


@predictor("sklearn.HistGradientBoostingClassifier")
def write_hist_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write histogram gradient boosting that classifies."""
    labels, scores = labels_of(stored), _scores(stored, frame, graph)
    if len(labels) > 2:
        return Answer(softmax(graph, scores), labels, scores)
    return Answer(two_columns(graph, sigmoid(graph, scores)), labels, scores)


def _scores(stored: StoredObject, frame: Frame, graph: GraphWriter) -> str:
    """Return the sum of the start and all trees, double [rows, outputs]."""
    stages = stored.get("_predictors")
    if stages is None:
        raise UnsupportedModel(f"{stored.path} is not fitted: it has no _predictors")
    known = _known_categories(stored.get("_bin_mapper"))
    ensemble = Ensemble()
    for stage in stages:
        for output, predictor_ in enumerate(stage):
            ensemble.add(_tree(predictor_, known), output)
    block = _columns(stored, frame, graph)
    ensemble.note_thresholds(block, graph)
    if sklearn_version(stored) < (0, 22):  # it refuses missing values
        refuse_missing(block.origins, graph)
    assert block.tensor is not None
    start = np.reshape(np.asarray(stored["_baseline_prediction"], np.float64), (1, -1))
    return graph.add("Add", ensemble.sums(graph, block.tensor, start.shape[1]), graph.constant(start))


def _tree(predictor_: StoredObject, known: dict[int, Integers]) -> Tree:
    nodes = predictor_["nodes"]
    names = nodes.dtype.names or ()
    leaf = nodes["is_leaf"].astype(bool)
    column = nodes["feature_idx"].astype(np.int64)
    has_missing = "missing_go_to_left" in names  # since 0.22
    missing_left = nodes["missing_go_to_left"].astype(bool) if has_missing else np.zeros(len(leaf), bool)
    categories = {}
    if "is_categorical" in names:
        bits = predictor_["raw_left_cat_bitsets"]
        for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf).tolist():
            left = _members(bits[nodes["bitset_idx"][node]])
            categories[node] = _category_split(left, known[int(column[node])], bool(missing_left[node]))
    return Tree(
        column=column,
        threshold=nodes["num_threshold" if "num_threshold" in names else "threshold"].astype(np.float64),
        missing_left=missing_left,
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        values=nodes["value"].astype(np.float64).reshape(-1, 1),
        categories=categories,
    )


def _category_split(left: Integers, known: Integers, missing_left: bool) -> CategorySplit:
    """Return a split by categories; a category that is not known goes where a missing one goes."""
    if missing_left:
        return CategorySplit(np.setdiff1d(known, left), members_left=False)
    return CategorySplit(left)


def _members(bitset: NDArray[np.uint32]) -> Integers:
    """Return the positions of the bits that are set; the lowest bit of the first word is 0."""
    return np.flatnonzero(np.unpackbits(bitset.astype("<u4").view(np.uint8), bitorder="little")).astype(np.int64)


def _known_categories(mapper: Any) -> dict[int, Integers]:
    """Return the categories of each column of categories, by the position of the column."""
    if not isinstance(mapper, StoredObject) or mapper.get("is_categorical_") is None:
        return {}
    positions = np.flatnonzero(mapper["is_categorical_"]).tolist()
    return {position: mapper["bin_thresholds_"][position].astype(np.int64) for position in positions}


def _columns(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Block:
    """Return the columns that the trees read, double [rows, columns]."""
    mapper = stored.get("_bin_mapper")
    width = stored.get("n_features_in_", stored.get("n_features_"))
    check_width(frame, width)
    categorical = stored.get("is_categorical_")
    if categorical is None or not np.any(categorical):
        return frame.numbers(graph)
    columns = frame.columns(graph)
    positions = np.flatnonzero(categorical).tolist()
    if stored.get("_preprocessor") is None:
        known = _known_categories(mapper)
        blocks = [
            _code_column(columns[position], known[position], graph, sklearn_version(stored) < (1, 2))
            if position in positions
            else columns[position].numbers(graph)
            for position in range(frame.width)
        ]
    else:
        encoded = zip(positions, _encoder_categories(stored["_preprocessor"]), strict=True)
        blocks = [read_category(columns[position], categories, graph) for position, categories in encoded]
        blocks += [columns[position].numbers(graph) for position in np.flatnonzero(~categorical).tolist()]
    return Frame(tuple(blocks)).numbers(graph)


def _encoder_categories(preprocessor: StoredObject) -> Sequence[Any]:
    """Return the categories of each column of categories in the order of their codes."""
    for name, encoder, *_ in preprocessor["transformers_"]:
        if name == "encoder" and isinstance(encoder, StoredObject):
            return [categories.tolist() for categories in encoder["categories_"]]
    raise UnsupportedModel("the encoder of categories in the model is of an unknown form")


def _code_column(column: Frame, known: Integers, graph: GraphWriter, is_old: bool) -> Block:
    """Return the category that the library reads from a number: the lowest 8 bits of its whole part.

    A number that does not fit into 32 bits becomes 0. A number below 0 is a missing value; before version 1.2, it has
    8 bits, too.
    """
    block = column.numbers(graph)
    assert block.tensor is not None
    note_thresholds(block.origins[0], known.tolist(), graph)
    zero, negative = graph.constant(0.0), graph.add("Less", block.tensor, graph.constant(0.0))
    too_large = graph.add("GreaterOrEqual", graph.add("Abs", block.tensor), graph.constant(_INTEGER_LIMIT))
    whole = graph.add("Where", negative, graph.add("Ceil", block.tensor), graph.add("Floor", block.tensor))
    code = graph.add("Mod", graph.add("Where", too_large, zero, whole), graph.constant(_CATEGORY_LIMIT), fmod=1)
    below = graph.add("Add", code, graph.constant(_CATEGORY_LIMIT)) if is_old else graph.constant(np.nan)
    negative = graph.add("Less", code, zero) if is_old else negative
    return replace(block, tensor=graph.add("Where", negative, below, code), origins=(None,))
