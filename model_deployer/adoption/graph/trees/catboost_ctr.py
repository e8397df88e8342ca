"""Statistics of categories in CatBoost's models (CTR), as tables over the known categories.

CatBoost replaces a category, or a combination of categories and conditions, with a number: the share of a label among
the training rows with this category, or how frequent it is (Prokhorenkova et al., 2018, "CatBoost: unbiased boosting
with categorical features"). The file has the counts by a hash of the combination.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.trees.tree import Numbers
from model_deployer.adoption.graph.unsupported import UnsupportedModel

#: How many combinations of categories are tried, and how many a table of the graph has, at most.
_MAX_TRIED, _MAX_COMBINATIONS = 4_000_000, 100_000

_EMPTY = (1 << 64) - 1
_MULTIPLIER = np.uint64(0x4906BA494954CB65)

_Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Condition:
    """What a split asks, and a part of a combination: a number above a border, or a category equal to a value.

    Attributes:
        feature: The index among the features of numbers, of categories or of statistics.
        border: The border; None for a category.
        value: The hash of the category; None for a number or a statistic.
        is_statistic: Whether the number is a statistic.
    """

    feature: int
    border: float | None = None
    value: int | None = None
    is_statistic: bool = False


@dataclass(frozen=True)
class Combination:
    """What a statistic is of: categories first, and then conditions."""

    categories: tuple[int, ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Statistic:
    """One number that replaces a combination.

    Attributes:
        combination: What it is of.
        kind: How it is computed: "Borders", "Buckets", "Counter", "FeatureFreq", "BinarizedTargetMeanValue" or
            "FloatTargetMeanValue".
        counts: What training counted, by the hash of the combination.
        denominator: The largest count, for the frequencies.
        label: The label, or the number of the border between labels, that is counted.
        prior: The prior, as a numerator and a denominator.
        shift, scale: The number is ``(share + shift) * scale``.
    """

    combination: Combination
    kind: str
    counts: Mapping[int, Sequence[float]]
    denominator: float
    label: int
    prior: tuple[float, float]
    shift: float
    scale: float

    def values(self, hashes: _Hashes) -> Numbers:
        """Return the number of each combination by its hash, double [combinations]; see also :meth:`unknown`."""
        return np.array([self._value(*self._counted(self.counts.get(key))) for key in hashes.tolist()], np.float64)

    def unknown(self) -> float:
        """Return the number of a combination that training did not see."""
        return self._value(0, 0)

    def _counted(self, counts: Sequence[float] | None) -> tuple[float, float]:
        if counts is None:
            return 0, 0
        if self.kind in ("Counter", "FeatureFreq"):
            return counts[0], self.denominator
        if self.kind in ("BinarizedTargetMeanValue", "FloatTargetMeanValue"):
            return counts[0], counts[1]
        if self.kind == "Buckets":
            return counts[self.label], sum(counts)
        if self.kind == "Borders":
            return sum(counts[self.label + 1 :]), sum(counts)
        raise UnsupportedModel(f"the CatBoost statistic '{self.kind}' has no graph writer")

    def _value(self, count: float, total: float) -> float:
        """Compute with float32, as CatBoost does."""
        numerator = np.float32(count) + np.float32(self.prior[0])
        share = numerator / (np.float32(total) + np.float32(self.prior[1]))
        return float((share + np.float32(self.shift)) * np.float32(self.scale))


def parse_statistic(ctr: Mapping[str, Any], data: Mapping[str, Any]) -> Statistic:
    """Read one element of ``features_info.ctrs`` with the counts of ``ctr_data``."""
    table = data[ctr["identifier"]]
    stride = int(table["hash_stride"])
    flat = table["hash_map"]
    rows = (flat[at : at + stride] for at in range(0, len(flat), stride))
    counts = {int(row[0]): [float(count) for count in row[1:]] for row in rows if int(row[0]) != _EMPTY}
    return Statistic(
        combination=_combination(ctr["elements"]),
        kind=ctr["ctr_type"],
        counts=counts,
        denominator=float(table.get("counter_denominator", 0)),
        label=int(ctr["target_border_idx"]),
        prior=(float(ctr["prior_numerator"]), float(ctr["prior_denomerator"])),
        shift=float(ctr["shift"]),
        scale=float(ctr["scale"]),
    )


def _combination(elements: Sequence[Mapping[str, Any]]) -> Combination:
    categories, conditions = [], []
    for element in elements:
        kind = element["combination_element"]
        if kind == "cat_feature_value":
            categories.append(int(element["cat_feature_index"]))
        elif kind == "cat_feature_exact_value":
            value = int(element["value"]) & 0xFFFFFFFF
            conditions.append(Condition(int(element["cat_feature_index"]), value=value))
        elif kind == "float_feature":
            conditions.append(Condition(int(element["float_feature_index"]), border=float(element["border"])))
        else:
            raise UnsupportedModel(f"the CatBoost feature '{kind}' has no graph writer")
    return Combination(tuple(categories), tuple(conditions))


def combination_hashes(combination: Combination, categories: Sequence[_Hashes]) -> _Hashes:
    """Return the hashes of all combinations, the last part varying fastest, uint64 [combinations].

    Args:
        combination: The combination.
        categories: For each of its categories, the hashes of the known ones, uint64.

    Raises:
        UnsupportedModel: if there are too many.
    """
    parts = [_signed(hashes) for hashes in categories]
    parts += [np.array([0, 1], np.uint64)] * len(combination.conditions)
    if np.prod([len(part) for part in parts], dtype=float) > _MAX_TRIED:
        raise UnsupportedModel("the CatBoost model has too many combinations of categories for a graph")
    result = np.zeros(1, np.uint64)
    for part in parts:
        with np.errstate(over="ignore"):
            result = (_MULTIPLIER * (result[:, None] + _MULTIPLIER * part[None, :])).reshape(-1)
    return result


def check_size(sizes: Sequence[int]) -> None:
    """Check that a table over all combinations is small enough for a graph.

    Raises:
        UnsupportedModel: if it is not.
    """
    if np.prod(sizes, dtype=float) > _MAX_COMBINATIONS:
        raise UnsupportedModel("the CatBoost model has too many combinations of categories for a graph")


def _signed(hashes: _Hashes) -> _Hashes:
    """Extend hashes of 32 bits to 64 bits with their sign, as CatBoost does."""
    return hashes.astype(np.uint32).view(np.int32).astype(np.int64).view(np.uint64)
