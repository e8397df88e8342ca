"""reference.json: what features and predictions looked like in training, and the bins in which live values are counted.

Live traffic is counted in the bins of a distribution (:attr:`edges` of numbers, the categories of text values), and
compared with the share that each bin had in training (:meth:`shares`).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Tag

from model_deployer.contract.document import JsonDocument, JsonObject, by_key
from model_deployer.contract.number_format import exact

#: Significant digits of an edge between bins: as many as people read.
_DIGITS = 6


class NumberDistribution(JsonObject):
    """The distribution of a number, a boolean (0 or 1) or a time (seconds since 1970).

    Attributes:
        missing: The share of rows without a value, from 0 to 1. Absent for a prediction, which is never missing.
        quantiles: The 21 quantiles from 0 to 1 in steps of 0.05, in the unit of the feature, of the rows with a value;
            empty where there are none.
    """

    missing: float = 0.0
    quantiles: tuple[float, ...]

    @property
    def edges(self) -> list[float]:
        """The edges between the bins: the deciles in training, each once. An edge belongs to the bin below it."""
        return _edges(self.quantiles)

    def shares(self) -> dict[str, float]:
        """The bins in order, with the share of all training rows that fell into each; see :func:`_shares`."""
        return _shares(self.quantiles, self.missing)


class TextDistribution(JsonObject):
    """The distribution of the length of a free text.

    Attributes:
        missing: The share of rows without a text, from 0 to 1.
        lengths: The 21 quantiles from 0 to 1 in steps of 0.05 of the length in characters, of the rows with a text;
            empty where there are none.
    """

    missing: float = 0.0
    lengths: tuple[float, ...]

    @property
    def edges(self) -> list[float]:
        """The edges between the bins of lengths; see :attr:`NumberDistribution.edges`."""
        return _edges(self.lengths)

    def shares(self) -> dict[str, float]:
        """The bins in order, with the share of all training rows that fell into each; see :func:`_shares`."""
        return _shares(self.lengths, self.missing)


class CategoryDistribution(JsonObject):
    """The distribution of a categorical value.

    Attributes:
        missing: The share of rows without a value, from 0 to 1.
        frequencies: The most frequent categories, at most 50, the most frequent first, each with its share of the rows
            with a value.
        other: The share of all other categories together, of the rows with a value.
    """

    missing: float = 0.0
    frequencies: Mapping[str, float]
    other: float

    def shares(self) -> dict[str, float]:
        """The bins in order, with the share of all training rows that fell into each: categories, other, missing."""
        shares = {name: (1 - self.missing) * share for name, share in self.frequencies.items()}
        for name, share in (("other", (1 - self.missing) * self.other), ("missing", self.missing)):
            # A category may have this name, and is then counted together with these.
            shares[name] = shares.get(name, 0.0) + share
        return shares


#: What reference.json says of one feature; it depends on the feature's kind.
Distribution = Annotated[
    Annotated[NumberDistribution, Tag("number")]
    | Annotated[TextDistribution, Tag("text")]
    | Annotated[CategoryDistribution, Tag("category")],
    by_key({"quantiles": "number", "lengths": "text", "frequencies": "category"}),
]


class Reference(JsonDocument):
    """The whole of reference.json.

    Attributes:
        features: By the feature's name, its distribution in the rows that the model learnt from.
        predictions: The distribution of each column of the graph's outputs in the test rows, by tensor and column:
            ``probabilities[1]`` is the probability of the second label, ``value[0]`` the value of a regression.
    """

    features: Mapping[str, Distribution]
    predictions: Mapping[str, NumberDistribution]


def _edges(quantiles: Sequence[float]) -> list[float]:
    return sorted({_rounded(edge) for edge in quantiles[2:-1:2]})


def _shares(quantiles: Sequence[float], missing: float) -> dict[str, float]:
    """The share of each bin of a number.

    The upper edge of a bin is its name. Shares follow from twenty quantiles, and may be off by half of the step between
    them where many values are equal.
    """
    rounded, edges = [_rounded(value) for value in quantiles], _edges(quantiles)
    below = [0.0, *(_share_up_to(edge, rounded) for edge in edges), 1.0]
    names = [*map(exact, edges), "+Inf"]
    inside = {name: (1 - missing) * (below[index + 1] - below[index]) for index, name in enumerate(names)}
    return inside | {"missing": missing}


def _share_up_to(edge: float, quantiles: Sequence[float]) -> float:
    """The share of values up to one of the quantiles.

    Where quantiles repeat, values do: the share then lies somewhere between the last quantile that is no larger and the
    next, and half-way is the best guess.
    """
    steps = len(quantiles) - 1
    last = bisect_right(quantiles, edge) - 1
    is_discrete = len(set(quantiles)) < len(quantiles)
    return min(1.0, (last + 0.5 * is_discrete) / steps) if last < steps else 1.0


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
