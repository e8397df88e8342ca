import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from model_deployer.contract.unit_spread import MAX_FREEDOM, UnitSpread, assumed_spread, spread_of_units
from model_deployer.monitoring.statistics.field_drift import POWERS, field_drift

EDGES = ndtri(np.arange(1, 10) / 10)
MISSING = 10
Counts = NDArray[np.int64]


def traffic(days: int, seed: int, level: NDArray[np.float64] | float = 0.0, clients: int = 20) -> Counts:
    """Counts per day in the deciles of a normal value, and of missing ones; clients and days share a part of it."""
    random = np.random.default_rng(seed)
    means = np.broadcast_to(level, days)[:, None] + 0.1 * random.standard_normal((days, 1))
    means = means + 0.5 * random.standard_normal((days, clients))
    below = ndtr(EDGES - means[..., None])
    shares = np.diff(below, axis=-1, prepend=0, append=1)
    counts = random.multinomial(random.poisson(1000 / clients, (days, clients)), shares).sum(axis=1)
    return np.hstack([counts, np.zeros((days, 1), np.int64)])


def season(days: int, start: int = 0) -> NDArray[np.float64]:
    day = np.arange(start, start + days)
    return 0.6 * np.sin(2 * np.pi * day / 365) + 0.3 * (day % 7 >= 5)


def test_no_alarm_in_years_of_clustered_traffic() -> None:
    """Rows of one client and one day have more in common than independent ones; 60 years have no alarm."""
    for year in range(60):
        spread = spread_of_units(traffic(90, seed=2 * year))
        assert field_drift(spread, traffic(365, seed=2 * year + 1)).evidence.alarm(0.05) is None


def test_a_season_of_the_table_is_not_drift() -> None:
    """Two years whose months and weekdays differ: the first one is the table, the second one live."""
    for year in range(30):
        spread = spread_of_units(traffic(365, 2 * year, season(365)))
        assert field_drift(spread, traffic(365, 2 * year + 1, season(365, 365))).evidence.alarm(0.05) is None


def test_a_season_that_the_table_lacks_is_drift() -> None:
    """The days of a summer hardly differ, and say nothing of a winter."""
    spread = spread_of_units(traffic(90, 0, season(90, 45)))
    assert field_drift(spread, traffic(365, 1, season(365, 135))).evidence.alarm(0.01)


@pytest.mark.parametrize("days", [30, 60, 120])
def test_a_short_table_of_a_wandering_field_says_little_of_a_year(days: int) -> None:
    """A level that remembers nine tenths of the day before: of 20 years, at most one may have an alarm."""
    alarms = 0
    for year in range(20):
        random = np.random.default_rng(year)
        level = np.zeros(days + 365)
        for day in range(1, len(level)):
            level[day] = 0.9 * level[day - 1] + 0.13 * random.standard_normal()
        spread = spread_of_units(traffic(days, 2 * year, level[:days]))
        alarms += field_drift(spread, traffic(365, 2 * year + 1, level[days:])).evidence.alarm(0.01) is not None
    assert alarms <= 1


def test_a_broken_field_shows_with_the_first_period() -> None:
    spread = spread_of_units(traffic(90, 0))
    live = traffic(60, 1)
    live[50:] = np.eye(11, dtype=np.int64)[MISSING] * live[50:].sum(axis=1, keepdims=True)
    drift = field_drift(spread, live)
    alarm = drift.evidence.alarm(1e-4)
    assert alarm
    assert (alarm.period, alarm.since) == (50, 50)
    assert (drift.bin, drift.is_higher, drift.share) == (MISSING, True, 1.0)
    assert drift.expected[1] < 0.01
    assert drift.dispersion == "units"


@pytest.mark.parametrize(("part", "period"), [(1, 5), (4, 6)])
def test_a_thousandfold_value_shows_with_the_first_periods(part: int, period: int) -> None:
    """Thousandfold values are in the highest bin: found with the first period, with the second if it is a quarter."""
    spread = spread_of_units(traffic(90, 0))
    live = traffic(10, 1) // part
    live[5:] = np.eye(11, dtype=np.int64)[9] * live[5:].sum(axis=1, keepdims=True)
    alarm = field_drift(spread, live).evidence.alarm(1e-4)
    assert alarm
    assert (alarm.period, alarm.since) == (period, 5)


def test_a_small_shift_shows_by_its_persistence() -> None:
    spread = spread_of_units(traffic(365, 0))
    drift = field_drift(spread, traffic(100, 1, np.where(np.arange(100) >= 50, 0.6, 0)))
    alarm = drift.evidence.alarm(1e-3)
    assert alarm
    assert 50 < alarm.period < 80
    assert abs(alarm.since - 50) < 10


