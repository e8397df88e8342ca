"""Whether a model's promises are kept: that probabilities come true as often as they say, that intervals hold."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.evaluation import (
    IntervalReliability,
    LabelCoverage,
    ProbabilityReliability,
    QuantileReliability,
    Reliability,
    ReliabilityBin,
    SetCoverage,
    SetSize,
)
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.quantiles import quantile_parts
from model_deployer.training.evaluation.scored_rows import ScoredRows, Z

#: Parts of the rows, by probability and by predicted value.
PROBABILITY_PARTS, VALUE_PARTS = 10, 5


@dataclass(frozen=True)
class _Share:
    """The share of some rows in which something is true, with its interval."""

    rows: int
    observed: float
    low: float
    high: float


def reliability(exam: ScoredRows) -> Reliability:
    """How often what the model promises comes true, by what it answers.

    Of a classification the reliability curve, in tenths of the rows by probability; of a quantity, in fifths by
    predicted value, the coverage of its interval, or of a quantile how often the truth stays at or below it. Intervals
    of shares are those of Wilson, 1927; with weights, of as many rows as they are worth (Kish, 1965).

    Args:
        exam: The model and the test rows.
    """
    promised, kept = exam.nominal_vs_observed
    if isinstance(exam.output, Regression):
        bins = tuple(_bins(exam, exam.answers["value"][:, 0].astype(np.float64), kept, VALUE_PARTS))
        if exam.output.quantile is None:
            return IntervalReliability(coverage=float(promised[0]), bins=bins)
        return QuantileReliability(share_below=float(promised[0]), bins=bins)
    bins = tuple(_bins(exam, promised, kept, PROBABILITY_PARTS))
    label = exam.output.labels[1] if len(exam.output.labels) == 2 else None
    if exam.output.set_threshold is None:
        return ProbabilityReliability(label=label, bins=bins)
    return ProbabilityReliability(label=label, bins=bins, sets=_sets(exam, exam.output))


def _sets(exam: ScoredRows, output: Classification) -> SetCoverage:
    sets = output.sets(exam.answers)
    held = sets[np.arange(len(exam)), exam.target]
    sizes = np.bincount(sets.sum(axis=1), exam.weights) / exam.weights.sum()
    shares = ((label, _share(exam, held, exam.target == code)) for code, label in enumerate(output.labels))
    labels = [
        LabelCoverage(label=label, rows=share.rows, observed=share.observed, low=share.low, high=share.high)
        for label, share in shares
        if share
    ]
    return SetCoverage(
        coverage=output.coverage,
        sizes=tuple(SetSize(labels=size, share=share) for size, share in enumerate(sizes.tolist()) if share),
        labels=tuple(sorted(labels, key=lambda one: one.high)),
    )


def _bins(exam: ScoredRows, answers: Floats, true: NDArray[np.bool_], parts: int) -> Iterator[ReliabilityBin]:
    part = quantile_parts(answers, parts)
    for place in range(part.max() + 1):
        rows = part == place
        if share := _share(exam, true, rows):
            yield ReliabilityBin(
                rows=share.rows,
                predicted=float(np.average(answers[rows], weights=exam.weights[rows])),
                observed=share.observed,
                low=share.low,
                high=share.high,
            )


def _share(exam: ScoredRows, true: NDArray[np.bool_], rows: NDArray[np.bool_]) -> _Share | None:
    """None where the rows have no weight."""
    weights = exam.weights[rows]
    if not weights.any():
        return None
    observed = float(np.average(true[rows], weights=weights))
    low, high = _wilson(observed, float(weights.sum() ** 2 / (weights**2).sum()))
    return _Share(int(rows.sum()), observed, low, high)


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """The interval of a share that was seen among so many rows."""
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * (share * (1 - share) / rows + Z**2 / (4 * rows**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)
