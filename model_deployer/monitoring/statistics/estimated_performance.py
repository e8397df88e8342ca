"""How good a model probably is before labels arrive, from its calibrated probabilities.

A calibrated probability says how often its decision is wrong, so the mean over live rows estimates the risk
(confidence-based performance estimation; Kivimaeki et al., "Confidence-based estimators for predictive performance in
model monitoring", arXiv 2407.08649). It holds only where calibration was shown, and is blind to a changed relation
between fields and label. Each interval is widened by the calibration error, and belongs next to the
:class:`TrackRecord`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_deployer.monitoring.statistics.blocks import block_means
from model_deployer.monitoring.statistics.estimate import Estimate
from model_deployer.monitoring.statistics.evidence import Floats, Ints
from model_deployer.monitoring.statistics.normal_means import mean_interval
from model_deployer.monitoring.statistics.ranking import auc


@dataclass(frozen=True)
class DecisionRule:
    """How probabilities become decisions, and how far the probabilities may be wrong.

    Attributes:
        threshold: The decision is the label of interest if its probability is at least this.
        false_positive: The cost of a wrong decision for it.
        false_negative: The cost of a wrong decision against it.
        calibration_error: The upper end of the interval of the calibration error in the evaluation: how far
            probabilities are from shares, on average.
    """

    threshold: float
    calibration_error: float
    false_positive: float = 1.0
    false_negative: float = 1.0


@dataclass(frozen=True)
class EstimatedPerformance:
    """What probabilities say about the performance, without labels.

    Attributes:
        error: The share of wrong decisions.
        cost: The mean cost of a decision.
        brier: The mean squared error of the probabilities.
        auc: The area under the ROC curve, without an interval: how well probabilities would rank if they were right.
        rows: The number of rows.
    """

    error: Estimate
    cost: Estimate
    brier: Estimate
    auc: float
    rows: int


@dataclass(frozen=True)
class TrackRecord:
    """How earlier estimates compare with what labels showed later.

    Attributes:
        estimates: The number of estimates whose value is known by now.
        covered: The number of them whose interval contained it.
        bias: The mean of estimate minus value; NaN without any.
        error: The mean size of this difference; NaN without any.
    """

    estimates: int
    covered: int
    bias: float
    error: float


def estimated_performance(
    probabilities: Floats, blocks: Ints, rule: DecisionRule, alpha: float = 0.05
) -> EstimatedPerformance:
    """Return the expected performance.

    Args:
        probabilities: The calibrated probability of the label of interest, float64 [rows]; at least one row.
        blocks: The block of each row, int64 [rows].
        rule: The decisions and the calibration error.
        alpha: The probability that an interval is ever wrong, if the calibration error is as stated.
    """
    is_positive = probabilities >= rule.threshold
    wrong = np.where(is_positive, 1 - probabilities, probabilities)
    costs = wrong * np.where(is_positive, rule.false_positive, rule.false_negative)

    def estimate(expected: Floats, bound: float) -> Estimate:
        means = block_means(expected, blocks)
        low, high = mean_interval(means, alpha)
        margin = rule.calibration_error * bound
        return Estimate(means.mean, max(0.0, low - margin), min(bound, high + margin))

    return EstimatedPerformance(
        error=estimate(wrong, 1.0),
        cost=estimate(costs, max(rule.false_positive, rule.false_negative)),
        brier=estimate(probabilities * (1 - probabilities), 1.0),
        auc=auc(probabilities, probabilities, 1 - probabilities),
        rows=len(probabilities),
    )


def track_record(estimates: Sequence[Estimate], values: Sequence[float]) -> TrackRecord:
    """Return how earlier estimates compare with the values that labels showed.

    Args:
        estimates: The estimates.
        values: The value of each from labels; NaN where they have not arrived.
    """
    pairs = [(each, value) for each, value in zip(estimates, values, strict=True) if np.isfinite(value)]
    differences = np.array([each.value - value for each, value in pairs])
    return TrackRecord(
        estimates=len(pairs),
        covered=sum(each.low <= value <= each.high for each, value in pairs),
        bias=float(differences.mean()) if pairs else float("nan"),
        error=float(np.abs(differences).mean()) if pairs else float("nan"),
    )