def test_without_units_only_large_shifts_count_and_the_result_says_so() -> None:
    shares = np.append(np.full(10, 0.1), 0)
    spread = assumed_spread(shares, 1000)
    usual = field_drift(spread, traffic(365, 1))
    assert usual.evidence.alarm(0.05) is None
    assert usual.dispersion == "unknown"
    live = traffic(20, 2)
    live[10:] = np.eye(11, dtype=np.int64)[MISSING] * live[10:].sum(axis=1, keepdims=True)
    alarm = field_drift(spread, live).evidence.alarm(1e-3)
    assert alarm
    assert alarm.period == 10


def test_quiet_hours_are_not_drift() -> None:
    """Periods with few rows, down to a single one, have shares of 0 and 1 by chance alone."""
    random = np.random.default_rng(0)
    shares = np.array([0.9, 0.0995, 0.0005, 0])
    spread = spread_of_units(random.multinomial(np.full(90, 1000), shares))
    for rows in (1, 3, 10, 30, 100):
        live = random.multinomial(np.full(2000, rows), shares)
        assert field_drift(spread, live).evidence.log_values.max() < np.log(20)


def test_a_broken_field_shows_within_hours_of_the_night() -> None:
    """Hours have three rows at night and two hundred at noon: a fault shows in the first hour, or after 30 rows."""
    random = np.random.default_rng(0)
    hours = np.arange(24 * 70)
    rows = random.poisson(3 + 200 * np.clip(np.sin(2 * np.pi * hours / 24), 0, 1))
    below = ndtr(EDGES - 0.5 * np.cos(2 * np.pi * hours / 24)[:, None])
    shares = 0.995 * np.diff(below, axis=1, prepend=0, append=1)
    counts = random.multinomial(rows, np.column_stack([shares, np.full(len(hours), 0.005)]))
    spread = spread_of_units(counts[: 24 * 60], year=8760)
    live = counts[24 * 60 :]
    assert field_drift(spread, live, horizon=8760).evidence.log_values.max() < 0.1
    for broken_at, hours_until in ((24 * 5 + 2, 1), (24 * 5 + 14, 12)):
        broken = live.copy()
        broken[broken_at:] = np.eye(11, dtype=np.int64)[MISSING] * live[broken_at:].sum(axis=1, keepdims=True)
        alarm = field_drift(spread, broken, horizon=8760).evidence.alarm(1e-3)
        assert alarm
        assert broken_at <= alarm.period < broken_at + hours_until


def test_too_few_units_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 units"):
        spread_of_units(traffic(4, 0))


def test_a_period_without_rows_is_no_evidence() -> None:
    spread = spread_of_units(traffic(90, 0))
    live = traffic(3, 1, 1.5)
    gap = np.insert(live, 1, 0, axis=0)
    with_gap, without = field_drift(spread, gap).evidence, field_drift(spread, live).evidence
    assert with_gap.log_values[1] == pytest.approx(with_gap.log_values[0])
    assert with_gap.log_values[-1] == pytest.approx(without.log_values[-1], rel=0.05)


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, st.tuples(st.integers(1, 30), st.just(4)), elements=st.integers(0, 500)))
def test_order_and_names_of_bins_do_not_matter(live: Counts) -> None:
    units = traffic(30, 0)[:, 3:7]
    order = [2, 0, 3, 1]
    drift = field_drift(spread_of_units(units), live)
    permuted = field_drift(spread_of_units(units[:, order]), live[:, order])
    assert permuted.evidence.log_values == pytest.approx(drift.evidence.log_values)
    assert np.isfinite(drift.evidence.log_values).all()
    assert 0 <= drift.share <= 1


@pytest.mark.parametrize("distance", [0.5, 1, 2, 4, 8, 12])
def test_a_bet_is_never_higher_than_that_of_students_t(distance: float) -> None:
    """The evidence of one period is that of the tail of Student's t distribution, or a little less."""
    noise, rows, never = 0.05, 10_000, 9.0
    count = round(rows * np.sin(distance * noise) ** 2)
    level = np.array([0.0, -never])
    spread = UnitSpread(level, np.array([0.0, never]), np.full(2, noise), rows, MAX_FREEDOM, "units")
    evidence = field_drift(spread, np.array([[count, rows - count]]), 1).evidence
    # Three of the four bets, on the second bin and on a lower share of the first one, have p = 1.
    powers = np.array(POWERS)
    bet = 4 * np.exp(evidence.log_values[0]) - 3 * powers.mean()
    transformed = np.arcsin(np.sqrt((count + 3 / 8) / (rows + 3 / 4)))
    exact = (powers * student.sf(transformed / noise, MAX_FREEDOM) ** (powers - 1)).mean()
    assert exact / 2 < bet <= exact
