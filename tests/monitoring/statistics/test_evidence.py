import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_deployer.monitoring.statistics.evidence import (
    Alarm,
    Evidence,
    average_evidence,
    hours_and_days,
    mixed_evidence,
)

LOG_BETS = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-5, 5))
)


@given(LOG_BETS, st.integers(1, 15))
def test_mixed_evidence_is_the_sum_over_strategies_and_starts(log_bets: np.ndarray, horizon: int) -> None:
    evidence = mixed_evidence(log_bets, horizon)
    bets = np.exp(log_bets)
    for period in range(len(bets)):
        starts = range(min(horizon, period + 1))
        wealth = np.stack([bets[start : period + 1].prod(axis=0) for start in starts])
        value = wealth.mean(axis=1).sum() / horizon + (horizon - len(starts)) / horizon
        assert evidence.log_values[period] == pytest.approx(math.log(value), abs=1e-9)
        best = wealth[:, wealth.sum(axis=0).argmax()]
        assert best[evidence.starts[period]] == pytest.approx(best.max())


def test_an_alarm_is_the_first_time_at_the_limit() -> None:
    evidence = Evidence(np.log([1, 30.0, 20, 90]), np.array([0, 1, 1, 2]))
    assert evidence.alarm(0.05) == Alarm(1, 1)
    assert evidence.alarm(0.02) == Alarm(3, 2)
    assert evidence.alarm(0.01) is None
    assert evidence.e_value == pytest.approx(90)


def test_no_period_is_no_evidence() -> None:
    evidence = mixed_evidence(np.empty((0, 3)))
    assert evidence.e_value == 1
    assert evidence.alarm(0.5) is None


def test_evidence_above_the_largest_float_is_infinite() -> None:
    assert mixed_evidence(np.full((3, 1), 1000.0)).e_value == math.inf


def test_average_of_evidence_is_weighted() -> None:
    first, second = Evidence(np.log([2.0, 8]), np.array([0, 0])), Evidence(np.log([4.0, 1]), np.array([0, 1]))
    average = average_evidence([first, second], [0.75, 0.25])
    assert np.exp(average.log_values) == pytest.approx([2.5, 6.25])
    assert average.starts.tolist() == [0, 0]


def test_a_day_counts_from_its_last_hour_on() -> None:
    hours = Evidence(np.log([1.0, 2, 1, 1, 1]), np.array([0, 1, 1, 1, 1]))
    days = Evidence(np.log([3.0, 9]), np.array([0, 1]))
    both = hours_and_days(hours, days, day_hours=2)
    assert np.exp(both.log_values) == pytest.approx([1, 2.5, 2, 5, 5])
    assert both.starts.tolist() == [0, 0, 0, 2, 2]


def test_bets_of_independent_uniform_p_values_keep_the_limit() -> None:
    """In 2,000 years without a change, at most 5 % of the e-processes ever reach 20, whatever is bet."""
    random = np.random.default_rng(0)
    powers = np.array([0.5, 0.2, 0.05])
    reached = [
        mixed_evidence(np.log(powers) + (powers - 1) * np.log(random.random((365, 1)))).alarm(0.05) is not None
        for _ in range(2000)
    ]
    assert np.mean(reached) <= 0.05
