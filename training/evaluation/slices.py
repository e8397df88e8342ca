"""Slices: parts of the test rows that a short condition describes, with the quality of the model on each of them."""

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
from model_deployer.training.evaluation.metrics import CalibrationError, Metric, calibration_chance
from model_deployer.training.evaluation.quantiles import quantile_parts
from model_deployer.training.evaluation.scored_rows import ScoredRows, Z

#: The kinds of features whose values are not divided into slices.
_WITHOUT_SLICES = frozenset({"vector", "sequence", "tensor", "image"})

#: The minimum number of rows, and the minimum share of all rows, of a slice that the search reports.
MIN_ROWS, MIN_SHARE = 50, 0.01

#: The maximum number of slices that the search reports.
MAX_SEARCHED = 20

#: Two slices are the same finding if this share of their rows is in both.
TWIN_OVERLAP = 0.9

#: The number of slices, the worst ones, that are combined in pairs.
COMBINED = 10

#: The maximum probability that the search reports any slice of a model that is equally good on all rows.
SIGNIFICANCE = 0.05

#: The number of parts that a number is divided into.
PARTS = 4

#: The number of values of a column, the most frequent ones, that are slices. The other values together are one slice.
MAX_VALUES = 50

#: The minimum number of rows for an interval: below it, the normal approximation is not valid.
MIN_ROWS_FOR_INTERVAL = 10


def slices(scored: ScoredRows, named: Sequence[Feature]) -> tuple[SliceResult, ...]:
    """Evaluate the slices of some columns, and search for the slices on which the model is worst.

    A slice is one category, one quarter of a number, one state of a boolean, or the missing values of a column; the
    worst ones are also combined in pairs (Chung et al., 2019, "Slice Finder"; Sagadeeva and Boehm, 2021, "SliceLine").
    The search reports a slice if its mean loss is above that of the other rows by more than chance explains (one-sided
    normal test with Bonferroni's correction for the number of slices). It reports a pair only if the pair is also worse
    than the rest of each of its two slices. Of slices with almost the same rows, it reports the worst one.

    Vectors, sequences and images have no slices.

    Args:
        scored: The model and the test rows.
        named: Columns of ``scored.frame``, features or not, whose slices are all reported.

    Returns:
        The slices, those with the most certain excess loss first. Empty if ``named`` is empty and the search reports
        nothing.
    """
    losses = _LossSums(scored.losses, scored.weights)
    columns = {feature.name: feature for feature in (*scored.features, *named) if feature.kind not in _WITHOUT_SLICES}
    singles = [single for feature in columns.values() for single in losses.slices(_partition(scored.frame, feature))]
    names = {feature.name for feature in named}
    named_slices = [single for single in singles if single.partition.columns <= names]
    worse_slices = [part for part in _search(singles, losses) if part not in named_slices]
    distinct = _without_twins(named_slices, worse_slices)
    ordered = sorted([*named_slices, *distinct[:MAX_SEARCHED]], key=lambda part: -losses.margin(part))
    calibration = _Calibration(scored, len(ordered))
    inputs = {feature.name for feature in scored.features}
    return tuple(
        SliceResult(
            slice=part.name,
            rows=part.rows,
            **_loss(part, scored, losses.mean),
            **calibration.of(part),
            named=part in named_slices,
            learnt=part.partition.columns <= inputs,
        )
        for part in ordered
    )


@dataclass(frozen=True, eq=False)
class _Partition:
    """A division of the rows by some columns.

    Attributes:
        columns: The names of the columns.
        parts: The part of each row, uint8 [rows].
        names: The name of each part.
    """

    columns: frozenset[str]
    parts: NDArray[np.uint8]
    names: list[str]


