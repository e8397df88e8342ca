"""Permutation importance: how much the predictions depend on each feature."""

import numpy as np

from model_deployer.contract.evaluation import FeatureImportance, Importance
from model_deployer.contract.outputs import Arrays
from model_deployer.training.evaluation.losses import Floats, row_losses
from model_deployer.training.evaluation.perturbation import affordable_rows, perturbed
from model_deployer.training.evaluation.scored_rows import ScoredRows

#: The number of times that each column is shuffled.
REPEATS = 3


def importance(scored: ScoredRows, seed: int) -> Importance:
    """Measure the permutation importance of every feature.

    A column is shuffled among the rows, and the loss rises by the information that the model takes from this column
    alone (Breiman, 2001, "Random forests"; Fisher et al., 2019, "All models are wrong, but many are useful"). If two
    columns contain the same information, both may have a low importance.

    Args:
        scored: The model and the test rows. With many features, only a sample of the rows is used.
        seed: The seed of the sample and of the shuffles.
    """
    sample = scored.sample(affordable_rows(scored, REPEATS * len(scored.features)), seed)
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(len(sample)) for _ in range(REPEATS)])
    value = sample.score(sample.losses)
    features = [
        _importance(feature.name, _scores(sample, answers) - value)
        for feature, answers in perturbed(sample, scored.features, lambda column: column[order], REPEATS)
    ]
    return Importance(
        loss=scored.loss,
        value=value,
        rows=len(sample),
        repeats=REPEATS,
        features=tuple(sorted(features, key=lambda feature: -feature.rise)),
    )


def _scores(sample: ScoredRows, answers: Arrays) -> Floats:
    """Return the loss metric of each copy of the rows, float64 [copies]."""
    losses = row_losses(np.tile(sample.target, REPEATS), answers, sample.output)
    return np.array([sample.score(copy) for copy in losses.reshape(REPEATS, -1)])


def _importance(feature: str, rises: Floats) -> FeatureImportance:
    return FeatureImportance(feature=feature, rise=float(rises.mean()), spread=float(rises.std(ddof=1)))
