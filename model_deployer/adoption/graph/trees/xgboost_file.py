"""The model files of XGBoost 1.0 and later, JSON and UBJSON, and the same document in the pickle of a booster."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from model_deployer.adoption.graph.trees.tree import CategorySplit, Numbers, Tree
from model_deployer.adoption.graph.trees.ubjson import parse_ubjson
from model_deployer.adoption.graph.unsupported import UnsupportedModel

#: How the binary formats before JSON begin: those of boosters, and that of pickles of version 1.0 to 1.2.
_OLD_FORMATS = (b"binf", b"CONFIG-offset:")


@dataclass(frozen=True)
class XgboostModel:
    """What a model file says.

    Attributes:
        names: The names of the columns; empty if it was trained without names.
        width: The number of columns.
        categories: For each column, its categories; None for a column of numbers or of codes. Files before version
            3.1 do not have them.
        objective: The name of the objective, such as "binary:logistic".
        outputs: The number of outputs, which is that of the labels if there are more than two.
        start: The prediction before the first tree, in the units of the target, double [1] or [outputs].
        trees: The trees; empty for a linear model.
        tree_outputs: The output of each tree.
        trees_per_iteration: The number of trees of each output in an iteration.
        linear: The weights of a linear model and its biases as the last row, double [columns + 1, outputs]; or None.
        best_iteration: The iteration that early stopping chose, or the last one; None if the file does not have it.
    """

    names: list[str]
    width: int
    categories: list[list[Any] | None]
    objective: str
    outputs: int
    start: Numbers
    trees: list[Tree]
    tree_outputs: list[int]
    trees_per_iteration: int
    linear: Numbers | None
    best_iteration: int | None


def is_xgboost_file(content: bytes) -> bool:
    """Return whether a file is a model of XGBoost, by its first bytes."""
    start = content[:4_000]
    return start.lstrip()[:1] == b"{" and (b'learner"' in start or b"learner{" in start)


@lru_cache(maxsize=1)
def parse_xgboost(content: bytes) -> XgboostModel:
    """Read a model.

    Args:
        content: A file that ``Booster.save_model`` wrote, or the attribute ``handle`` of a pickled booster.

    Raises:
        UnsupportedModel: if it is not such a file, or is of an older format, is damaged, or has several targets.
    """
    if content.startswith(_OLD_FORMATS) or not content.lstrip()[:1] == b"{":
        raise UnsupportedModel(
            "this is not a JSON or UBJSON model of XGBoost; if it is one of the old binary format, load it in the "
            "version of XGBoost that wrote it, at least 1.0, and save it again with booster.save_model('model.json')"
        )
    try:
        document = json.loads(content) if content.lstrip()[1:2] in b'"\n\r\t ' else parse_ubjson(content)
        return _model(document.get("Model", document)["learner"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UnsupportedModel("the XGBoost model is damaged; save it again with 'save_model'") from error


def _model(learner: Mapping[str, Any]) -> XgboostModel:
    parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
    width = int(parameters["num_feature"])
    outputs = max(1, int(parameters["num_class"]), int(parameters.get("num_target", 1)))
    linear = booster["name"] == "gblinear"
    # With dart, the trees are one level deeper, and each one has a weight.
    ensemble = {} if linear else booster.get("gbtree", booster)["model"]
    weights = booster.get("weight_drop") or [1.0] * len(ensemble.get("trees", []))
    best = learner.get("attributes", {}).get("best_iteration")
    return XgboostModel(
        names=list(learner.get("feature_names", [])),
        width=width,
        categories=_categories(ensemble, width),
        objective=learner["objective"]["name"],
        outputs=outputs,
        start=np.array(json.loads(f"[{parameters['base_score'].strip('[]')}]"), np.float64),
        trees=[_tree(tree, weight) for tree, weight in zip(ensemble.get("trees", []), weights, strict=True)],
        tree_outputs=[int(output) for output in ensemble.get("tree_info", [])],
        trees_per_iteration=max(1, int(ensemble.get("gbtree_model_param", {}).get("num_parallel_tree", 1))),
        linear=np.array(booster["model"]["weights"], np.float64).reshape(width + 1, outputs) if linear else None,
        best_iteration=None if best is None else int(best),
    )


def _tree(tree: Mapping[str, Any], weight: float) -> Tree:
    """Return a tree; the field of the threshold has the value of a leaf. All numbers of the file are float32."""
    if int(tree["tree_param"].get("size_leaf_vector", 0)) > 1:
        raise UnsupportedModel(
            "trees of XGBoost with several targets in a leaf (multi_output_tree) have no graph writer"
        )
    conditions = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    left = np.array(tree["left_children"], np.int64)
    return Tree(
        column=np.array(tree["split_indices"], np.int64),
        threshold=conditions,
        missing_left=np.array(tree["default_left"], bool),
        left=left,
        right=np.array(tree["right_children"], np.int64),
        values=np.where(left < 0, conditions * np.float32(weight), 0.0).reshape(-1, 1),
        categories=_category_splits(tree),
    )


def _category_splits(tree: Mapping[str, Any]) -> dict[int, CategorySplit]:
    """Return the splits by categories: the listed ones go right, and all others left."""
    categories = np.array(tree.get("categories", []), np.int64)
    parts = zip(
        tree.get("categories_nodes", []),
        tree.get("categories_segments", []),
        tree.get("categories_sizes", []),
        strict=True,
    )
    return {node: CategorySplit(categories[at : at + size], members_left=False) for node, at, size in parts}


def _categories(ensemble: Mapping[str, Any], width: int) -> list[list[Any] | None]:
    """Return the categories of each column that version 3.1 and later store."""
    encodings = (ensemble.get("cats") or {}).get("enc") or [{}] * width
    return [_decode(encoding) for encoding in encodings]


def _decode(encoding: Mapping[str, Any]) -> list[Any] | None:
    values: Sequence[int] = encoding.get("values", [])
    offsets = encoding.get("offsets")
    if offsets is None:
        return list(values) or None
    text = bytes(value & 255 for value in values)
    if not text.isascii():
        raise UnsupportedModel("XGBoost cuts categories with other letters than those of ASCII, and so mixes them up")
    return [text[start:end].decode("ascii") for start, end in pairwise(offsets)] or None
