"""What a model's answers depend on."""

import numpy as np

from model_deployer.contract.evaluation import FeatureImportance, Importance
from model_deployer.contract.outputs import Arrays
from model_deployer.training.evaluation.losses import Floats, row_losses
from model_deployer.training.evaluation.perturbation import affordable_rows, perturbed
from model_deployer.training.evaluation.scored_rows import ScoredRows

#: How often each column is shuffled.
REPEATS = 3


def importance(exam: ScoredRows, seed: int) -> Importance:
    """How much worse the model is once a column says nothing about its row any more.

    Permutation importance (Breiman, 2001, "Random forests"; Fisher et al., 2019, "All models are wrong, but many are
    useful"): a column is shuffled among the rows, and the loss rises by what the model took from it alone. Of two
    columns that say the same, each may seem to matter little.

    Args:
        exam: The model and the test rows; with many features few of the rows are asked for.
        seed: Decides which rows, and how they are shuffled.
    """
    sample = exam.sample(affordable_rows(exam, REPEATS * len(exam.features)), seed)
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(len(sample)) for _ in range(REPEATS)])
    value = sample.score(sample.losses)
    features = [
        _importance(feature.name, _scores(sample, answers) - value)
        for feature, answers in perturbed(sample, exam.features, lambda column: column[order], REPEATS)
    ]
    return Importance(
        loss=exam.loss,
        value=value,
        rows=len(sample),
        repeats=REPEATS,
        features=tuple(sorted(features, key=lambda one: -one.rise)),
    )


def _scores(sample: ScoredRows, answers: Arrays) -> Floats:
    """The loss on each copy of the rows."""
    losses = row_losses(np.tile(sample.target, REPEATS), answers, sample.output)
    return np.array([sample.score(each) for each in losses.reshape(REPEATS, -1)])


def _importance(feature: str, rises: Floats) -> FeatureImportance:
    return FeatureImportance(feature=feature, rise=float(rises.mean()), spread=float(rises.std(ddof=1)))
