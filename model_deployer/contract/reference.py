"""reference.json: the distributions of features and predictions in training, and the bins for counting live values.

Live values are counted in the bins of a distribution. Their shares are compared with the shares in training, which
``shares()`` returns. Numbers have bins between ``edges``; categories have one bin each.
"""

import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Tag

from model_deployer.contract.document import JsonDocument, JsonObject, by_key
from model_deployer.contract.drift import Drift, Unit
from model_deployer.contract.number_format import exact
from model_deployer.contract.unit_spread import UnitSpread

#: The significant digits of an edge between bins.
_DIGITS = 6


class NumberDistribution(JsonObject):
    """The distribution of a number, a boolean (0 or 1) or a time (seconds since 1970).

    Attributes:
        missing: The share of rows without a value, from 0 to 1. Absent for a prediction, which is never missing.
        quantiles: The 21 quantiles from 0 to 1 in steps of 0.05, in the unit of the feature, of the rows with a value;
            empty if no row has a value.
    """

    missing: float = 0.0
    quantiles: tuple[float, ...]

    @property
    def edges(self) -> list[float]:
        """The edges between the bins: the distinct deciles in training. An edge belongs to the bin below it."""
        return _edges(self.quantiles)

    def shares(self) -> dict[str, float]:
        """Return the share of all training rows in each bin, by the name of the bin, in order; see :func:`_shares`."""
        return _shares(self.quantiles, self.missing)

    def codes(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Return the index in :meth:`shares` of the bin of each value: float64 [rows], NaN if it is missing."""
        return _number_codes(values, self.edges)


class TextDistribution(JsonObject):
    """The distribution of the length of a free text.

    Attributes:
        missing: The share of rows without a text, from 0 to 1.
        lengths: The 21 quantiles from 0 to 1 in steps of 0.05 of the length in characters, of the rows with a text;
            empty if no row has a text.
    """

    missing: float = 0.0
    lengths: tuple[float, ...]

    @property
    def edges(self) -> list[float]:
        """The edges between the bins of lengths; see :attr:`NumberDistribution.edges`."""
        return _edges(self.lengths)

    def shares(self) -> dict[str, float]:
        """Return the share of all training rows in each bin, by the name of the bin, in order; see :func:`_shares`."""
        return _shares(self.lengths, self.missing)

    def codes(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Return the index in :meth:`shares` of the bin of each text: str objects [rows], "" if it is missing."""
        return _number_codes(np.array([len(value) or np.nan for value in values.tolist()], np.float64), self.edges)


class NormDistribution(JsonObject):
    """The distribution of the Euclidean norm of a vector or a tensor. The single numbers are not watched.

    The norm of a tensor with a free shape shows both: larger numbers, and more of them.

    Attributes:
        missing: The share of rows without a value, from 0 to 1.
        norms: The 21 quantiles from 0 to 1 in steps of 0.05 of the norm, of the rows with a value; empty if no row has
            one.
    """

    missing: float = 0.0
    norms: tuple[float, ...]

    @property
    def edges(self) -> list[float]:
        """The edges between the bins of norms; see :attr:`NumberDistribution.edges`."""
        return _edges(self.norms)

    def shares(self) -> dict[str, float]:
        """Return the share of all training rows in each bin, by the name of the bin, in order; see :func:`_shares`."""
        return _shares(self.norms, self.missing)

    def codes(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Return the index in :meth:`shares` of the bin of each norm: float64 [rows], NaN if it is missing."""
        return _number_codes(values, self.edges)


class CountDistribution(JsonObject):
    """The distribution of the number of numbers of a sequence. The numbers themselves are not watched.

    Attributes:
        missing: The share of rows without a sequence, from 0 to 1.
        counts: The 21 quantiles from 0 to 1 in steps of 0.05 of the number of numbers, of the rows with a sequence;
            empty if no row has one.
    """

    missing: float = 0.0
    counts: tuple[float, ...]

    @property
    def edges(self) -> list[float]:
        """The edges between the bins of counts; see :attr:`NumberDistribution.edges`."""
        return _edges(self.counts)

    def shares(self) -> dict[str, float]:
        """Return the share of all training rows in each bin, by the name of the bin, in order; see :func:`_shares`."""
        return _shares(self.counts, self.missing)

    def codes(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Return the index in :meth:`shares` of the bin of each count: float64 [rows], NaN if it is missing."""
        return _number_codes(values, self.edges)


def counts(sequences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the number of numbers of each sequence, float64 [rows, length] with NaN after its end: float64 [rows].

    The count of a missing sequence is NaN.
    """
    numbers = (~np.isnan(sequences)).sum(axis=1).astype(np.float64)
    return np.where(numbers > 0, numbers, np.nan)


def norms(arrays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean norm of each vector, or of all numbers of each tensor, NaN if it is missing: float64 [rows].

    Args:
        arrays: Float64 [rows, *shape]; tensors have NaN after their ends.
    """
    flat = arrays.reshape(len(arrays), -1)
    if arrays.ndim > 2:
        is_missing = np.isnan(flat[:, 0])
        flat = np.where(np.isnan(flat) & ~is_missing[:, None], 0.0, flat)
    with np.errstate(over="ignore"):
        return np.asarray(np.minimum(np.linalg.norm(flat, axis=1), sys.float_info.max))


class CategoryDistribution(JsonObject):
    """The distribution of a categorical value.

    Attributes:
        missing: The share of rows without a value, from 0 to 1.
        frequencies: The share of the rows with a value that have a category, for the 50 most frequent categories, the
            most frequent first.
        other: The share of the rows with a value that have any other category.
    """

    missing: float = 0.0
    frequencies: Mapping[str, float]
    other: float

    def shares(self) -> dict[str, float]:
        """Return the share of all training rows in each bin, in order: the categories, ``other``, ``missing``."""
        shares = {name: (1 - self.missing) * share for name, share in self.frequencies.items()}
        for name, share in (("other", (1 - self.missing) * self.other), ("missing", self.missing)):
            # A category that has this name is counted in the same bin.
            shares[name] = shares.get(name, 0.0) + share
        return shares

    def codes(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Return the index in :meth:`shares` of the bin of each value: str objects [rows], "" if it is missing."""
        indices = {bin: index for index, bin in enumerate(self.shares())}
        by_value = {category: indices[category] for category in self.frequencies} | {"": indices["missing"]}
        other = indices["other"]
        return np.array([by_value.get(value, other) for value in values.tolist()], np.intp)


#: The distribution of one feature in reference.json; its class depends on the feature's kind.
Distribution = Annotated[
    Annotated[NumberDistribution, Tag("number")]
    | Annotated[TextDistribution, Tag("text")]
    | Annotated[NormDistribution, Tag("norm")]
    | Annotated[CountDistribution, Tag("count")]
    | Annotated[CategoryDistribution, Tag("category")],
    by_key({"quantiles": "number", "lengths": "text", "norms": "norm", "counts": "count", "frequencies": "category"}),
]


class BinSpread(JsonObject):
    """How far the units of the table differ in one distribution, see :class:`contract.unit_spread.UnitSpread`.

    Attributes:
        lowest, highest: The range of the level of each bin, on the scale of the arcsine square root of shares.
        noise: The standard deviation of a unit around its level, for each bin.
    """

    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    noise: tuple[float, ...]


class Spreads(JsonObject):
    """How far the units of the table differ: its days, or what stands for them.

    Attributes:
        unit: What a unit is.
        units: The number of units.
        rows: The number of rows of the unit that an average row is in.
        freedom: The degrees of freedom of the noise.
        features: The spread of each feature except times, by name.
        predictions: The spread of each prediction, by tensor and column.
    """

    unit: Unit
    units: int
    rows: float
    freedom: int
    features: Mapping[str, BinSpread]
    predictions: Mapping[str, BinSpread]

    def of(self, bins: BinSpread) -> UnitSpread:
        """Return the spread of one distribution."""
        lowest, highest, noise = (np.array(each, np.float64) for each in (bins.lowest, bins.highest, bins.noise))
        return UnitSpread(lowest, highest, noise, self.rows, self.freedom, "units")


class Reference(JsonDocument):
    """The content of reference.json.

    Attributes:
        features: The distribution of each feature in the rows that the model was fitted on, by name.
        predictions: The distribution of each column of the graph's outputs in the test rows, by tensor and column:
            ``probabilities[1]`` is the probability of the second label, ``value[0]`` the value of a regression,
            ``values[1]`` that of the second target. Of an embedding, ``values`` is the distribution of its norm.
        drift: The difference of single days from these distributions, and the thresholds above which a day is unusual.
            Absent in older models.
        spreads: How far the units of the table differ in each distribution. Absent in older models, and if the table
            does not say which rows belong to a unit.
    """

    features: Mapping[str, Distribution]
    predictions: Mapping[str, Distribution]
    drift: Drift | None = None
    spreads: Spreads | None = None


def watched_numbers(predictions: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    """Return the numbers that the distribution of a prediction is about, float64 [rows].

    Args:
        predictions: The output tensors of the graph, [rows, n] each.
        name: A key of ``Reference.predictions``: a tensor and a column, or a tensor whose norm is meant.
    """
    tensor, _, column = name.removesuffix("]").partition("[")
    array = predictions[tensor].astype(np.float64)
    return array[:, int(column)] if column else norms(array)


def _number_codes(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.intp]:
    codes = np.searchsorted(np.array(edges, np.float64), values)
    return np.where(np.isfinite(values), codes, len(edges) + 1)


def _edges(quantiles: Sequence[float]) -> list[float]:
    return sorted({_rounded(edge) for edge in quantiles[2:-1:2]})


def _shares(quantiles: Sequence[float], missing: float) -> dict[str, float]:
    """Return the share of all training rows in each bin of a number, by the upper edge of the bin.

    The shares are estimated from 21 quantiles. If many values are equal, the error is up to half the step between two
    quantiles: 0.025.
    """
    rounded, edges = [_rounded(value) for value in quantiles], _edges(quantiles)
    cumulative = [0.0, *(_share_up_to(edge, rounded) for edge in edges), 1.0]
    names = [*map(exact, edges), "+Inf"]
    shares = {name: (1 - missing) * (cumulative[index + 1] - cumulative[index]) for index, name in enumerate(names)}
    return shares | {"missing": missing}


def _share_up_to(edge: float, quantiles: Sequence[float]) -> float:
    """Return the share of values up to one of the quantiles.

    Repeated quantiles mean repeated values. The share is then between the level of the last quantile that is not above
    the edge and the next level; the estimate is the middle.
    """
    steps = len(quantiles) - 1
    last = bisect_right(quantiles, edge) - 1
    is_discrete = len(set(quantiles)) < len(quantiles)
    return min(1.0, (last + 0.5 * is_discrete) / steps) if last < steps else 1.0


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
