"""How well one column alone tells the target; a column that tells it all was probably written after the fact."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from model_deployer.training.data.columns import canonical, missing
from model_deployer.training.data.target import Target

#: From these associations on a column counts as a leak.
LEAK = {"classification": 0.999, "regression": 0.9999}

#: From these on it is too good to be passed over in silence; few columns that are known in time tell so much.
SUSPICION = {"classification": 0.975, "regression": 0.98}

#: The share of the rows with a value that have to be of one class, where the column is filled for it alone; and the
#: most that class may have of all rows.
ONE_SIDED, COMMON = 0.99, 0.9

#: Fewer rows are no evidence: some column tells them apart by chance.
FEWEST_ROWS = 50

_ROWS = 50_000
_CLASSES = 10
_Numbers = NDArray[np.float64]


def leaks(column: pl.Series, target: Target, seed: int) -> bool:
    """Whether a column tells the target (nearly) perfectly on its own, by its order or by its levels."""
    return _reaches(LEAK, column, target, seed)


def is_suspicious(column: pl.Series, target: Target, seed: int) -> bool:
    """Whether it tells nearly as much."""
    return _reaches(SUSPICION, column, target, seed)


def filled_for(column: pl.Series, target: Target) -> str | None:
    """The only class, if there is one, for which a column with gaps holds a value: as a date of closing does."""
    filled = ~missing(column).to_numpy()
    if target.labels is None or filled.all() or filled.sum() < FEWEST_ROWS:
        return None
    shares = np.bincount(target.values[filled], minlength=len(target.labels)) / filled.sum()
    code = int(shares.argmax())
    is_common = np.mean(target.values == code) > COMMON
    return target.labels[code] if shares[code] >= ONE_SIDED and not is_common else None


def _reaches(least: Mapping[str, float], column: pl.Series, target: Target, seed: int) -> bool:
    task = "regression" if target.labels is None else "classification"
    return len(column) >= FEWEST_ROWS and association(column, target, seed) >= least[task]


def association(column: pl.Series, target: Target, seed: int) -> float:
    """How well a column alone orders the target, from 0 to 1.

    The measure is the area under the ROC curve for classes (each against the others, weighted by size) and the absolute
    rank correlation (Spearman) for numbers. It is taken of the column's numbers, and of its levels: each level is given
    the mean target of one half of the rows and judged on the other half, so that an identifier tells nothing. At most
    50,000 rows are looked at.
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(column))[:_ROWS]
    column, truth = column[rows], target.values[rows]
    return max(_by_order(column, truth, target), _by_level(column, truth, target))


def numbers(column: pl.Series) -> pl.Series:
    """A column as numbers: times as seconds, strings where they read as such; null where a value is none."""
    return canonical(column, "datetime" if column.dtype.is_temporal() else "numeric")


def _by_order(column: pl.Series, truth: NDArray[np.generic], target: Target) -> float:
    values = numbers(column)
    if target.labels is None:
        known = values.is_not_null().to_numpy()
        return _correlation(values.to_numpy()[known], truth[known]) if known.mean() >= 0.5 else 0.0
    if len(target.labels) > 2 or values.null_count() == len(values):
        return 0.0
    area = _area(truth == 1, values.fill_null(float("-inf")).rank().to_numpy())
    return max(area, 1 - area)


def _by_level(column: pl.Series, truth: NDArray[np.generic], target: Target) -> float:
    levels = canonical(column, "categorical").fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    half = len(levels) // 2  # the rows are in random order
    counts = np.bincount(levels[:half], minlength=levels.max() + 1)
    known = counts[levels[half:]] > 0
    if known.mean() < 0.5:
        return 0.0
    seen, judged = levels[half:][known], truth[half:][known]

    def mean(values: NDArray[np.generic]) -> _Numbers:
        sums = np.bincount(levels[:half], weights=values[:half], minlength=len(counts))
        return np.asarray(sums[seen] / counts[seen])

    if target.labels is None:
        return _correlation(mean(truth), judged)
    sizes = np.bincount(judged)
    common = [code for code in np.argsort(-sizes)[:_CLASSES] if 0 < sizes[code] < len(judged)]
    if not common:
        return 0.0
    areas = [_area(judged == code, mean(truth == code)) for code in common]
    return float(np.average(areas, weights=sizes[common]))


def _area(positive: NDArray[np.bool_], score: _Numbers) -> float:
    return float(roc_auc_score(positive, score)) if positive.any() and not positive.all() else 0.0


def _correlation(left: NDArray[np.generic], right: NDArray[np.generic]) -> float:
    both = pl.DataFrame({"left": left, "right": right})
    value = both.select(pl.corr("left", "right", method="spearman")).item()
    return 0.0 if value is None or np.isnan(value) else abs(float(value))
