"""Models of CatBoost from their JSON export: symmetric and other trees, categories, and their statistics.

CatBoost rounds numbers to float32. A missing number is below or above all borders, as training decided.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Block, Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.trees.catboost_ctr import Combination, Condition, check_size, combination_hashes
from model_deployer.adoption.graph.trees.catboost_file import (
    CatboostModel,
    CategoryFeature,
    ConditionTree,
    parse_catboost,
)
from model_deployer.adoption.graph.trees.links import sigmoid, softmax, two_columns
from model_deployer.adoption.graph.trees.raw_columns import (
    check_width,
    read_category,
    round_to_float32,
)
from model_deployer.adoption.graph.trees.tree import CategorySplit, Numbers, Tree
from model_deployer.adoption.graph.trees.tree_ensemble import Ensemble
from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

_BINARY = {"Logloss", "CrossEntropy", "Focal"}
_EXPONENTIAL = {"Poisson", "Tweedie"}
_SEVERAL_TARGETS = {"MultiRMSE", "MultiRMSEWithMissingValues"}


def read_catboost(content: bytes) -> StoredObject:
    """Return a JSON export as a stored ``CatBoost``.

    Raises:
        UnsupportedModel: if the file is damaged, or has features without a graph writer.
    """
    parse_catboost(content)
    return StoredObject("catboost.core", "CatBoost", state={"json": content})


def catboost_columns(stored: StoredObject) -> list[str | None]:
    """Return the names of the input columns; None for each if the model was trained without names."""
    names = _parsed(stored).names
    unnamed = names == [str(number) for number in range(len(names))]
    return [None if unnamed else name for name in names]


@predictor("catboost.CatBoost", "catboost.CatBoostClassifier", "catboost.CatBoostRegressor", "catboost.CatBoostRanker")
def write_catboost(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a model of CatBoost; its loss says whether it classifies."""
    model = _parsed(stored)
    scores, outputs = _scores(model, frame, graph), len(model.bias)
    if model.loss == "MultiClass":
        return Answer(softmax(graph, scores), model.labels or list(range(outputs)))
    if model.loss == "MultiClassOneVsAll":
        return Answer(sigmoid(graph, scores), model.labels or list(range(outputs)))
    if model.loss in ("MultiLogloss", "MultiCrossEntropy"):
        raise SeveralDecisions(f"the CatBoost loss '{model.loss}'")
    if outputs > 1 and model.loss not in _SEVERAL_TARGETS:
        raise UnsupportedModel(f"the CatBoost loss '{model.loss}' has no graph writer")
    if model.loss in _BINARY:
        return Answer(two_columns(graph, sigmoid(graph, scores)), model.labels or [0, 1], threshold=model.threshold)
    return Answer(graph.add("Exp", scores) if model.loss in _EXPONENTIAL else scores, targets=outputs)


def _parsed(stored: StoredObject) -> CatboostModel:
    content = stored.get("json")
    if not isinstance(content, bytes | str):
        raise UnsupportedModel(
            "a CatBoost model needs its JSON export: model.save_model('model.json', format='json', pool=training_pool)"
        )
    return parse_catboost(content)


def _scores(model: CatboostModel, frame: Frame, graph: GraphWriter) -> str:
    """Return ``scale * sum + bias``, double [rows, outputs]."""
    columns = _Columns(model, frame, graph)
    ensemble = Ensemble()
    for tree in model.trees:
        ensemble.add(columns.tree(tree))
    block = columns.block()
    ensemble.note_thresholds(block, graph)
    assert block.tensor is not None
    outputs = len(model.bias)
    sums = ensemble.sums(graph, block.tensor) if outputs == 1 else ensemble.leaf_sums(graph, block.tensor)
    scaled = graph.add("Mul", sums, graph.constant(model.scale))
    return graph.add("Add", scaled, graph.constant(model.bias.reshape(1, -1)))


