"""The text format of LightGBM, version 2.1 and later: what ``Booster.save_model`` writes, and what pickles hold.

A header of ``name=value`` lines, a block of such lines for each tree with the arrays of its splits and leaves, and at
the end the categories of pandas columns.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.trees.tree import CategorySplit, Integers, Numbers, Tree, leaf_only
from model_deployer.adoption.graph.unsupported import UnsupportedModel

_VERSIONS = {"v2", "v3", "v4"}
_PANDAS = "pandas_categorical:"

#: The bits of ``decision_type``; the two bits above them are the kind of missing values.
_CATEGORICAL_BIT, _DEFAULT_LEFT_BIT = 1, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1

_Block = dict[str, str]


@dataclass(frozen=True)
class LinearLeaf:
    """What a leaf of a linear tree predicts: ``constant + sum(coefficients * columns)``.

    A row with a missing number in one of the columns gets the value of the leaf in the tree.
    """

    constant: float
    columns: Integers
    coefficients: Numbers


@dataclass(frozen=True)
class LightgbmTree:
    """One tree of a model.

    Attributes:
        tree: The splits and the values of the leaves.
        zero_is_missing: Whether the split treats numbers near 0 as missing, bool [nodes].
        leaves: For each leaf in the order of its nodes, its linear function; None for a tree of constants.
    """

    tree: Tree
    zero_is_missing: NDArray[np.bool_]
    leaves: Sequence[LinearLeaf] | None


@dataclass(frozen=True)
class LightgbmModel:
    """What a model file says.

    Attributes:
        names: The names of the columns; "Column_0" and so on if it was trained without names.
        ranges: For each column, what training saw: "[lowest:highest]", categories "3:1:2", or "none".
        objective: The objective and its parameters, such as ["binary", "sigmoid:1"]; empty for a custom one.
        outputs: The number of trees in an iteration, one for each output.
        averaged: Whether the trees are averaged (random forest), not added.
        trees: The trees of all iterations.
        pandas_categories: For each column of categories of the training table, its categories; None without pandas.
    """

    names: list[str]
    ranges: list[str]
    objective: list[str]
    outputs: int
    averaged: bool
    trees: list[LightgbmTree]
    pandas_categories: list[list[Any]] | None


def is_lightgbm_text(content: bytes) -> bool:
    """Return whether a file is a model of LightGBM, by its first line."""
    return content.lstrip()[:5].split() == [b"tree"] and b"\nversion=" in content[:200]


#: What follows the last tree; version 2.0 has no line of its own for it.
_END_OF_TREES = re.compile(r"^end of trees$|^feature importances:", re.MULTILINE)


@lru_cache(maxsize=1)
def parse_lightgbm(text: str) -> LightgbmModel:
    """Read the text of a model.

    Raises:
        UnsupportedModel: if it is not a model of LightGBM 2.0 or later, or is truncated.
    """
    head, *blocks = text.replace("\r\n", "\n").split("\nTree=")
    header = _lines(head)
    if header.get("version") not in _VERSIONS:
        raise UnsupportedModel("this is not a model of LightGBM 2.0 or later; save it again with a newer version")
    if not _END_OF_TREES.search(text):
        raise UnsupportedModel("the LightGBM model is truncated: it has no line 'end of trees'")
    try:
        return LightgbmModel(
            names=header["feature_names"].split(" "),
            ranges=header.get("feature_infos", "").split(" "),
            objective=header.get("objective", "").split(),
            outputs=int(header["num_tree_per_iteration"]),
            averaged="average_output" in head.split("\n"),
            trees=[_tree(_lines(_END_OF_TREES.split(block)[0])) for block in blocks],
            pandas_categories=_pandas_categories(text),
        )
    except (KeyError, ValueError, IndexError) as error:
        raise UnsupportedModel("the LightGBM model is damaged; save it again with 'save_model'") from error


def _lines(block: str) -> _Block:
    pairs = (line.partition("=") for line in block.split("\n"))
    return {name: value for name, equals, value in pairs if equals}


def _pandas_categories(text: str) -> list[list[Any]] | None:
    start = text.rfind(_PANDAS)
    if start < 0:
        return None
    categories = json.loads(text[start + len(_PANDAS) :].partition("\n")[0])
    return categories or None


def _tree(block: _Block) -> LightgbmTree:
    values = _floats(block["leaf_value"])
    linear = _linear_leaves(block, len(values)) if block.get("is_linear") == "1" else None
    if len(values) == 1:  # the tree gets the same leaf twice
        return LightgbmTree(leaf_only(values), np.zeros(3, bool), linear and linear * 2)
    threshold, column = _floats(block["threshold"]), _ints(block["split_feature"])
    decision = _ints(block["decision_type"])
    missing, categorical = decision >> 2 & 3, decision & _CATEGORICAL_BIT > 0
    # A column without missing values in training reads a missing one as 0. A missing category goes right.
    default_left = np.where(missing == _MISSING_NONE, threshold >= 0, decision & _DEFAULT_LEFT_BIT > 0)
    splits, no_child, no = len(threshold), np.full(len(values), -1), np.zeros(len(values), bool)
    tree = Tree(
        column=np.r_[column, np.zeros(len(values), np.int64)],
        threshold=np.r_[threshold, np.zeros(len(values))],
        missing_left=np.r_[default_left & ~categorical, no],
        left=np.r_[_children(block["left_child"], splits), no_child],
        right=np.r_[_children(block["right_child"], splits), no_child],
        values=np.r_[np.zeros(splits), values].reshape(-1, 1),
        categories=_category_splits(block, categorical, threshold),
    )
    return LightgbmTree(tree, np.r_[(missing == _MISSING_ZERO) & ~categorical, no], linear)


def _children(text: str, splits: int) -> Integers:
    """Return the nodes of children; the file has leaf 0 as -1, leaf 1 as -2 and so on."""
    children = _ints(text)
    return np.where(children < 0, splits - 1 - children, children)


def _category_splits(block: _Block, categorical: NDArray[np.bool_], threshold: Numbers) -> dict[int, CategorySplit]:
    """Return the splits by categories; the field of the threshold has the number of the set."""
    if not categorical.any():
        return {}
    bounds, words = _ints(block["cat_boundaries"]), _ints(block["cat_threshold"])
    splits = {}
    for node in np.flatnonzero(categorical).tolist():
        number = int(threshold[node])
        splits[node] = CategorySplit(bit_positions(words[bounds[number] : bounds[number + 1]]))
    return splits


def bit_positions(words: Integers) -> Integers:
    """Return the positions of the bits that are set in words of 32 bits; the lowest bit of the first word is 0."""
    return np.flatnonzero(np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")).astype(np.int64)


def _linear_leaves(block: _Block, leaves: int) -> list[LinearLeaf]:
    constants, counts = _floats(block["leaf_const"]), _ints(block["num_features"])
    columns, coefficients = _ints(block["leaf_features"]), _floats(block["leaf_coeff"])
    ends = np.cumsum(counts)[:-1]
    parts = zip(constants.tolist(), np.split(columns, ends), np.split(coefficients, ends), strict=True)
    linear = [LinearLeaf(*part) for part in parts]
    if len(linear) != leaves:
        raise ValueError("a linear function for each leaf")
    return linear


def _ints(text: str) -> Integers:
    return np.array(text.split(), np.int64)


def _floats(text: str) -> Numbers:
    return np.array(text.split(), np.float64)
