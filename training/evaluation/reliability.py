"""Whether a model's promises are kept: that probabilities come true as often as they say, that intervals hold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.outputs import Classification, Regression
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.quantiles import quantile_parts
from model_deployer.training.evaluation.scored_rows import ScoredRows, Z

#: Parts of the rows, by probability and by predicted value.
PROBABILITY_PARTS, VALUE_PARTS = 10, 5


def reliability(exam: ScoredRows) -> dict[str, Any]:
    """How often what the model promises comes true, by what it answers.

    Of a classification the reliability curve, in tenths of the rows by probability; of a quantity, in fifths by
    predicted value, the coverage of its interval, or of a quantile how often the truth stays at or below it.

    Args:
        exam: The model and the test rows.

    Returns:
        Of a classification ``label``: the second of two labels, or None for whichever is likeliest; of a quantity the
        promised share, as ``coverage`` or ``share_below``. And ``bins``, by ascending answer: ``rows``; ``predicted``,
        the mean of the probability or value; ``observed``, the share in which it came true, or in which the promise was
        kept; and ``low`` and ``high``, its 95 % interval (Wilson, 1927; with weights, of as many rows as they are
        worth: Kish, 1965). Where predictions carry sets also ``sets``: ``coverage``, the promised share; ``sizes``, for
        each number of labels in a set the ``share`` of the rows; and ``labels``, those that are surely missed most
        first: ``label``, ``rows``, and ``observed``, ``low`` and ``high``, the share of its rows whose set holds it.
    """
    promised, kept = exam.nominal_vs_observed
    if isinstance(exam.output, Regression):
        value = exam.answers["value"][:, 0].astype(np.float64)
        name = "coverage" if exam.output.quantile is None else "share_below"
        return {name: float(promised[0]), "bins": list(_bins(exam, value, kept, VALUE_PARTS))}
    label = exam.output.labels[1] if len(exam.output.labels) == 2 else None
    bins = {"label": label, "bins": list(_bins(exam, promised, kept, PROBABILITY_PARTS))}
    return bins if exam.output.set_threshold is None else bins | {"sets": _sets(exam, exam.output)}


def _sets(exam: ScoredRows, output: Classification) -> dict[str, Any]:
    sets = output.sets(exam.answers)
    held = sets[np.arange(len(exam)), exam.target]
    sizes = np.bincount(sets.sum(axis=1), exam.weights) / exam.weights.sum()
    shares = ((label, _share(exam, held, exam.target == code)) for code, label in enumerate(output.labels))
    labels = [{"label": label, **share} for label, share in shares if share]
    return {
        "coverage": output.coverage,
        "sizes": [{"labels": size, "share": share} for size, share in enumerate(sizes.tolist()) if share],
        "labels": sorted(labels, key=lambda one: one["high"]),
    }


def _bins(exam: ScoredRows, answers: Floats, true: NDArray[np.bool_], parts: int) -> Iterator[dict[str, Any]]:
    part = quantile_parts(answers, parts)
    for place in range(part.max() + 1):
        rows = part == place
        if share := _share(exam, true, rows):
            predicted = float(np.average(answers[rows], weights=exam.weights[rows]))
            yield {"rows": share.pop("rows"), "predicted": predicted, **share}


def _share(exam: ScoredRows, true: NDArray[np.bool_], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """In which share of some rows something is true, with its interval; nothing where they weigh nothing."""
    weights = exam.weights[rows]
    if not weights.any():
        return {}
    observed = float(np.average(true[rows], weights=weights))
    low, high = _wilson(observed, float(weights.sum() ** 2 / (weights**2).sum()))
    return {"rows": int(rows.sum()), "observed": observed, "low": low, "high": high}


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """The interval of a share that was seen among so many rows."""
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * (share * (1 - share) / rows + Z**2 / (4 * rows**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)