@dataclass(frozen=True, eq=False)
class _Slice:
    """One part of a partition.

    Attributes:
        partition: The partition.
        part: The number of the part.
        sums: The sums of :class:`_LossSums` over the rows of the part, float64 [6].
    """

    partition: _Partition
    part: int
    sums: Floats

    @property
    def name(self) -> str:
        return self.partition.names[self.part]

    @property
    def is_inside(self) -> NDArray[np.bool_]:
        """Whether each row is in the slice, bool [rows]."""
        return np.equal(self.partition.parts, self.part)

    @property
    def rows(self) -> int:
        return int(self.sums[0])

    def margin(self, total: Floats, z: float) -> float:
        """Return the excess of the mean loss over that of the other rows, minus ``z`` standard errors.

        Args:
            total: The sums over these other rows and the slice together, float64 [6].
            z: The number of standard errors.

        Returns:
            The margin, or minus infinity if the slice or the other rows are too few for a comparison.
        """
        rest = total - self.sums
        if min(self.rows, rest[0]) < MIN_ROWS_FOR_INTERVAL or rest[1] <= 0:
            return -math.inf
        (mean, error), (rest_mean, rest_error) = _mean(self.sums), _mean(rest)
        return mean - rest_mean - z * math.hypot(error, rest_error)


class _LossSums:
    """Sums of weights and losses that give the mean loss of any slice and its standard error.

    Losses are taken as differences from the mean loss of all rows, so that the sums lose no digits.
    """

    def __init__(self, losses: Floats, weights: Floats) -> None:
        self.mean = float(np.average(losses, weights=weights))
        self.min_rows = max(MIN_ROWS, MIN_SHARE * len(losses))
        centred, squares = losses - self.mean, weights**2
        self._terms = (
            *(np.ones(len(losses)), weights, weights * centred),
            *(squares, squares * centred, squares * centred**2),
        )
        self.sums = np.array([term.sum() for term in self._terms])

    def slices(self, partition: _Partition) -> list[_Slice]:
        """Return the parts of a partition whose total weight is above 0."""
        count = len(partition.names)
        sums = np.array([np.bincount(partition.parts, term, minlength=count) for term in self._terms])
        return [_Slice(partition, part, sums[:, part]) for part in range(count) if sums[1, part] > 0]

    def margin(self, part: _Slice, z: float = Z) -> float:
        """Return the margin of a slice over all other rows, see :meth:`_Slice.margin`."""
        return part.margin(self.sums, z)


class _Calibration:
    """The calibration error of slices, and the largest error that chance explains."""

    def __init__(self, scored: ScoredRows, slices: int) -> None:
        nominal, observed = scored.nominal_vs_observed
        z = NormalDist().inv_cdf(1 - SIGNIFICANCE / max(1, slices))
        self._weights = scored.weights
        self._metrics: dict[str, Metric] = {
            "calibration_error": CalibrationError(nominal, observed),
            "calibration_chance": calibration_chance(nominal, z),
        }

    def of(self, part: _Slice) -> dict[str, Any]:
        """Return ``calibration_error`` and ``calibration_chance`` of a slice."""
        weights = self._weights * part.is_inside if part.rows >= MIN_ROWS_FOR_INTERVAL else None
        return {name: None if weights is None else metric(weights) for name, metric in self._metrics.items()}


def _mean(sums: Floats) -> tuple[float, float]:
    """Return the weighted mean and its standard error."""
    _, weight, total, *squares = sums.tolist()
    mean = total / weight
    spread = squares[2] - 2 * mean * squares[1] + mean**2 * squares[0]
    return mean, math.sqrt(max(spread, 0.0)) / weight


def _search(singles: Sequence[_Slice], losses: _LossSums) -> list[_Slice]:
    """Return the slices and pairs that are worse than the other rows beyond chance, the largest margin first."""
    large = [single for single in singles if single.rows >= losses.min_rows]
    z = NormalDist().inv_cdf(1 - SIGNIFICANCE / (len(large) + math.comb(COMBINED, 2)))
    worst = sorted(large, key=lambda single: -losses.margin(single, z))[:COMBINED]
    pairs = [pair for left, right in combinations(worst, 2) for pair in _pair(left, right, losses, z)]
    worse = [part for part in (*large, *pairs) if losses.margin(part, z) > 0]
    return sorted(worse, key=lambda part: -losses.margin(part, z))


def _without_twins(named: Sequence[_Slice], searched: Sequence[_Slice]) -> list[_Slice]:
    """Return the searched slices without those that have almost the same rows as an earlier or a named one."""
    distinct: list[_Slice] = []
    for part in searched:
        if not any(_overlap(part, other) >= TWIN_OVERLAP for other in (*named, *distinct)):
            distinct.append(part)
    return distinct


