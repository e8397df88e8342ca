"""Boosted trees: LightGBM (Ke et al., 2017, "LightGBM: A highly efficient gradient boosting decision tree").

Trees see the raw numbers, from which they gain what scaling would take, and each category as what the target is on
average where it holds. They become one TreeEnsembleRegressor (ai.onnx.ml) in the graph, and give the very answers of
LightGBM there: every number that a split compares is a float32, and so is every threshold.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from sklearn.model_selection import KFold
from torch import Tensor, nn

from contract.errors import EnvironmentFault
from training.preprocessing import SMOOTHING
from training.progress import trials
from training.quiet import quiet
from training.sample import Sample
from training.scaling import Scaling

#: Rounds at most, and those without improvement on the validation rows after which boosting ends.
ROUNDS, PATIENCE = 1_000, 100

#: Sets of parameters at most, and the values, rows by columns, that all trials together look at.
MOST_TRIALS, TRIED = 20, 50_000_000

#: Tuned on many data sets by Holzmüller et al. (2024, "Better by default"): their LightGBM-TD.
_COMMON = {"bagging_freq": 1, "min_sum_hessian_in_leaf": 1e-7, "max_bin": 255}
_CLASSIFICATION = {"num_leaves": 50, "learning_rate": 0.04, "bagging_fraction": 0.75, "min_data_in_leaf": 40}
_REGRESSION = {"num_leaves": 100, "learning_rate": 0.05, "bagging_fraction": 0.7, "min_data_in_leaf": 3}

#: Codes, unknown included, whose order tells all there is to tell.
ORDERED_CODES = 3

#: Folds in which categories are encoded for the rows that are learnt from.
_FOLDS = 5

#: Values of a matrix that one thread is fastest with.
_SMALL = 500_000

#: Beyond it a number is infinite in float32; and below it LightGBM takes one for zero, at the latest.
_LARGEST, _SMALLEST = 3e38, 1e-30

Floats = NDArray[np.float32]


class Columns(nn.Module):
    """What trees are asked with: float32 [rows, columns], a missing number as NaN.

    Numbers are bounded as those of the network are, and taken from their median, so that float32 tells neighbours
    apart. Codes are numbers too, since the order of levels often means something; of categories with more than two
    levels there is the average target where one holds as well, one column a class that is told apart.

    Args:
        scaling: Whose bounds, medians and calendar parts it shares.
        cardinalities: For every code column the number of codes.
        outputs: Numbers that the model answers: one a class, or one for regression.
    """

    means: Tensor
    many: Tensor
    starts: Tensor

    def __init__(self, scaling: Scaling, cardinalities: Sequence[int], outputs: int) -> None:
        super().__init__()
        self._scaling = (scaling,)
        categories = len(cardinalities) - scaling.layout.datetimes - scaling.layout.booleans
        many = [place for place, codes in enumerate(cardinalities[:categories]) if codes > ORDERED_CODES]
        starts = np.cumsum([0, *(cardinalities[place] for place in many)])
        self.register_buffer("means", torch.zeros(int(starts[-1]), 1 if outputs <= 2 else outputs))
        for name, values in (("many", many), ("starts", starts[:-1].tolist())):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """The columns of ``numbers`` float64 [rows, n] and ``codes`` int64 [rows, c]."""
        plain, places = self.parts(numbers, codes)
        return torch.cat([plain, self.means[places].flatten(1)], dim=1)

    def parts(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The columns of numbers and codes, and the row of ``means`` for each category of more than two levels."""
        (scaling,) = self._scaling
        missing, bounded = scaling.bounded(numbers)
        plain = (bounded - scaling.median).clamp(-_LARGEST, _LARGEST).float()
        plain = torch.where(plain.abs() < _SMALLEST, 0.0, plain)
        every = scaling.all_codes(numbers, codes)
        plain = torch.cat([torch.where(missing, torch.nan, plain), every.float()], dim=1)
        return plain, every.index_select(1, self.many) + self.starts


class Trees:
    """A fitted booster; its answers are raw scores: log-odds, one a class, or standard deviations."""

    def __init__(self, text: str) -> None:
        lightgbm = _lightgbm()
        self.text = text
        self._booster = lightgbm.Booster(model_str=text)

    def scores(self, columns: Tensor) -> Tensor:
        """Raw scores float32 [rows, outputs] for the columns of :class:`Columns`."""
        raw = self._booster.predict(columns.numpy(), raw_score=True, num_threads=_threads(columns.numel()))
        return torch.from_numpy(np.asarray(raw, dtype=np.float32).reshape(len(columns), -1))

    def node(self, source: str, result: str) -> onnx.NodeProto:
        """The same as one node of a graph: float32 [rows, columns] to float32 [rows, outputs]."""
        dump = self._booster.dump_model()
        outputs = int(dump["num_tree_per_iteration"])
        nodes: dict[str, list[Any]] = {name: [] for name in _NODE_FIELDS}
        leaves: dict[str, list[Any]] = {name: [] for name in _LEAF_FIELDS}
        for number, tree in enumerate(dump["tree_info"]):
            _append(tree["tree_structure"], number, number % outputs, nodes, leaves)
        fields: dict[str, Any] = {"domain": "ai.onnx.ml", "n_targets": outputs, **nodes, **leaves}
        return helper.make_node("TreeEnsembleRegressor", [source], [result], **fields)


