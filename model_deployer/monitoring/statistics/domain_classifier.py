"""Which way live rows moved, over all fields together: a classifier between them and rows of the training table.

The AUC of a classifier between both is 0.5 if nothing moved (Lopez-Paz, Oquab, "Revisiting classifier two-sample
tests", arXiv 1610.06545). It is cross-fitted: each row is scored by a classifier that saw no row of its block, so rows
of one day or client do not recognize each other. The fields whose shuffling lowers the AUC most are those that moved.
This is for one look; what alarms is :mod:`~model_deployer.monitoring.statistics.field_drift`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from model_deployer.monitoring.statistics.estimate import Estimate, bootstrapped
from model_deployer.monitoring.statistics.evidence import Floats, Ints
from model_deployer.monitoring.statistics.ranking import auc

#: The number of parts of the cross-fitting.
FOLDS = 5

#: The rows of either kind that are used at most.
MAX_ROWS = 20_000

Model = Literal["trees", "linear"]


@dataclass(frozen=True)
class Sample:
    """Rows of one kind.

    Attributes:
        values: The fields as numbers, float64 [rows, fields], NaN if missing: categories as codes.
        blocks: The block of each row, int64 [rows].
    """

    values: Floats
    blocks: Ints


@dataclass(frozen=True)
class MovedField:
    """A field whose values differ between live rows and those of the table.

    Attributes:
        name: The name of the field.
        drop: How much the AUC falls if the values of this field are shuffled.
    """

    name: str
    drop: float


@dataclass(frozen=True)
class DomainClassifier:
    """How well a classifier separates live rows from those of the table.

    Attributes:
        auc: The AUC with its bootstrap interval over blocks.
        fields: The fields, the one with the largest drop first; only those whose drop is above 0.
    """

    auc: Estimate
    fields: tuple[MovedField, ...]


def domain_classifier(
    reference: Sample, live: Sample, names: Sequence[str], model: Model = "trees", seed: int = 0
) -> DomainClassifier:
    """Return how well a classifier separates live rows from rows of the table. It needs scikit-learn.

    Args:
        reference: Rows of the table, at least five blocks.
        live: Live rows, at least five blocks.
        names: The names of the fields.
        model: Gradient boosted trees, or logistic regression, which finds less and takes less time.
        seed: The seed of all that is drawn at random.

    Raises:
        ValueError: if either has fewer than five blocks.
    """
    if min(len(np.unique(reference.blocks)), len(np.unique(live.blocks))) < FOLDS:
        raise ValueError(f"Expected at least {FOLDS} blocks of the table and of live traffic.")
    random = np.random.default_rng(seed)
    rows = _together(_limited(reference, random), _limited(live, random))
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 (comes with scikit-learn)

    # Threads of small trees wait for each other longer than they work.
    with threadpool_limits(1):
        scores, shuffled = _cross_fitted(rows, _Fitting(model, seed), random)
    is_live, is_reference = rows.is_live, 1 - rows.is_live
    area = bootstrapped(lambda some: auc(scores[some], is_live[some], is_reference[some]), rows.blocks, 0.05, seed)
    drops = [area.value - auc(column, is_live, is_reference) for column in shuffled]
    moved = [MovedField(name, drop) for name, drop in zip(names, drops, strict=True) if drop > 0]
    return DomainClassifier(area, tuple(sorted(moved, key=lambda each: -each.drop)))


class _Rows(NamedTuple):
    """Rows of both kinds: values [rows, fields], 1 for live rows and 0 for others, and blocks [rows]."""

    values: Floats
    is_live: Floats
    blocks: Ints


class _Fitting(NamedTuple):
    """How a classifier is fitted."""

    model: Model
    seed: int


def _together(reference: Sample, live: Sample) -> _Rows:
    """Return the rows of both; blocks of different kinds have different numbers."""
    old, new = (np.unique(each.blocks, return_inverse=True)[1] for each in (reference, live))
    return _Rows(
        np.concatenate([reference.values, live.values]),
        np.repeat([0.0, 1.0], [len(old), len(new)]),
        np.concatenate([old, new + old.max() + 1]),
    )


def _cross_fitted(rows: _Rows, fitting: _Fitting, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the score of each row, [rows], and with the values of each field shuffled, [fields, rows]."""
    folds = _folds(rows, random)
    scores, shuffled = np.empty(len(folds)), np.empty(rows.values.T.shape)
    for fold in range(FOLDS):
        test = folds == fold
        fitted = _fitted(rows.values[~test], rows.is_live[~test], fitting)
        scores[test] = fitted.predict_proba(rows.values[test])[:, 1]
        for field, column in enumerate(rows.values[test].T):
            changed = rows.values[test]
            changed[:, field] = random.permutation(column)
            shuffled[field, test] = fitted.predict_proba(changed)[:, 1]
    return scores, shuffled


def _limited(sample: Sample, random: np.random.Generator) -> Sample:
    if len(sample.blocks) <= MAX_ROWS:
        return sample
    rows = np.sort(random.choice(len(sample.blocks), MAX_ROWS, replace=False))
    return Sample(sample.values[rows], sample.blocks[rows])


def _folds(rows: _Rows, random: np.random.Generator) -> Ints:
    """Return the fold of each row: blocks stay together, and each fold has about as many blocks of each kind."""
    folds = np.empty(int(rows.blocks.max()) + 1, np.int64)
    for kind in (0, 1):
        own = np.unique(rows.blocks[rows.is_live == kind])
        folds[own] = random.permutation(np.arange(len(own)) % FOLDS)
    return np.asarray(folds[rows.blocks])


def _fitted(values: Floats, is_live: Floats, fitting: _Fitting) -> Any:
    """Return a fitted classifier; both kinds have the same total weight."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    if fitting.model == "trees":
        trees = HistGradientBoostingClassifier(
            max_iter=50, max_leaf_nodes=8, min_samples_leaf=50, class_weight="balanced", random_state=fitting.seed
        )
        return trees.fit(values, is_live)
    imputer = SimpleImputer(add_indicator=True, keep_empty_features=True)
    regression = LogisticRegression(class_weight="balanced", max_iter=500)
    return make_pipeline(imputer, StandardScaler(), regression).fit(values, is_live)
