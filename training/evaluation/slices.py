"""Parts of the test rows that can be said in a phrase, and how the model does on each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.evaluation import SliceResult
from model_deployer.contract.features import Feature
from model_deployer.contract.number_format import exact
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.metrics import calibration_chance, calibration_error
from model_deployer.training.evaluation.quantiles import quantile_parts
from model_deployer.training.evaluation.scored_rows import ScoredRows, Z

#: Rows, and the share of all rows, that a slice has to have to be found.
LEAST_ROWS, LEAST_SHARE = 50, 0.01

#: The most slices that are reported of those that are found.
MOST_FOUND = 20

#: The worst slices, so many of them, are combined in pairs.
COMBINED = 10

#: The probability, at most, that any slice is found where the model is equally good on all rows.
CHANCE = 0.05

#: Parts that a number is divided into.
PARTS = 4

#: The most frequent values of a column, so many of them, are slices of their own; the others are one together.
MOST_VALUES = 50

#: Rows below which no interval is stated: of so few, the normal approximation says nothing.
FEWEST_ROWS = 10


def slices(exam: ScoredRows, named: Sequence[Feature]) -> tuple[SliceResult, ...]:
    """Where the model is worst: the slices that are asked for, and those that are found.

    Each category, each quarter of a number, each state of a boolean and what is missing is a slice, and the worst few
    are combined in pairs (Chung et al., 2019, "Slice Finder"; Sagadeeva and Boehm, 2021, "SliceLine"). One is found if
    its mean loss lies above that of the other rows by more than chance makes of the worst of so many (one-sided normal
    test, Bonferroni's correction), a pair if it is also worse than what remains of both that it was made of.

    Args:
        exam: The model and the test rows.
        named: Columns of the exam's frame, features or not, whose slices are all reported.

    Returns:
        The slices, the most surely worse one first; empty where none was asked for and none is found.
    """
    judge = _Judge(exam.losses, exam.weights)
    columns = {feature.name: feature for feature in (*exam.features, *named)}
    singles = [one for feature in columns.values() for one in judge.slices(_partition(exam.frame, feature))]
    names = {feature.name for feature in named}
    asked = [one for one in singles if one.partition.columns <= names]
    found = [one for one in _found(singles, judge) if one not in asked]
    ordered = sorted([*asked, *found[:MOST_FOUND]], key=lambda one: -judge.margin(one))
    calibration = _Calibration(exam, len(ordered))
    learnt = {feature.name for feature in exam.features}
    return tuple(
        SliceResult(
            slice=one.name,
            rows=one.rows,
            **_loss(one, exam, judge.mean),
            **calibration.of(one),
            named=one in asked,
            learnt=one.partition.columns <= learnt,
        )
        for one in ordered
    )


@dataclass(frozen=True, eq=False)
class _Partition:
    """The part that each row is in by some columns, and the parts' names."""

    columns: frozenset[str]
    parts: NDArray[np.uint8]
    names: list[str]


@dataclass(frozen=True, eq=False)
class _Slice:
    """One part of a partition; ``sums`` are those of :class:`_Judge` over its rows."""

    partition: _Partition
    part: int
    sums: Floats

    @property
    def name(self) -> str:
        return self.partition.names[self.part]

    @property
    def inside(self) -> NDArray[np.bool_]:
        return np.equal(self.partition.parts, self.part)

    @property
    def rows(self) -> int:
        return int(self.sums[0])

    def margin(self, whole: Floats, z: float) -> float:
        """By how much its mean loss lies above that of the other rows of a whole: ``z`` standard errors less than seen.

        Minus infinity where the rows on one side are too few to tell.
        """
        rest = whole - self.sums
        if min(self.rows, rest[0]) < FEWEST_ROWS or rest[1] <= 0:
            return -math.inf
        (mean, error), (other, other_error) = _mean(self.sums), _mean(rest)
        return mean - other - z * math.hypot(error, other_error)


class _Judge:
    """Sums up the losses of slices, as differences from the mean loss of all rows, which keep their digits."""

    def __init__(self, losses: Floats, weights: Floats) -> None:
        self.mean = float(np.average(losses, weights=weights))
        self.least = max(LEAST_ROWS, LEAST_SHARE * len(losses))
        centred, squares = losses - self.mean, weights**2
        self._terms = (
            *(np.ones(len(losses)), weights, weights * centred),
            *(squares, squares * centred, squares * centred**2),
        )
        self.sums = np.array([term.sum() for term in self._terms])

    def slices(self, partition: _Partition) -> list[_Slice]:
        """The partition's parts in which rows have a weight."""
        count = len(partition.names)
        sums = np.array([np.bincount(partition.parts, term, minlength=count) for term in self._terms])
        return [_Slice(partition, part, sums[:, part]) for part in range(count) if sums[1, part] > 0]

    def margin(self, one: _Slice, z: float = Z) -> float:
        """By how much a slice is surely worse than all other rows."""
        return one.margin(self.sums, z)


class _Calibration:
    """How far what the model promises is from what comes true, in some slices."""

    def __init__(self, exam: ScoredRows, slices: int) -> None:
        promised, kept = exam.nominal_vs_observed
        z = NormalDist().inv_cdf(1 - CHANCE / max(1, slices))
        self._weights = exam.weights
        self._metrics = {
            "calibration_error": calibration_error(promised, kept),
            "calibration_chance": calibration_chance(promised, z),
        }

    def of(self, one: _Slice) -> dict[str, Any]:
        """``calibration_error`` and ``calibration_chance`` of a slice."""
        weights = self._weights * one.inside if one.rows >= FEWEST_ROWS else None
        return {name: None if weights is None else metric(weights) for name, metric in self._metrics.items()}


def _mean(sums: Floats) -> tuple[float, float]:
    """The weighted mean and its standard error."""
    _, weight, total, *squares = sums.tolist()
    mean = total / weight
    spread = squares[2] - 2 * mean * squares[1] + mean**2 * squares[0]
    return mean, math.sqrt(max(spread, 0.0)) / weight


def _found(singles: Sequence[_Slice], judge: _Judge) -> list[_Slice]:
    """The slices, and pairs of slices, that are worse than the other rows beyond chance; the surest first."""
    large = [one for one in singles if one.rows >= judge.least]
    z = NormalDist().inv_cdf(1 - CHANCE / (len(large) + math.comb(COMBINED, 2)))
    worst = sorted(large, key=lambda one: -judge.margin(one, z))[:COMBINED]
    pairs = [both for pair in combinations(worst, 2) for both in _pair(*pair, judge, z)]
    found = [one for one in (*large, *pairs) if judge.margin(one, z) > 0]
    return sorted(found, key=lambda one: -judge.margin(one, z))


def _pair(left: _Slice, right: _Slice, judge: _Judge, z: float) -> list[_Slice]:
    """The rows in two slices of different columns, if they are enough, and worse than what remains of either slice."""
    if left.partition is right.partition:
        return []
    return [
        both
        for both in judge.slices(_both(left, right))
        if both.part == 1 and both.rows >= judge.least and min(both.margin(of.sums, z) for of in (left, right)) > 0
    ]


def _both(left: _Slice, right: _Slice) -> _Partition:
    """The rows that are in both slices, part 1, and the others."""
    columns = left.partition.columns | right.partition.columns
    inside = (left.inside & right.inside).astype(np.uint8)
    return _Partition(columns, inside, ["", f"{left.name} and {right.name}"])


def _partition(frame: pl.DataFrame, feature: Feature) -> _Partition:
    values = frame[feature.name]
    columns = frozenset({feature.name})
    absent = f"{feature.name} missing"
    if feature.kind == "text":
        return _Partition(columns, (values == "").to_numpy().astype(np.uint8), [f"{feature.name} present", absent])
    parts, names = _categories(values) if feature.dtype == "string" else _quarters(values.to_numpy(), feature)
    return _Partition(columns, parts.astype(np.uint8), [*(f"{feature.name} {name}" for name in names), absent])


def _categories(values: pl.Series) -> tuple[NDArray[Any], list[str]]:
    """The part of each row, the last of them for a missing value, and the names of all parts but that one."""
    counts = values.filter(values != "").alias("level").value_counts(name="rows")
    levels = counts.sort(["rows", "level"], descending=[True, False])["level"].to_list()
    kept, others = levels[:MOST_VALUES], len(levels) - MOST_VALUES
    names = [f"= {level}" for level in kept] + ([f"= one of {others:,} rarer values"] if others > 0 else [])
    places = {level: place for place, level in enumerate(kept)} | {"": len(names)}
    return values.replace_strict(places, default=len(kept), return_dtype=pl.UInt8).to_numpy(), names


def _quarters(values: Floats, feature: Feature) -> tuple[NDArray[Any], list[str]]:
    """As :func:`_categories`, by size; the two states of a boolean."""
    present = ~np.isnan(values)
    inner = quantile_parts(values[present], PARTS)
    ranges = [(values[present][inner == part]) for part in range(inner.max(initial=-1) + 1)]
    parts = np.full(len(values), len(ranges))
    parts[present] = inner
    return parts, [_range(inside.min(), inside.max(), feature) for inside in ranges]


def _range(low: float, high: float, feature: Feature) -> str:
    first, last = (_value(end, feature) for end in (low, high))
    return f"= {first}" if first == last else f"from {first} to {last}"


def _value(number: float, feature: Feature) -> str:
    if feature.kind == "boolean":
        return "true" if number else "false"
    if feature.kind == "datetime":
        return str(np.datetime64(int(number // 60), "m")).replace("T", " ")
    return f"{number:.0f}" if feature.kind == "integer" else exact(float(f"{number:.4g}"))


def _loss(one: _Slice, exam: ScoredRows, whole: float) -> dict[str, Any]:
    """``loss``, ``gap``, ``low`` and ``high`` of a slice; ``whole`` is the mean loss of all rows."""
    difference, error = _mean(one.sums)
    loss, low, high = (exam.to_metric(max(whole + difference + z * error, 0.0)) for z in (0, -Z, Z))
    reference = exam.to_metric(whole)
    known = one.rows >= FEWEST_ROWS
    return {
        "loss": loss,
        "gap": loss / reference - 1 if reference else 0.0,
        "low": low if known else None,
        "high": high if known else None,
    }