def fit_columns(
    scaling: Scaling, cardinalities: Sequence[int], train: Sample, classes: int, seed: int
) -> tuple[Columns, Tensor]:
    """Learn the average targets of the categories; and the columns of the training rows themselves.

    Those come from folds that the rows are not part of: with their own target in it, an average would look more
    telling than it is.

    Args:
        scaling: Of the network.
        cardinalities: How many codes each category has.
        train: The training rows; a regression target is given in standard deviations.
        classes: The number of classes; 1 for regression.
        seed: Decides the folds.
    """
    told = _told(train.target, classes)
    columns = Columns(scaling, cardinalities, classes)
    plain, places = columns.parts(train.inputs.numbers, train.inputs.codes)
    rows = _Rows(places.numpy(), told, train.each_weight, len(columns.means))
    own = np.empty((len(train), places.shape[1], told.shape[1]), dtype=np.float32)
    if places.shape[1]:
        folds = KFold(min(_FOLDS, len(train)), shuffle=True, random_state=seed)
        for others, fold in folds.split(told):
            own[fold] = rows.means(others)[rows.places[fold]]
        columns.means.copy_(torch.from_numpy(rows.means(np.arange(len(train)))))
    return columns, torch.cat([plain, torch.from_numpy(own).flatten(1)], dim=1)


