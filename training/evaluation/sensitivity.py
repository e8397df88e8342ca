"""What a model answers where a value is missing."""

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import MissingFeature, MissingFeatures
from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.training.evaluation.losses import row_losses
from model_deployer.training.evaluation.perturbation import affordable_rows, perturbed
from model_deployer.training.evaluation.scored_rows import ScoredRows


def missing_values(exam: ScoredRows, seed: int) -> MissingFeatures:
    """How the answers change, and how much worse they get, when a field that may be null is null in every row.

    Args:
        exam: The model and the test rows; with many features few of the rows are asked for.
        seed: Decides which rows.
    """
    nullable = [feature for feature in exam.features if feature.nullable]
    sample = exam.sample(affordable_rows(exam, len(nullable)), seed)
    value = sample.score(sample.losses)
    features = [
        MissingFeature(
            feature=feature.name,
            missing=_share_missing(sample, feature),
            rise=sample.score(row_losses(sample.target, answers, sample.output)) - value,
            change=_change(sample, answers),
        )
        for feature, answers in perturbed(sample, nullable, _emptied)
    ]
    return MissingFeatures(
        loss=exam.loss,
        value=value,
        rows=len(sample),
        features=tuple(sorted(features, key=lambda one: -one.rise)),
    )


def _emptied(column: pl.Series) -> pl.Series:
    nothing = "" if column.dtype == pl.String else float("nan")
    return pl.Series(column.name, [nothing] * len(column), column.dtype)


def _share_missing(sample: ScoredRows, feature: Feature) -> float:
    column = sample.frame[feature.name]
    absent = column == "" if column.dtype == pl.String else column.is_nan()
    return float(np.average(absent.to_numpy(), weights=sample.weights))


def _change(sample: ScoredRows, answers: Arrays) -> float:
    name, share = ("probabilities", 0.5) if isinstance(sample.output, Classification) else ("value", 1.0)
    moved = np.abs(answers[name].astype(np.float64) - sample.answers[name])
    return float(np.average(share * moved.sum(1), weights=sample.weights))
