import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model_deployer.monitoring.statistics.estimate import Estimate
from model_deployer.monitoring.statistics.estimated_performance import (
    DecisionRule,
    estimated_performance,
    track_record,
)

RULE = DecisionRule(threshold=0.4, calibration_error=0.01, false_positive=1, false_negative=5)


def live(seed: int, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = random.beta(2, 5, 6000)
    labels = random.random(6000) < np.clip(probabilities + bias, 0, 1)
    return probabilities, labels, np.repeat(np.arange(60), 100)


def test_estimates_agree_with_the_labels_of_a_calibrated_model() -> None:
    """Over 100 months, at least 95 % of the intervals contain the expected value, and nearly all the realised one."""
    covered = 0
    for seed in range(100):
        probabilities, labels, blocks = live(seed)
        result = estimated_performance(probabilities, blocks, RULE)
        decisions = probabilities >= 0.4
        error = (decisions != labels).mean()
        cost = np.where(decisions, ~labels * 1.0, labels * 5.0).mean()
        covered += result.error.low <= error <= result.error.high
        assert result.error.value == pytest.approx(error, abs=0.03)
        assert result.cost.value == pytest.approx(cost, abs=0.12)
        assert result.brier.value == pytest.approx(((labels - probabilities) ** 2).mean(), abs=0.02)
        assert result.auc == pytest.approx(roc_auc_score(labels, probabilities), abs=0.04)
    assert covered >= 95


def test_the_calibration_error_widens_the_interval() -> None:
    probabilities, _, blocks = live(0)
    narrow = estimated_performance(probabilities, blocks, DecisionRule(0.4, 0.0)).error
    wide = estimated_performance(probabilities, blocks, DecisionRule(0.4, 0.05)).error
    assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low + 0.1)


def test_too_few_blocks_leave_everything_open() -> None:
    result = estimated_performance(np.array([0.2, 0.9]), np.array([0, 0]), RULE)
    assert (result.error.low, result.error.high) == (0, 1)
    assert (result.cost.low, result.cost.high) == (0, 5)


def test_the_track_record_shows_a_model_that_lost_its_calibration() -> None:
    estimates, values = [], []
    for seed in range(10):
        probabilities, labels, blocks = live(seed, bias=0.15)
        estimates.append(estimated_performance(probabilities, blocks, RULE).error)
        values.append(float(((probabilities >= 0.4) != labels).mean()))
    record = track_record(estimates, values)
    assert record.estimates == 10
    assert record.covered == 0
    assert record.bias < -0.03
    assert record.error == pytest.approx(-record.bias)


def test_a_track_record_waits_for_labels() -> None:
    record = track_record([Estimate(0.1, 0, 0.2), Estimate(0.3, 0.2, 0.4)], [0.15, np.nan])
    assert (record.estimates, record.covered) == (1, 1)
    assert np.isnan(track_record([], []).bias)