def plan_trials(rows: int, columns: int) -> int:
    """How many sets of parameters are tried on so many training rows: what takes two cores about a minute."""
    return max(1, min(MOST_TRIALS, TRIED // (rows * max(1, columns))))


def fit_trees(
    train: Tensor, target: NDArray[Any], validation: Tensor, truth: NDArray[Any], options: "Options"
) -> Trees:
    """Boost on the training rows until the validation rows get no better, with tuned defaults and then others.

    The others are drawn at random (Bergstra and Bengio, 2012, "Random search for hyper-parameter optimization"); what
    is best on the validation rows is kept.

    Args:
        train: Columns of the training rows.
        target: Class codes, or standard deviations.
        validation: Columns of the rows that say when to stop, and which parameters are best.
        truth: Their targets.
        options: Classes, weights, seed, and how many sets of parameters are tried.

    Raises:
        EnvironmentFault: LightGBM is not installed.
        KeyboardInterrupt: The user interrupted.
    """
    lightgbm = _lightgbm()
    fixed = options.parameters() | {"num_threads": _threads(train.numel())}
    learnt = lightgbm.Dataset(train.numpy(), target, weight=options.weights, params=fixed, free_raw_data=False)
    judged = lightgbm.Dataset(validation.numpy(), truth, weight=options.judged, reference=learnt, free_raw_data=False)
    best, least = None, math.inf
    for drawn in trials(_draws(options), options.trials, lambda: least):  # noqa: B023 (asked between two turns)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        with quiet():
            booster = lightgbm.train(fixed | drawn, learnt, ROUNDS, valid_sets=[judged], callbacks=[stop])
        loss = next(iter(booster.best_score["valid_0"].values()))
        if best is None or loss < least:
            best, least = booster, loss
    assert best
    return Trees(best.model_to_string(num_iteration=best.best_iteration or best.current_iteration()))


@dataclass(frozen=True)
class Options:
    """How trees are fitted.

    Attributes:
        classes: The number of classes; 1 for regression.
        weights: How much each training row counts; None where all count the same.
        judged: The same of the validation rows.
        seed: Decides which rows each tree sees, and which parameters are tried.
        trials: How many sets of parameters are tried.
    """

    classes: int
    weights: NDArray[np.float64] | None
    judged: NDArray[np.float64] | None
    seed: int
    trials: int = 1

    def parameters(self) -> dict[str, Any]:
        """What LightGBM is told."""
        sort = _REGRESSION if self.classes == 1 else _CLASSIFICATION
        if self.classes == 1:
            task: dict[str, Any] = {"objective": "regression"}
        elif self.classes == 2:
            task = {"objective": "binary"}
        else:
            task = {"objective": "multiclass", "num_class": self.classes}
        machine = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
        return _COMMON | sort | task | machine | {"seed": self.seed, "feature_pre_filter": False}


def is_installed() -> bool:
    """Whether LightGBM is there."""
    try:
        _lightgbm()
    except EnvironmentFault:
        return False
    return True


def _draws(options: Options) -> Iterator[dict[str, Any]]:
    """First nothing but the defaults, then parameters at random."""
    yield {}
    random = np.random.default_rng(options.seed)
    for _ in range(options.trials - 1):
        yield {
            "num_leaves": round(_between(random, 8, 256)),
            "learning_rate": _between(random, 0.03, 0.2),
            "min_data_in_leaf": round(_between(random, 3, 100)),
            "bagging_fraction": random.uniform(0.6, 1.0),
            "feature_fraction": random.uniform(0.5, 1.0),
            "lambda_l2": _between(random, 1e-3, 10),
        }


def _between(random: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is evenly distributed."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


class _Rows:
    """Training rows, each with its place among the codes of every category."""

    def __init__(self, places: NDArray[np.int64], told: Floats, weights: NDArray[np.float64], codes: int) -> None:
        self.places, self._told, self._weights, self._codes = places, told, weights, codes

    def means(self, rows: NDArray[np.intp]) -> Floats:
        """The average target of every code in these rows, mixed with ``SMOOTHING`` rows of the average of all."""
        weights, told = self._weights[rows], self._told[rows].astype(np.float64)
        overall = np.average(told, axis=0, weights=weights) if weights.any() else told.mean(0)
        places = self.places[rows]
        each = np.repeat(weights, places.shape[1])
        counts = np.bincount(places.ravel(), each, minlength=self._codes)
        sums = [
            np.bincount(places.ravel(), each * np.repeat(column, places.shape[1]), minlength=self._codes)
            for column in told.T
        ]
        means = (np.stack(sums, axis=1) + SMOOTHING * overall) / (counts[:, None] + SMOOTHING)
        return np.asarray(means, dtype=np.float32)


def _told(target: NDArray[Any], classes: int) -> Floats:
    """What categories are averaged over: the target, whether it is the second class, or which class it is."""
    told = target.reshape(-1, 1) if classes <= 2 else np.eye(classes)[target]
    return np.asarray(told, dtype=np.float32)


_NODE_FIELDS = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values", "nodes_truenodeids",
    "nodes_falsenodeids", "nodes_missing_value_tracks_true", "nodes_hitrates",
)  # fmt: skip
_LEAF_FIELDS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _append(
    root: Mapping[str, Any], tree: int, output: int, nodes: dict[str, list[Any]], leaves: dict[str, list[Any]]
) -> None:
    """The nodes of one tree, counted from its root on."""
    waiting = [(root, 0)]
    following = 1
    while waiting:
        node, number = waiting.pop()
        if "leaf_value" in node:
            _add(nodes, _NODE_FIELDS, (tree, number, 0, "LEAF", 0.0, 0, 0, 0, 1.0))
            _add(leaves, _LEAF_FIELDS, (tree, number, output, float(node["leaf_value"])))
            continue
        left, right = following, following + 1
        following += 2
        threshold = _below(float(node["threshold"]))
        tracks = _missing_goes_left(node)
        fields = (tree, number, node["split_feature"], "BRANCH_LEQ", threshold, left, right, int(tracks), 1.0)
        _add(nodes, _NODE_FIELDS, fields)
        waiting += [(node["left_child"], left), (node["right_child"], right)]


def _add(lists: dict[str, list[Any]], names: Sequence[str], values: Sequence[Any]) -> None:
    for name, value in zip(names, values, strict=True):
        lists[name].append(value)


def _below(threshold: float) -> float:
    """The largest float32 that is no larger: it parts the float32 numbers exactly as the threshold does."""
    nearest = np.float32(min(threshold, _LARGEST))
    # As a float: numpy would else compare with the threshold rounded to float32.
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > threshold else nearest)


def _missing_goes_left(node: Mapping[str, Any]) -> bool:
    """LightGBM takes a missing value for 0 where training had none in this column."""
    if node["missing_type"] == "None":
        return float(node["threshold"]) >= 0
    return bool(node["default_left"])


def _lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415 (an installation without it trains without trees)
    except (ImportError, OSError):
        raise EnvironmentFault(
            "LightGBM is not installed, or a system library that it needs (libgomp) is missing: "
            "pip install lightgbm, or set `estimator.name: tabm`"
        ) from None
    return lightgbm


def _threads(values: int) -> int:
    """The cores that are idle; one where the matrix is small: threads that wait for each other take longer than one."""
    if values < _SMALL:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, cores - busy)