def _overlap(left: _Slice, right: _Slice) -> float:
    """Return the rows that are in both slices, as a share of those in at least one."""
    both = np.count_nonzero(left.is_inside & right.is_inside)
    return float(both / (left.rows + right.rows - both))


def _pair(left: _Slice, right: _Slice, losses: _LossSums, z: float) -> list[_Slice]:
    """Return the intersection of two slices of different columns, if it is large enough and worse than their rests."""
    if left.partition is right.partition:
        return []
    return [
        pair
        for pair in losses.slices(_intersection(left, right))
        if pair.part == 1
        and pair.rows >= losses.min_rows
        and min(pair.margin(single.sums, z) for single in (left, right)) > 0
    ]


def _intersection(left: _Slice, right: _Slice) -> _Partition:
    """Return the partition into the rows that are in both slices, part 1, and the other rows, part 0."""
    columns = left.partition.columns | right.partition.columns
    parts = (left.is_inside & right.is_inside).astype(np.uint8)
    return _Partition(columns, parts, ["", f"{left.name} and {right.name}"])


def _partition(frame: pl.DataFrame, feature: Feature) -> _Partition:
    values = frame[feature.name]
    columns = frozenset({feature.name})
    missing = f"{feature.name} missing"
    if feature.kind == "text":
        return _Partition(columns, (values == "").to_numpy().astype(np.uint8), [f"{feature.name} present", missing])
    parts, names = _categories(values) if feature.dtype == "string" else _quarters(values.to_numpy(), feature)
    return _Partition(columns, parts.astype(np.uint8), [*(f"{feature.name} {name}" for name in names), missing])


def _categories(values: pl.Series) -> tuple[NDArray[Any], list[str]]:
    """Return the part of each row and the names of the parts; the last part, without a name, has the missing values."""
    counts = values.filter(values != "").alias("level").value_counts(name="rows")
    levels = counts.sort(["rows", "level"], descending=[True, False])["level"].to_list()
    frequent, rare = levels[:MAX_VALUES], len(levels) - MAX_VALUES
    names = [f"= {level}" for level in frequent] + ([f"= one of {rare:,} rarer values"] if rare > 0 else [])
    parts = {level: part for part, level in enumerate(frequent)} | {"": len(names)}
    return values.replace_strict(parts, default=len(frequent), return_dtype=pl.UInt8).to_numpy(), names


def _quarters(values: Floats, feature: Feature) -> tuple[NDArray[Any], list[str]]:
    """Divide numbers into quarters, or booleans into their two states; the result is that of :func:`_categories`."""
    present = ~np.isnan(values)
    part_of_present = quantile_parts(values[present], PARTS)
    values_of_parts = [values[present][part_of_present == part] for part in range(part_of_present.max(initial=-1) + 1)]
    parts = np.full(len(values), len(values_of_parts))
    parts[present] = part_of_present
    return parts, [_range(part.min(), part.max(), feature) for part in values_of_parts]


def _range(low: float, high: float, feature: Feature) -> str:
    first, last = (_value(end, feature) for end in (low, high))
    return f"= {first}" if first == last else f"from {first} to {last}"


def _value(number: float, feature: Feature) -> str:
    if feature.kind == "boolean":
        return "true" if number else "false"
    if feature.kind == "datetime":
        return str(np.datetime64(int(number // 60), "m")).replace("T", " ")
    return f"{number:.0f}" if feature.kind == "integer" else exact(float(f"{number:.4g}"))


def _loss(part: _Slice, scored: ScoredRows, mean: float) -> dict[str, Any]:
    """Return ``loss``, ``gap``, ``low`` and ``high`` of a slice; ``mean`` is the mean loss of all rows."""
    difference, error = _mean(part.sums)
    loss, low, high = (scored.to_metric(max(mean + difference + z * error, 0.0)) for z in (0, -Z, Z))
    reference = scored.to_metric(mean)
    has_interval = part.rows >= MIN_ROWS_FOR_INTERVAL
    return {
        "loss": loss,
        "gap": loss / reference - 1 if reference else 0.0,
        "low": low if has_interval else None,
        "high": high if has_interval else None,
    }
