"""Whether a model's promises are kept: that probabilities come true as often as they say, that intervals hold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.outputs import Regression
from training.exam import Exam, Z
from training.losses import Floats
from training.quantiles import quantile_parts

#: Parts of the rows, by probability and by predicted value.
PROBABILITY_PARTS, VALUE_PARTS = 10, 5


def reliability(exam: Exam) -> dict[str, Any]:
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
        worth: Kish, 1965).
    """
    if isinstance(exam.output, Regression):
        value, lower, upper = (exam.answers[name][:, 0].astype(np.float64) for name in exam.output.tensors)
        if exam.output.quantile is not None:
            below = exam.target <= value
            return {"share_below": exam.output.quantile, "bins": list(_bins(exam, value, below, VALUE_PARTS))}
        held = (lower <= exam.target) & (exam.target <= upper)
        return {"coverage": exam.output.coverage, "bins": list(_bins(exam, value, held, VALUE_PARTS))}
    probabilities = exam.answers["probabilities"].astype(np.float64)
    if len(exam.output.labels) == 2:
        label, confidence, right = exam.output.labels[1], probabilities[:, 1], exam.target == 1
    else:
        label, confidence, right = None, probabilities.max(1), exam.target == probabilities.argmax(1)
    return {"label": label, "bins": list(_bins(exam, confidence, right, PROBABILITY_PARTS))}


def _bins(exam: Exam, answers: Floats, true: NDArray[np.bool_], parts: int) -> Iterator[dict[str, Any]]:
    part = quantile_parts(answers, parts)
    for place in range(part.max() + 1):
        rows = part == place
        weights = exam.weights[rows]
        if weights.any():
            observed = float(np.average(true[rows], weights=weights))
            low, high = _wilson(observed, float(weights.sum() ** 2 / (weights**2).sum()))
            yield {
                "rows": int(rows.sum()),
                "predicted": float(np.average(answers[rows], weights=weights)),
                "observed": observed,
                "low": low,
                "high": high,
            }


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """The interval of a share that was seen among so many rows."""
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * (share * (1 - share) / rows + Z**2 / (4 * rows**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)
