"""Measure how well one column alone predicts the target.

A column that predicts it (nearly) perfectly was probably written after the outcome was known.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from model_deployer.training.data.columns import canonical, missing
from model_deployer.training.data.target import Target

#: A column whose association with the target is at least this is a leak.
LEAK_THRESHOLDS = {"classification": 0.999, "regression": 0.9999}

#: A column whose association is at least this is suspicious: few columns that are known in time predict so well.
SUSPICION_THRESHOLDS = {"classification": 0.975, "regression": 0.98}

#: A column is one-sided if at least this share of its filled rows is of one class, and that class has at most
#: ``MAX_CLASS_SHARE`` of all rows.
MIN_ONE_SIDED_SHARE, MAX_CLASS_SHARE = 0.99, 0.9

#: Fewer rows are not evidence: a column may separate them by chance.
MIN_ROWS = 50

_MAX_ROWS = 50_000
_MAX_CLASSES = 10
_BINS = 100
_Numbers = NDArray[np.float64]


def leaks(column: pl.Series, target: Target, seed: int) -> bool:
    """Return whether a column alone predicts the target (nearly) perfectly, by its order or by its levels."""
    return _reaches(LEAK_THRESHOLDS, column, target, seed)


def is_suspicious(column: pl.Series, target: Target, seed: int) -> bool:
    """Return whether a column alone predicts the target nearly as well as a leak does."""
    return _reaches(SUSPICION_THRESHOLDS, column, target, seed)


def one_sided_class(column: pl.Series, target: Target) -> str | None:
    """Return the label of the only class whose rows have a value in a column, as of a closing date.

    Up to 1 % of the values may belong to other classes. The result is None if there is no such class, or if the column
    has no missing value.
    """
    filled = ~missing(column).to_numpy()
    if target.labels is None or filled.all() or filled.sum() < MIN_ROWS:
        return None
    shares = np.bincount(target.values[filled], minlength=len(target.labels)) / filled.sum()
    code = int(shares.argmax())
    is_common = np.mean(target.values == code) > MAX_CLASS_SHARE
    return target.labels[code] if shares[code] >= MIN_ONE_SIDED_SHARE and not is_common else None


def _reaches(thresholds: Mapping[str, float], column: pl.Series, target: Target, seed: int) -> bool:
    task = "regression" if target.labels is None else "classification"
    return len(column) >= MIN_ROWS and association(column, target, seed) >= thresholds[task]


def association(column: pl.Series, target: Target, seed: int) -> float:
    """Return how well a column alone orders the target, from 0 to 1.

    For classes, the measure is the area under the ROC curve (each class against the others, weighted by size). For
    numbers, it is the absolute rank correlation (Spearman). The better of two measurements counts: one of the column
    as numbers, and one of its levels. The second assigns to each level the mean target of one half of the rows and
    measures on the other half, so that an identifier gains nothing.

    Args:
        column: The values, one per row.
        target: The target of the same rows.
        seed: Selects the rows: at most 50,000 are used.
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(column))[:_MAX_ROWS]
    column, truth = column[rows], target.values[rows]
    return max(_numeric_association(column, truth, target), _level_association(column, truth, target))


def numbers(column: pl.Series) -> pl.Series:
    """Return a column as Float64: times as seconds, strings parsed; null if a value is not a number."""
    return canonical(column, "datetime" if column.dtype.is_temporal() else "numeric")


def _numeric_association(column: pl.Series, truth: NDArray[np.generic], target: Target) -> float:
    values = numbers(column)
    if target.labels is None:
        known = values.is_not_null().to_numpy()
        return _correlation(values.to_numpy()[known], truth[known]) if known.mean() >= 0.5 else 0.0
    if values.null_count() == len(values):
        return 0.0
    if len(target.labels) > 2:
        return _binned_association(values, truth, target)
    area = _area(truth == 1, values.fill_null(float("-inf")).rank().to_numpy())
    return max(area, 1 - area)


def _binned_association(values: pl.Series, truth: NDArray[np.generic], target: Target) -> float:
    """Return the association of numbers with several classes: that of the bins of their ranks."""
    ranks = values.fill_null(float("-inf")).rank("ordinal")
    return _level_association((ranks * _BINS / (len(ranks) + 1)).cast(pl.Int64), truth, target)


def _level_association(column: pl.Series, truth: NDArray[np.generic], target: Target) -> float:
    levels = canonical(column, "categorical").fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    half = len(levels) // 2  # the rows are in random order
    counts = np.bincount(levels[:half], minlength=levels.max() + 1)
    is_known = counts[levels[half:]] > 0
    if is_known.mean() < 0.5:
        return 0.0
    test_levels, test_truth = levels[half:][is_known], truth[half:][is_known]

    def level_means(values: NDArray[np.generic]) -> _Numbers:
        sums = np.bincount(levels[:half], weights=values[:half], minlength=len(counts))
        return np.asarray(sums[test_levels] / counts[test_levels])

    if target.labels is None:
        return _correlation(level_means(truth), test_truth)
    sizes = np.bincount(test_truth)
    common = [code for code in np.argsort(-sizes)[:_MAX_CLASSES] if 0 < sizes[code] < len(test_truth)]
    if not common:
        return 0.0
    areas = [_area(test_truth == code, level_means(truth == code)) for code in common]
    return float(np.average(areas, weights=sizes[common]))


def _area(positive: NDArray[np.bool_], score: _Numbers) -> float:
    return float(roc_auc_score(positive, score)) if positive.any() and not positive.all() else 0.0


def _correlation(left: NDArray[np.generic], right: NDArray[np.generic]) -> float:
    both = pl.DataFrame({"left": left, "right": right})
    value = both.select(pl.corr("left", "right", method="spearman")).item()
    return 0.0 if value is None or np.isnan(value) else abs(float(value))
