"""Whether live probabilities still mean what they say, and whether they still rank: what recalibration can repair.

The null hypothesis is that the labels of a block agree with its probabilities within a tolerance, on average, and the
rows with high probabilities as well as those with low ones. If it fails while the AUC holds, new calibration nodes are
enough; if the AUC falls, too, the model has to learn again (Van Calster et al., 2019, "Calibration: the Achilles heel
of predictive analytics").
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_deployer.monitoring.statistics.blocks import block_means
from model_deployer.monitoring.statistics.estimate import Estimate, bootstrapped
from model_deployer.monitoring.statistics.evidence import (
    YEAR_DAYS,
    Alarm,
    Evidence,
    Floats,
    Ints,
    average_evidence,
)
from model_deployer.monitoring.statistics.normal_means import mean_evidence, mean_interval
from model_deployer.monitoring.statistics.ranking import auc_of_labels

#: Probabilities are at least this far from 0 and 1 where their log odds are needed.
_MIN_PROBABILITY = 1e-6

#: The steps of Newton's method for two parameters, and the number of rows with each label without which none is made.
_STEPS, _MIN_LABELS = 25, 5

Ranking = Literal["held", "worse", "not known yet"]


@dataclass(frozen=True)
class LabelledRows:
    """Rows of live traffic whose labels have arrived.

    Attributes:
        probabilities: The probability of the label of interest, float64 [rows].
        labels: Whether the label is it, bool [rows].
        blocks: The block of each row, int64 [rows]; a day, in most cases. Later blocks have larger numbers.
    """

    probabilities: Floats
    labels: NDArray[np.bool_]
    blocks: Ints


@dataclass(frozen=True)
class PromisedRanking:
    """What the evaluation promises about probabilities.

    Attributes:
        auc: The AUC in the evaluation. auc_tolerance: How much lower the live AUC may be; at least the half width of
            the interval of the evaluation. bias_tolerance: How far the mean probability may be from the share of the
            label, as the upper end of the interval of the calibration error.
    """

    auc: float
    auc_tolerance: float
    bias_tolerance: float


@dataclass(frozen=True)
class CalibrationShift:
    """What labels say about probabilities.

    Attributes:
        evidence: The e-process against the hypothesis that probabilities are right within the tolerance.
        alarm: The first alarm; None if there is none.
        bias: The share of the label minus the mean probability; its interval holds at any look.
        slope: The slope of the label's log odds over the predicted ones: below 1 if probabilities are too extreme. Its
            interval is for one look; NaN with too few labels.
        auc: The live AUC; its interval is for one look.
        ranking: Whether the live AUC is as high as promised.
    """

    evidence: Evidence
    alarm: Alarm | None
    bias: Estimate
    slope: Estimate
    auc: Estimate
    ranking: Ranking


def calibration_shift(rows: LabelledRows, promised: PromisedRanking, alpha: float, seed: int) -> CalibrationShift:
    """Return the evidence that probabilities do not mean what they say any more.

    Args:
        rows: The labelled rows; at least one.
        promised: What the evaluation promises.
        alpha: The largest probability of a false alarm; that of each interval.
        seed: The seed of the bootstrap.
    """
    evidence = calibration_evidence(rows, promised.bias_tolerance)
    excess = block_means(rows.labels - rows.probabilities, rows.blocks)
    ranks = auc_of_labels(rows.probabilities, rows.labels, rows.blocks, alpha, seed)
    slope = bootstrapped(
        lambda chosen: recalibration(rows.probabilities[chosen], rows.labels[chosen])[1], rows.blocks, alpha, seed
    )
    return CalibrationShift(
        evidence=evidence,
        alarm=evidence.alarm(alpha),
        bias=Estimate(excess.mean, *mean_interval(excess, alpha, _binomial_variances(rows))),
        slope=slope,
        auc=ranks,
        ranking=_ranking(ranks, promised.auc - promised.auc_tolerance),
    )


def calibration_evidence(rows: LabelledRows, tolerance: float, horizon: int = YEAR_DAYS) -> Evidence:
    """Return the e-process against the hypothesis that probabilities are right within a tolerance.

    It is the average of two: of all rows, and of rows with high probabilities against those with low ones.

    Args:
        rows: The labelled rows; at least one.
        tolerance: How far the mean probability of a block may be from the share of the label, on average.
        horizon: The number of blocks of a budget of false alarms.
    """
    residuals = rows.labels - rows.probabilities
    least = _binomial_variances(rows)
    parts = (residuals, residuals * _sides(rows))
    return average_evidence(
        [mean_evidence(block_means(each, rows.blocks), tolerance, horizon, least) for each in parts]
    )


def recalibration(probabilities: Floats, labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Return intercept and slope of the logistic regression of the label on the predicted log odds.

    They are 0 and 1 for calibrated probabilities (Cox, 1958, "Two further applications of a model for binary
    regression"), and NaN with fewer than five rows of either label.

    Args:
        probabilities: The predicted probabilities, float64 [rows].
        labels: The labels, bool [rows].
    """
    if min(labels.sum(), (~labels).sum()) < _MIN_LABELS:
        return float("nan"), float("nan")
    clipped = probabilities.clip(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    columns = np.column_stack([np.ones(len(labels)), np.log(clipped / (1 - clipped))])
    parameters = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        fitted = 1 / (1 + np.exp(-(columns @ parameters).clip(-30, 30)))
        information = columns.T @ (columns * (fitted * (1 - fitted) + 1e-9)[:, None])
        step = np.linalg.lstsq(information, columns.T @ (labels - fitted), rcond=None)[0]
        parameters = parameters + step.clip(-1, 1)
    return float(parameters[0]), float(parameters[1])


def _binomial_variances(rows: LabelledRows) -> Floats:
    """Return the variance of the share of the label in each block if probabilities are right, [blocks].

    Days differ more than that; but before the first rare label, they seem not to differ at all.
    """
    single = block_means(rows.probabilities * (1 - rows.probabilities), rows.blocks)
    return single.means / single.weights


def _sides(rows: LabelledRows) -> Floats:
    """Return 1 for rows with a probability above the median of their block, else -1, [rows]."""
    _, positions = np.unique(rows.blocks, return_inverse=True)
    order = np.lexsort([rows.probabilities, positions])
    starts = np.searchsorted(positions[order], np.arange(positions.max() + 1))
    ends = np.append(starts[1:], len(order))
    medians = rows.probabilities[order][(starts + ends) // 2]
    return np.where(rows.probabilities >= medians[positions], 1.0, -1.0)


def _ranking(live: Estimate, lowest: float) -> Ranking:
    if live.low >= lowest:
        return "held"
    return "worse" if live.high < lowest else "not known yet"
