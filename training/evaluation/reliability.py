"""Reliability: the observed frequencies for predicted probabilities, intervals, quantiles and prediction sets."""

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

#: The number of parts of the rows, by probability and by predicted value.
PROBABILITY_PARTS, VALUE_PARTS = 10, 5


@dataclass(frozen=True)
class _Share:
    """The share of some rows for which an event occurred, with its interval."""

    rows: int
    observed: float
    low: float
    high: float


def reliability(scored: ScoredRows) -> Reliability:
    """Compare nominal and observed frequencies in parts of the rows with similar predictions.

    A classification gets the reliability curve, in tenths of the rows by probability. A quantity gets the coverage of
    its interval, or for a quantile the share of truths at or below it, in fifths of the rows by predicted value. The
    intervals of shares are those of Wilson, 1927; with weights, the effective number of rows is used (Kish, 1965).

    Args:
        scored: The model and the test rows.
    """
    nominal, observed = scored.nominal_vs_observed
    if isinstance(scored.output, Regression):
        bins = tuple(_bins(scored, scored.answers["value"][:, 0].astype(np.float64), observed, VALUE_PARTS))
        if scored.output.quantile is None:
            return IntervalReliability(coverage=float(nominal[0]), bins=bins)
        return QuantileReliability(share_below=float(nominal[0]), bins=bins)
    bins = tuple(_bins(scored, nominal, observed, PROBABILITY_PARTS))
    label = scored.output.labels[1] if len(scored.output.labels) == 2 else None
    if scored.output.set_threshold is None:
        return ProbabilityReliability(label=label, bins=bins)
    return ProbabilityReliability(label=label, bins=bins, sets=_set_coverage(scored, scored.output))


def _set_coverage(scored: ScoredRows, output: Classification) -> SetCoverage:
    sets = output.sets(scored.answers)
    covered = sets[np.arange(len(scored)), scored.target]
    sizes = np.bincount(sets.sum(axis=1), scored.weights)
    right = np.bincount(sets.sum(axis=1), scored.weights * covered)
    shares = ((label, _share(scored, covered, scored.target == code)) for code, label in enumerate(output.labels))
    labels = [
        LabelCoverage(label=label, rows=share.rows, observed=share.observed, low=share.low, high=share.high)
        for label, share in shares
        if share
    ]
    return SetCoverage(
        coverage=output.coverage,
        sizes=tuple(
            SetSize(labels=size, share=rows / scored.weights.sum(), right=right[size] / rows)
            for size, rows in enumerate(sizes.tolist())
            if rows
        ),
        labels=tuple(sorted(labels, key=lambda label: label.high)),
    )


def _bins(scored: ScoredRows, answers: Floats, observed: NDArray[np.bool_], parts: int) -> Iterator[ReliabilityBin]:
    part_of_row = quantile_parts(answers, parts)
    for part in range(part_of_row.max() + 1):
        rows = part_of_row == part
        if share := _share(scored, observed, rows):
            yield ReliabilityBin(
                rows=share.rows,
                predicted=float(np.average(answers[rows], weights=scored.weights[rows])),
                observed=share.observed,
                low=share.low,
                high=share.high,
            )


def _share(scored: ScoredRows, observed: NDArray[np.bool_], rows: NDArray[np.bool_]) -> _Share | None:
    """Return the observed share of some rows, or None if their total weight is 0."""
    weights = scored.weights[rows]
    if not weights.any():
        return None
    share = float(np.average(observed[rows], weights=weights))
    low, high = _wilson_interval(share, float(weights.sum() ** 2 / (weights**2).sum()))
    return _Share(int(rows.sum()), share, low, high)


def _wilson_interval(share: float, rows: float) -> tuple[float, float]:
    """Return the confidence interval of a share that was observed among ``rows`` rows."""
    center = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half_width = Z / (1 + Z**2 / rows) * (share * (1 - share) / rows + Z**2 / (4 * rows**2)) ** 0.5
    low, high = max(center - half_width, 0.0), min(center + half_width, 1.0)
    return (low if share > 0 else 0.0), (high if share < 1 else 1.0)  # exactly, where rounding leaves 1e-18
