import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_deployer.monitoring.statistics import losses
from model_deployer.monitoring.statistics.blocks import Blocks, block_means, resampled_rows
from model_deployer.monitoring.statistics.risk import Promise, bounded_interval, risk

PROMISE = Promise(baseline=0.1, tolerance=0.02)
SHARES = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))


def errors(days: int, rate: float, seed: int, rows: int = 100, spread: float = 0.03) -> Blocks:
    """Error rates of days; each day has a rate of its own around the expected one."""
    random = np.random.default_rng(seed)
    rates = np.clip(rate + spread * random.standard_normal(days), 0, 1)
    return Blocks(random.binomial(rows, rates) / rows, np.full(days, float(rows)))


def test_the_limit_of_false_alarms_holds_at_the_limit_of_the_risk() -> None:
    """In 1,000 years with exactly the highest promised risk and days that differ, at most 5 % have an alarm."""
    alarms = [risk(errors(365, 0.12, seed), PROMISE, 0.05).alarm is not None for seed in range(1000)]
    assert np.mean(alarms) <= 0.05


def test_single_rows_are_blocks_too() -> None:
    alarms = [risk(errors(500, 0.12, seed, rows=1, spread=0), PROMISE, 0.05, 500).alarm for seed in range(300)]
    assert sum(alarm is not None for alarm in alarms) <= 0.05 * 300
    assert risk(errors(2000, 0.3, 0, rows=1, spread=0), PROMISE, 0.05, 2000).alarm


def test_a_doubled_risk_alarms_within_weeks() -> None:
    before, after = errors(100, 0.1, 0), errors(60, 0.2, 1)
    both = Blocks(np.concatenate([before.means, after.means]), np.concatenate([before.weights, after.weights]))
    result = risk(both, PROMISE, 0.02)
    assert result.alarm
    assert 100 < result.alarm.period < 130
    assert abs(result.alarm.since - 100) < 5
    assert result.limit == pytest.approx(0.12)
    recent = risk(after, PROMISE, 0.02)
    assert 0.12 < recent.low < 0.2 < recent.high


def test_a_good_model_has_no_alarm_and_an_interval() -> None:
    result = risk(errors(365, 0.1, 5), PROMISE, 0.05)
    assert result.alarm is None
    assert result.low < 0.1 < result.high
    assert result.blocks == 365


def test_no_labels_yet() -> None:
    result = risk(Blocks(np.empty(0), np.empty(0)), PROMISE, 0.05)
    assert result.alarm is None
    assert (result.low, result.high, result.blocks) == (0, 1, 0)
    assert np.isnan(result.mean)


@given(SHARES, st.floats(0.1, 1000))
def test_the_unit_of_the_loss_does_not_matter(means: np.ndarray, bound: float) -> None:
    blocks = Blocks(means, np.ones(len(means)))
    scaled = risk(Blocks(means * bound, blocks.weights), Promise(0.2 * bound, 0.1 * bound, bound), 0.05)
    plain = risk(blocks, Promise(0.2, 0.1), 0.05)
    assert scaled.evidence.log_values == pytest.approx(plain.evidence.log_values, abs=1e-6)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low * bound, plain.high * bound))


@given(SHARES)
def test_more_loss_is_more_evidence(means: np.ndarray) -> None:
    weights = np.ones(len(means))
    more = np.minimum(1, means + 0.1)
    low, high = (risk(Blocks(each, weights), PROMISE, 0.05).evidence.log_values[-1] for each in (means, more))
    assert high >= low - 1e-9


def test_an_interval_is_rarely_ever_wrong() -> None:
    """Looked at after each of 100 blocks, at most 5 % of the intervals ever miss the mean."""
    wrong = 0
    for seed in range(200):
        means = np.random.default_rng(seed).beta(2, 8, 100)
        ends = [bounded_interval(Blocks(means[:last], np.ones(last)), 0.05) for last in (5, 20, 50, 100)]
        wrong += any(not low <= 0.2 <= high for low, high in ends)
    assert wrong <= 10


@settings(max_examples=30)
@given(SHARES)
def test_an_interval_contains_the_mean_and_mirrors(means: np.ndarray) -> None:
    blocks = Blocks(means, np.ones(len(means)))
    low, high = bounded_interval(blocks, 0.05)
    assert low - 1e-9 <= blocks.mean <= high + 1e-9
    mirrored = bounded_interval(Blocks(1 - means, blocks.weights), 0.05)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_what_no_promise_can_be() -> None:
    with pytest.raises(ValueError, match="below the bound"):
        Promise(0.9, 0.1)
    with pytest.raises(ValueError, match="clip them"):
        risk(Blocks(np.array([1.5]), np.ones(1)), PROMISE, 0.05)


def test_block_means_are_weighted_and_ordered() -> None:
    values, blocks = np.array([1.0, 2, 3, 4, 9]), np.array([7, 3, 3, 7, 1])
    result = block_means(values, blocks, np.array([1.0, 1, 3, 1, 0]))
    assert result.means.tolist() == [2.75, 2.5]
    assert result.weights.tolist() == [4, 2]
    assert result.rows is not None
    assert result.rows.tolist() == [16 / 10, 2]
    assert result.mean == pytest.approx((2 + 9 + 1 + 4) / 6)


def test_a_bootstrap_draws_whole_blocks() -> None:
    blocks = np.array([5, 8, 5, 8, 8])
    rows = resampled_rows(blocks, np.random.default_rng(0))
    counts = np.bincount(rows, minlength=5)
    assert counts[0] == counts[2]
    assert counts[1] == counts[3] == counts[4]
    assert counts[0] + counts[1] == 2


def test_losses() -> None:
    decisions, labels = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert losses.decision_errors(decisions, labels).tolist() == [0, 1, 1, 0]
    assert losses.decision_costs(decisions, labels, 2, 5).tolist() == [0, 2, 5, 0]
    assert losses.brier_scores(np.array([1, 0.5]), labels[:2]).tolist() == [0, 0.25]
    values = np.array([1.0, 5])
    assert losses.clipped_squared_errors(values, np.zeros(2), 9).tolist() == [1, 9]
    assert losses.clipped_absolute_errors(values, np.zeros(2), 3).tolist() == [1, 3]