class _Columns:
    """The columns that the conditions read: numbers, then codes of categories, then codes of combinations of them."""

    def __init__(self, model: CatboostModel, frame: Frame, graph: GraphWriter) -> None:
        check_width(frame, len(model.numbers) + len(model.categories))
        self._model, self._graph = model, graph
        raw = frame.columns(graph)
        numbers = [raw[feature.column].numbers(graph) for feature in model.numbers]
        self._numbers = _rounded(Frame(tuple(numbers)).numbers(graph), graph) if numbers else None
        self._blocks = [] if self._numbers is None else [self._numbers]
        self._columns: dict[int | Combination, int] = {}
        self._values: dict[int, Numbers] = {}
        for number, feature in enumerate(model.categories):
            if feature.categories:  # another one is not used
                self._append(number, _category_codes(raw[feature.column], feature, graph))

    def block(self) -> Block:
        """Return all columns, double [rows, columns]."""
        return Frame(tuple(self._blocks)).numbers(self._graph)

    def _append(self, key: int | Combination, block: Block) -> None:
        """Append the codes of a feature of categories, by its index, or of a combination."""
        self._columns[key] = sum(block.width for block in self._blocks)
        self._blocks.append(block)

    def _category(self, feature: int) -> str:
        """Return the codes of a feature of categories, double [rows, 1]."""
        first = 0 if self._numbers is None else self._numbers.width - 1
        return self._blocks[self._columns[feature] - first].tensor or ""

    def tree(self, tree: ConditionTree) -> Tree:
        """Return a tree that reads the columns."""
        nodes = len(tree.conditions)
        column, threshold, missing_left = np.zeros(nodes, np.int64), np.zeros(nodes), np.zeros(nodes, bool)
        categories = {}
        for node, condition in enumerate(tree.conditions):
            if condition is None:
                continue
            if condition.is_statistic or condition.border is None:
                column[node], is_right, unknown_right = self._table(condition)
                categories[node] = _category_split(is_right, unknown_right)
                missing_left[node] = not unknown_right
            else:
                column[node], threshold[node] = condition.feature, condition.border
                missing_left[node] = not self._model.numbers[condition.feature].missing_is_above
        return Tree(column, threshold, missing_left, np.array(tree.left), np.array(tree.right), tree.values, categories)

    def _table(self, condition: Condition) -> tuple[int, Any, bool]:
        """Return the column of the codes, for which of them the condition is true, and whether for an unknown one."""
        if condition.border is None:
            hashes = self._model.categories[condition.feature].hashes
            return self._columns[condition.feature], hashes == np.uint64(condition.value or 0), False
        statistic = self._model.statistics[condition.feature]
        if condition.feature not in self._values:
            hashes = combination_hashes(statistic.combination, self._hashes(statistic.combination))
            self._values[condition.feature] = statistic.values(hashes)
        is_right = self._values[condition.feature] > condition.border
        return self._combination(statistic.combination), is_right, statistic.unknown() > condition.border

    def _hashes(self, combination: Combination) -> Sequence[Any]:
        return [self._model.categories[feature].hashes for feature in combination.categories]

    def _combination(self, combination: Combination) -> int:
        """Return the column of the codes of a combination; NaN if one of its categories is unknown."""
        if combination not in self._columns:
            self._append(combination, Block(self._codes(combination), "number", ("combination",), (None,)))
        return self._columns[combination]

    def _codes(self, combination: Combination) -> str:
        graph = self._graph
        sizes = [len(hashes) for hashes in self._hashes(combination)] + [2] * len(combination.conditions)
        check_size(sizes)
        parts = [self._category(feature) for feature in combination.categories]
        parts += [self._condition(condition) for condition in combination.conditions]
        code = parts[0]
        for part, size in zip(parts[1:], sizes[1:], strict=True):
            code = graph.add("Add", graph.add("Mul", code, graph.constant(float(size))), part)
        return code

    def _condition(self, condition: Condition) -> str:
        """Return 1 where a condition is true, and 0 elsewhere, double [rows, 1]."""
        graph = self._graph
        if condition.border is None:
            codes = np.flatnonzero(self._model.categories[condition.feature].hashes == np.uint64(condition.value or 0))
            category = self._category(condition.feature)
            return graph.number(graph.add("Equal", category, graph.constant(float(codes[0]))))
        assert self._numbers is not None and self._numbers.tensor is not None
        index = graph.constant(np.array([condition.feature], np.int64))
        number = graph.add("Gather", self._numbers.tensor, index, axis=1)
        above = graph.add("Greater", number, graph.constant(condition.border))
        if self._model.numbers[condition.feature].missing_is_above:
            above = graph.add("Or", above, graph.add("IsNaN", number))
        return graph.number(above)


def _category_split(is_right: Any, unknown_right: bool) -> CategorySplit:
    """Return a split by codes; an unknown code goes with those that are not listed."""
    listed = np.flatnonzero(is_right != unknown_right).astype(np.int64)
    return CategorySplit(listed, members_left=unknown_right)


def _category_codes(column: Frame, feature: CategoryFeature, graph: GraphWriter) -> Block:
    """Return the codes of categories. CatBoost turns whole numbers into texts, so such categories are numbers."""
    if feature.categories and all(
        text.removeprefix("-").isdigit() and str(int(text)) == text for text in feature.categories
    ):
        return read_category(column, [int(text) for text in feature.categories], graph)
    return read_category(column, feature.categories, graph)


def _rounded(block: Block, graph: GraphWriter) -> Block:
    assert block.tensor is not None
    return Block(round_to_float32(graph, block.tensor), "number", block.names, block.origins)
