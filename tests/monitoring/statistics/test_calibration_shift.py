import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from model_deployer.monitoring.statistics.blocks import Blocks
from model_deployer.monitoring.statistics.calibration_shift import (
    LabelledRows,
    PromisedRanking,
    calibration_evidence,
    calibration_shift,
    recalibration,
)
from model_deployer.monitoring.statistics.normal_means import PRIOR, mean_evidence
from model_deployer.monitoring.statistics.ranking import auc

PROMISED = PromisedRanking(auc=0.76, auc_tolerance=0.03, bias_tolerance=0.02)
Floats = NDArray[np.float64]


def labelled(days: int, seed: int, *, shift: float = 0.0, slope: float = 1.0, noise: float = 0.0) -> LabelledRows:
    """Rows of days whose true log odds are slope x predicted + shift, and a little else on each day."""
    random = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(days), 200)
    odds = random.normal(-0.5, 1.4, len(blocks))
    true = slope * odds + shift + 0.1 * random.standard_normal(days)[blocks]
    labels = random.random(len(blocks)) < 1 / (1 + np.exp(-true))
    shuffled = odds + noise * random.standard_normal(len(blocks))
    return LabelledRows(1 / (1 + np.exp(-shuffled)), labels, blocks)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_auc_is_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([float(score) for score, _ in rows]), np.array([label for _, label in rows])
    area = auc(scores, labels.astype(float), 1 - labels.astype(float))
    if labels.all() or not labels.any():
        assert np.isnan(area)
    else:
        assert area == pytest.approx(roc_auc_score(labels, scores))


def test_recalibration_is_logistic_regression() -> None:
    rows = labelled(10, 0, shift=0.4, slope=0.7)
    odds = np.log(rows.probabilities / (1 - rows.probabilities))[:, None]
    expected = LogisticRegression(C=1e12, tol=1e-8).fit(odds, rows.labels)
    intercept, slope = recalibration(rows.probabilities, rows.labels)
    assert slope == pytest.approx(expected.coef_[0, 0], abs=1e-4)
    assert intercept == pytest.approx(expected.intercept_[0], abs=1e-4)


def test_recalibration_needs_both_labels() -> None:
    assert np.isnan(recalibration(np.full(50, 0.3), np.zeros(50, bool))).all()


def test_calibrated_probabilities_have_no_alarm_and_hold_their_ranking() -> None:
    result = calibration_shift(labelled(90, 1), PROMISED, 0.05, seed=0)
    assert result.alarm is None
    assert result.bias.low < 0 < result.bias.high
    assert result.slope.low < 1 < result.slope.high
    assert result.auc.low < result.auc.value < result.auc.high
    assert result.ranking == "held"


def test_a_shifted_label_is_a_case_for_recalibration() -> None:
    before, after = labelled(60, 1), labelled(60, 2, shift=0.8)
    both = LabelledRows(
        np.concatenate([before.probabilities, after.probabilities]),
        np.concatenate([before.labels, after.labels]),
        np.concatenate([before.blocks, after.blocks + 60]),
    )
    result = calibration_shift(both, PROMISED, 0.005, seed=0)
    assert result.alarm
    assert 60 < result.alarm.period < 80
    assert abs(result.alarm.since - 60) < 5
    assert result.ranking == "held"
    assert calibration_shift(after, PROMISED, 0.05, seed=0).bias.low > 0.02


def test_probabilities_that_are_too_extreme_are_found_without_a_bias() -> None:
    result = calibration_shift(labelled(60, 3, slope=0.4, shift=-0.3), PROMISED, 0.01, seed=0)
    assert result.alarm
    assert result.slope.high < 0.6


def test_a_lost_ranking_is_not_a_case_for_recalibration() -> None:
    assert calibration_shift(labelled(60, 4, noise=2.0), PROMISED, 0.05, seed=0).ranking == "worse"


def test_evidence_of_a_mean_keeps_its_limit_at_the_tolerance() -> None:
    """In 300 years with exactly the tolerated mean, at most 5 % ever have an alarm."""
    alarms = [
        mean_evidence(Blocks(np.random.default_rng(seed).normal(0.02, 0.03, 200), np.ones(200)), 0.02).alarm(0.05)
        for seed in range(300)
    ]
    assert sum(alarm is not None for alarm in alarms) <= 15


def test_evidence_of_a_mean_is_the_bayes_factor_from_each_start() -> None:
    """Of three starts with equal weights, each factor is that of Student's t statistic; later ones wait."""
    values, weights = np.array([0.3, 0.1, 0.5]), np.array([1.0, 1, 1])
    logs = mean_evidence(Blocks(values, weights), 0.05, horizon=4).log_values

    def factor(part: Floats) -> float:
        blocks, distance = len(part), part.mean() - 0.05
        if blocks < 2:
            return 1.0
        statistic = blocks * distance**2 / ((part - part.mean()) ** 2).sum()
        growth = 1 + blocks * PRIOR**2
        return float(((1 + statistic) / (1 + statistic / growth)) ** (blocks / 2) / np.sqrt(growth))

    expected = [(sum(factor(values[start:end]) for start in range(end)) + 4 - end) / 4 for end in (1, 2, 3)]
    assert np.exp(logs) == pytest.approx(expected)


@pytest.mark.parametrize(("share", "rows"), [(0.3, 20), (0.02, 20), (0.002, 50), (0.5, 3)])
def test_rare_labels_and_small_days_are_no_false_alarm(share: float, rows: int) -> None:
    """All days without a rare label are alike, which says nothing."""
    alarms = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        blocks = np.repeat(np.arange(150), rows)
        probabilities = random.beta(2, 2 / share - 2, len(blocks))
        labels = random.random(len(blocks)) < probabilities
        alarms += calibration_evidence(LabelledRows(probabilities, labels, blocks), 0.0).alarm(0.05) is not None
    assert alarms <= 2


def test_no_block_and_one_block_are_no_evidence() -> None:
    assert mean_evidence(Blocks(np.empty(0), np.empty(0)), 0.1).e_value == 1
    assert mean_evidence(Blocks(np.array([5.0]), np.ones(1)), 0.1).e_value <= 1
