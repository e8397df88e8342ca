"""What a model's answers depend on."""

from typing import Any

import numpy as np

from model_deployer.contract.outputs import Arrays
from model_deployer.training.evaluation.losses import Floats, row_losses
from model_deployer.training.evaluation.perturbation import affordable_rows, perturbed
from model_deployer.training.evaluation.scored_rows import ScoredRows

#: How often each column is shuffled.
REPEATS = 3


def importance(exam: ScoredRows, seed: int) -> dict[str, Any]:
    """How much worse the model is once a column says nothing about its row any more.

    Permutation importance (Breiman, 2001, "Random forests"; Fisher et al., 2019, "All models are wrong, but many are
    useful"): a column is shuffled among the rows, and the loss rises by what the model took from it alone. Of two
    columns that say the same, each may seem to matter little.

    Args:
        exam: The model and the test rows; with many features few of the rows are asked for.
        seed: Decides which rows, and how they are shuffled.

    Returns:
        ``loss``: the metric; ``value``: what it is on the rows as they are; ``rows``; ``repeats``;
        and ``features``, the most important first: ``feature``, ``rise`` of the loss, the mean of the repeats, and
        ``spread``, their standard deviation.
    """
    sample = exam.sample(affordable_rows(exam, REPEATS * len(exam.features)), seed)
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(len(sample)) for _ in range(REPEATS)])
    value = sample.score(sample.losses)
    entries = [
        {"feature": feature.name, **_rise(_scores(sample, answers) - value)}
        for feature, answers in perturbed(sample, exam.features, lambda column: column[order], REPEATS)
    ]
    return {
        "loss": exam.loss,
        "value": value,
        "rows": len(sample),
        "repeats": REPEATS,
        "features": sorted(entries, key=lambda entry: -entry["rise"]),
    }


def _scores(sample: ScoredRows, answers: Arrays) -> Floats:
    """The loss on each copy of the rows."""
    losses = row_losses(np.tile(sample.target, REPEATS), answers, sample.output)
    return np.array([sample.score(each) for each in losses.reshape(REPEATS, -1)])


def _rise(rises: Floats) -> dict[str, Any]:
    return {"rise": float(rises.mean()), "spread": float(rises.std(ddof=1))}
