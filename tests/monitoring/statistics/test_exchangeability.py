import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from model_deployer.monitoring.statistics.exchangeability import conformal_p_values, exchangeability

SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=20).map(np.array)


@given(SCORES, SCORES)
def test_p_values_are_their_definition(reference: np.ndarray, live: np.ndarray) -> None:
    ties = np.linspace(0, 1, len(live))
    for index, p in enumerate(conformal_p_values(reference, live, ties)):
        seen = np.concatenate([reference, live[: index + 1]])
        expected = ((seen > live[index]).sum() + ties[index] * (seen == live[index]).sum()) / len(seen)
        assert p == pytest.approx(expected)


def test_p_values_of_exchangeable_scores_are_uniform() -> None:
    """Heavy tails and ties change nothing."""
    random = np.random.default_rng(0)
    scores = np.round(random.standard_cauchy(3000))
    result = exchangeability(scores[:500], scores[500:], 0.05, seed=1)
    assert kstest(result.p_values, "uniform").pvalue > 0.01


def test_false_alarms_of_a_year_keep_the_limit() -> None:
    alarms = [
        exchangeability(scores[:90], scores[90:], 0.05, seed).alarms
        for seed, scores in enumerate(np.random.default_rng(0).standard_exponential((300, 455)))
    ]
    assert sum(bool(each) for each in alarms) <= 0.05 * 300


def test_a_shift_alarms_once_and_the_test_begins_again() -> None:
    random = np.random.default_rng(0)
    live = np.concatenate([random.normal(size=100), random.normal(3, size=150)])
    result = exchangeability(random.normal(size=90), live, 0.01, seed=0)
    (alarm,) = result.alarms
    assert 100 <= alarm.period < 125
    assert abs(alarm.since - 100) <= 3
    assert result.evidence.log_values[alarm.period + 1] < 1


def test_one_unusual_score_is_no_alarm() -> None:
    random = np.random.default_rng(0)
    live = random.normal(size=50)
    live[20] = 1e9
    assert not exchangeability(random.normal(size=1000), live, 0.05, seed=0).alarms


def test_the_same_seed_gives_the_same_result() -> None:
    ties = np.repeat([1.0, 2.0], 20)
    first, second = (exchangeability(ties, ties, 0.05, seed=4).p_values for _ in range(2))
    assert (first == second).all()
