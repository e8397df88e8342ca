"""The effect of missing values on the predictions."""

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import MissingFeature, MissingFeatures
from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.training.evaluation.losses import row_losses
from model_deployer.training.evaluation.perturbation import affordable_rows, perturbed
from model_deployer.training.evaluation.scored_rows import ScoredRows


def missing_values(scored: ScoredRows, seed: int) -> MissingFeatures:
    """Measure, for each feature that may be null, the change of predictions and loss if it is null in every row.

    Args:
        scored: The model and the test rows. With many features, only a sample of the rows is used.
        seed: The seed of the sample.
    """
    nullable = [feature for feature in scored.features if feature.nullable]
    sample = scored.sample(affordable_rows(scored, len(nullable)), seed)
    value = sample.score(sample.losses)
    features = [
        MissingFeature(
            feature=feature.name,
            missing=_share_missing(sample, feature),
            rise=sample.score(row_losses(sample.target, answers, sample.output)) - value,
            change=_change(sample, answers),
        )
        for feature, answers in perturbed(sample, nullable, _all_missing)
    ]
    return MissingFeatures(
        loss=scored.loss,
        value=value,
        rows=len(sample),
        features=tuple(sorted(features, key=lambda feature: -feature.rise)),
    )


def _all_missing(column: pl.Series) -> pl.Series:
    missing: str | float | list[float] = "" if column.dtype == pl.String else float("nan")
    if isinstance(column.dtype, pl.Array):
        missing = [float("nan")] * column.dtype.size
    if isinstance(column.dtype, pl.List):
        missing = []
    return pl.Series(column.name, [missing] * len(column), column.dtype)


def _share_missing(sample: ScoredRows, feature: Feature) -> float:
    column = sample.frame[feature.name]
    if isinstance(column.dtype, pl.Array):
        missing = np.isnan(column.to_numpy()).any(axis=1)
    elif isinstance(column.dtype, pl.List):
        missing = (column.list.len() == 0).to_numpy()
    else:
        missing = (column == "" if column.dtype == pl.String else column.is_nan()).to_numpy()
    return float(np.average(missing, weights=sample.weights))


def _change(sample: ScoredRows, answers: Arrays) -> float:
    name, factor = ("probabilities", 0.5) if isinstance(sample.output, Classification) else ("value", 1.0)
    changes = np.abs(answers[name].astype(np.float64) - sample.answers[name])
    return float(np.average(factor * changes.sum(1), weights=sample.weights))
