"""The JSON export of CatBoost: what ``model.save_model(path, format="json", pool=...)`` writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.trees.catboost_ctr import Condition, Statistic, combination_hashes, parse_statistic
from model_deployer.adoption.graph.trees.tree import Numbers
from model_deployer.adoption.graph.unsupported import UnsupportedModel


@dataclass(frozen=True)
class NumberFeature:
    """A feature of numbers: its column and its name, and whether a missing number is above all borders."""

    column: int
    name: str
    missing_is_above: bool


@dataclass(frozen=True)
class CategoryFeature:
    """A feature of categories: its column, its name, and the categories that training saw, with their hashes."""

    column: int
    name: str
    categories: list[str]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class ConditionTree:
    """A tree before its conditions read columns: those of the splits, the children (-1 in a leaf), and leaf values.

    A row for which the condition is true goes right.
    """

    conditions: list[Condition | None]
    left: list[int]
    right: list[int]
    values: Numbers


@dataclass(frozen=True)
class CatboostModel:
    """What a file says.

    Attributes:
        numbers, categories, statistics: The features.
        trees: The trees.
        scale, bias: The prediction is ``scale * sum + bias``; the bias is double [outputs].
        loss: The name of the loss, such as "Logloss".
        labels: The labels of a classification, if the file has them.
        threshold: The probability above which a binary classifier decides for the second label.
    """

    numbers: list[NumberFeature]
    categories: list[CategoryFeature]
    statistics: list[Statistic]
    trees: list[ConditionTree]
    scale: float
    bias: Numbers
    loss: str
    labels: list[Any] | None
    threshold: float

    @property
    def names(self) -> list[str]:
        """The names of all columns, in their order."""
        features: list[NumberFeature | CategoryFeature] = [*self.numbers, *self.categories]
        return [feature.name for feature in sorted(features, key=lambda feature: feature.column)]


def is_catboost_json(content: bytes) -> bool:
    """Return whether a file is a JSON export of CatBoost."""
    return content.lstrip()[:1] == b"{" and b'"features_info"' in content and b'"scale_and_bias"' in content


@lru_cache(maxsize=1)
def parse_catboost(content: bytes | str) -> CatboostModel:
    """Read a JSON export.

    Raises:
        UnsupportedModel: if it is damaged, or has features of texts or embeddings.
    """
    try:
        return _model(json.loads(content))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        message = (
            "the CatBoost model is damaged; save it again with save_model(path, format='json', pool=training_pool)"
        )
        raise UnsupportedModel(message) from error


def _model(document: Mapping[str, Any]) -> CatboostModel:
    info, about = document["features_info"], document.get("model_info", {})
    for kind in ("text_features", "embedding_features"):
        if info.get(kind):
            raise UnsupportedModel(f"the CatBoost model has {kind.replace('_', ' ')}, which have no graph writer")
    statistics = [parse_statistic(ctr, document["ctr_data"]) for ctr in (info.get("ctrs") or [])]
    scale, bias = document["scale_and_bias"]
    bias = np.atleast_1d(np.asarray(bias, np.float64))
    conditions = _all_conditions(info)
    parameters = about.get("params", {})
    labels = about.get("class_params", {}).get("class_names")
    return CatboostModel(
        numbers=[_number(feature) for feature in (info.get("float_features") or [])],
        categories=_categories(info, statistics),
        statistics=statistics,
        trees=_trees(document, conditions, len(bias)),
        scale=float(scale),
        bias=bias,
        loss=parameters.get("loss_function", {}).get("type", ""),
        labels=labels or None,
        threshold=float(about.get("binclass_probability_threshold", 0.5)),
    )


def _number(feature: Mapping[str, Any]) -> NumberFeature:
    return NumberFeature(
        column=int(feature["flat_feature_index"]),
        name=_name(feature),
        missing_is_above=feature.get("nan_value_treatment") == "AsTrue",
    )


def _name(feature: Mapping[str, Any]) -> str:
    return str(feature.get("feature_name") or feature.get("feature_id") or feature["flat_feature_index"])


def _all_conditions(info: Mapping[str, Any]) -> list[Condition]:
    """Return all conditions of the model in the order of their ``split_index``."""
    conditions = []
    for number, feature in enumerate(info.get("float_features") or []):
        conditions += [Condition(number, border=float(border)) for border in feature.get("borders") or []]
    for number, feature in enumerate(info.get("categorical_features") or []):
        conditions += [Condition(number, value=int(value) & 0xFFFFFFFF) for value in feature.get("values") or []]
    for number, ctr in enumerate(info.get("ctrs") or []):
        conditions += [Condition(number, border=float(border), is_statistic=True) for border in ctr["borders"]]
    return conditions


def _categories(info: Mapping[str, Any], statistics: Sequence[Statistic]) -> list[CategoryFeature]:
    """Return the features of categories, each with the categories that its statistics and splits name."""
    features = info.get("categorical_features") or []
    texts = {int(pair["hash"]) & 0xFFFFFFFF: str(pair["value"]) for pair in (info.get("cat_features_hash") or [])}
    hashes = np.array(list(texts), np.uint64)
    seen: list[set[int]] = [{int(value) & 0xFFFFFFFF for value in feature.get("values") or []} for feature in features]
    for statistic in statistics:
        for condition in statistic.combination.conditions:
            if condition.value is not None:
                seen[condition.feature].add(condition.value)
        _add_counted(statistic, hashes, seen)
    if any(value not in texts for values in seen for value in values):
        raise UnsupportedModel(_INCOMPLETE)
    return [_category(feature, sorted(values), texts) for feature, values in zip(features, seen, strict=True)]


_INCOMPLETE = (
    "the CatBoost file has only hashes of the categories, and there is no text for some of them: adopt it with the "
    "table that it was fitted on, list them with `categories` under `features`, or save it again with pool= that table"
)


def _add_counted(statistic: Statistic, hashes: NDArray[np.uint64], seen: Sequence[set[int]]) -> None:
    """Add the categories of the combinations that training counted, and check that the file lists all of them."""
    combination = statistic.combination
    keys = combination_hashes(combination, [hashes] * len(combination.categories))
    counted = np.isin(keys, np.array(list(statistic.counts), np.uint64))
    if counted.sum() < len(statistic.counts):
        raise UnsupportedModel(_INCOMPLETE)
    shape = (len(hashes),) * len(combination.categories) + (2,) * len(combination.conditions)
    indices = np.unravel_index(np.flatnonzero(counted), shape)
    for feature, index in zip(combination.categories, indices, strict=False):
        seen[feature].update(hashes[np.unique(index)].tolist())


def _category(feature: Mapping[str, Any], hashes: Sequence[int], texts: Mapping[int, str]) -> CategoryFeature:
    return CategoryFeature(
        column=int(feature["flat_feature_index"]),
        name=_name(feature),
        categories=[texts[value] for value in hashes],
        hashes=np.array(hashes, np.uint64),
    )


def _trees(document: Mapping[str, Any], conditions: Sequence[Condition], outputs: int) -> list[ConditionTree]:
    if "oblivious_trees" in document:
        return [_symmetric(tree, conditions, outputs) for tree in document["oblivious_trees"]]
    return [_nested(tree, conditions, outputs) for tree in document["trees"]]


def _symmetric(tree: Mapping[str, Any], conditions: Sequence[Condition], outputs: int) -> ConditionTree:
    """Return a tree with one condition for all splits of a level; condition i is bit i of the number of the leaf."""
    levels: list[Condition | None] = [_condition(split, conditions) for split in reversed(tree.get("splits") or [])]
    splits = 2 ** len(levels) - 1
    leaves = np.asarray(tree["leaf_values"], np.float64).reshape(splits + 1, outputs)
    nodes = [levels[(node + 1).bit_length() - 1] for node in range(splits)]
    no_child = [-1] * (splits + 1)
    left = [2 * node + 1 for node in range(splits)]
    right = [2 * node + 2 for node in range(splits)]
    values = np.concatenate([np.zeros((splits, outputs)), leaves])
    return ConditionTree([*nodes, *[None] * (splits + 1)], left + no_child, right + no_child, values)


def _nested(root: Mapping[str, Any], conditions: Sequence[Condition], outputs: int) -> ConditionTree:
    """Return a tree whose nodes hold their children."""
    nodes: list[Mapping[str, Any]] = [root]
    left, right = [], []
    for node in nodes:  # the list grows while it is read
        is_split = "split" in node
        left.append(len(nodes) if is_split else -1)
        right.append(len(nodes) + 1 if is_split else -1)
        nodes += [node["left"], node["right"]] if is_split else []
    values = np.zeros((len(nodes), outputs))
    for number, node in enumerate(nodes):
        values[number] = node.get("value", 0.0)
    return ConditionTree(
        [_condition(node["split"], conditions) if "split" in node else None for node in nodes], left, right, values
    )


def _condition(split: Mapping[str, Any], conditions: Sequence[Condition]) -> Condition:
    """Return the condition of a split. A split of a statistic names it only by its index among all conditions."""
    condition = conditions[int(split["split_index"])]
    if condition.border != split.get("border") and condition.border is not None:
        raise ValueError("the index of a split")
    return condition
