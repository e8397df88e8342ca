import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from model_deployer.monitoring.statistics.label_delay import delay_curve, truncated_delay_curve

ROWS = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=2, max_size=40)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_the_curve_is_kaplan_meier_of_scipy(rows: list[tuple[int, int]]) -> None:
    """A label with a delay up to the age of its row has arrived; the others are censored."""
    true, ages = np.array(rows, float).T
    delays = np.where(true <= ages, true, np.nan)
    curve = delay_curve(delays, ages)
    if not curve.labelled:
        assert len(curve.delays) == 0
        assert curve.expected(ages).tolist() == [0] * len(rows)
        return
    times = np.where(true <= ages, true, ages)
    data = CensoredData.right_censored(times, true > ages)
    expected = ecdf(data).sf
    at_steps = np.searchsorted(expected.quantiles, curve.delays)
    assert 1 - curve.shares == pytest.approx(expected.probabilities[at_steps])
    with warnings.catch_warnings(action="ignore"):  # At shares of 0 and 1, scipy has no interval.
        interval = expected.confidence_interval(0.95, method="log-log")
    inner = (curve.shares > 0) & (curve.shares < 1)
    assert (1 - curve.high)[inner] == pytest.approx(interval.low.probabilities[at_steps][inner])
    assert (1 - curve.low)[inner] == pytest.approx(interval.high.probabilities[at_steps][inner])


def waiting(seed: int, share: float = 0.8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels that take ten days on average, of 80 % of the rows, seen over 60 days."""
    random = np.random.default_rng(seed)
    true = np.where(random.random(4000) < share, random.exponential(10, 4000), np.inf)
    ages = random.uniform(0, 60, 4000)
    return np.where(true <= ages, true, np.nan), ages, true


def test_what_is_still_to_be_expected() -> None:
    delays, ages, true = waiting(0)
    curve = delay_curve(delays, ages)
    assert curve.share_within(np.array([0.0, 10, 1000])) == pytest.approx([0, 0.8 * (1 - np.exp(-1)), 0.8], abs=0.03)
    missing = np.isnan(delays)
    expected = curve.expected(ages[missing]).sum()
    assert expected == pytest.approx((true[missing] <= 60).sum(), rel=0.15)
    assert curve.waiting == missing.sum()
    assert curve.labelled + curve.waiting == 4000
    mean_of_arrived = np.nanmean(delays)
    assert mean_of_arrived < 0.9 * 10


def test_only_the_labels_that_arrived_are_known() -> None:
    """The reverse estimator corrects for long delays of young rows, which are not seen."""
    delays, ages, _ = waiting(1, share=1.0)
    seen = np.isfinite(delays)
    curve = truncated_delay_curve(delays[seen], ages[seen])
    naive = np.mean(delays[seen] <= 10)
    expected = (1 - np.exp(-1)) / (1 - np.exp(-6))
    assert curve.share_within(np.array([10.0]))[0] == pytest.approx(expected, abs=0.03)
    assert naive > expected + 0.04
    assert curve.is_relative
    position = np.searchsorted(curve.delays, 10) - 1
    assert curve.low[position] < expected < curve.high[position]


@given(ROWS)
def test_without_young_rows_the_reverse_estimator_counts(rows: list[tuple[int, int]]) -> None:
    delays = np.array([delay for delay, _ in rows], float)
    curve = truncated_delay_curve(delays, np.full(len(delays), 100.0))
    assert curve.shares == pytest.approx([np.mean(delays <= step) for step in curve.delays])


def test_no_rows() -> None:
    empty = np.empty(0)
    assert delay_curve(empty, empty).labelled == 0
    assert truncated_delay_curve(empty, empty).shares.tolist() == []
