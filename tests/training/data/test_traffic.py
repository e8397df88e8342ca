import numpy as np
import pytest

from model_deployer.training.data.traffic import DAY_ROWS, MIN_DAY_ROWS, Origins, traffic

DAY_SECONDS = 86_400


def calendar(rows_per_day: int, days: int) -> Origins:
    """Rows in random order, with the same number on every day."""
    times = np.arange(rows_per_day * days) * DAY_SECONDS / rows_per_day
    return Origins(np.random.default_rng(0).permutation(times), is_calendar=True, groups=None)


def test_days_of_the_table_are_the_days_of_traffic() -> None:
    """The rows of a calendar day arrive on one day, in the order of their times."""
    origins = calendar(MIN_DAY_ROWS, 30)
    arrivals = traffic(origins, np.arange(MIN_DAY_ROWS * 30), seed=0)
    assert arrivals.unit == "day"
    assert origins.times is not None
    assert (np.diff(origins.times[arrivals.rows]) > 0).all()
    assert np.unique(arrivals.days, return_counts=True)[1].tolist() == [MIN_DAY_ROWS] * 30


@pytest.mark.parametrize("origins", [calendar(10, 300), Origins(np.arange(3000.0), is_calendar=False, groups=None)])
def test_few_rows_a_day_and_numbered_times_make_days_of_equal_size(origins: Origins) -> None:
    arrivals = traffic(origins, np.arange(3000), seed=0)
    assert arrivals.unit == "rows"
    assert origins.times is not None
    assert (np.diff(origins.times[arrivals.rows]) > 0).all()
    assert np.unique(arrivals.days, return_counts=True)[1].tolist() == [DAY_ROWS] * 3


def test_rows_of_a_group_arrive_next_to_each_other() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    arrivals = traffic(Origins(None, is_calendar=False, groups=groups), np.arange(50_000), seed=0)
    assert arrivals.unit == "group"
    first = groups[arrivals.rows][:50_000]
    assert np.count_nonzero(np.diff(first)) == 99


def test_rows_without_origin_are_drawn_as_often_as_needed() -> None:
    """A small table gives as many days as a large one."""
    arrivals = traffic(Origins(None, is_calendar=False, groups=None), np.arange(150), seed=0)
    assert arrivals.unit == "random"
    assert len(np.unique(arrivals.days)) == 100


def test_of_a_large_table_whole_days_of_every_weekday_are_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_deployer.training.data.traffic.MAX_ROWS", MIN_DAY_ROWS * 10)
    arrivals = traffic(calendar(MIN_DAY_ROWS, 70), np.arange(MIN_DAY_ROWS * 70), seed=0)
    days, rows = np.unique(arrivals.days, return_counts=True)
    assert set(rows.tolist()) == {MIN_DAY_ROWS}
    assert len(days) <= 10
    assert len(set((days % 7).tolist())) == 7


def test_rows_without_a_time_are_left_out_unless_no_row_has_one() -> None:
    rows = np.arange(MIN_DAY_ROWS * 3)
    times = np.where(rows % 3, rows // (MIN_DAY_ROWS * 3) * float(DAY_SECONDS), np.nan)
    arrivals = traffic(Origins(times, is_calendar=True, groups=None), rows, seed=0)
    assert arrivals.unit == "day"
    assert sorted(arrivals.rows.tolist()) == rows[rows % 3 > 0].tolist()
    nothing = traffic(Origins(np.full(len(rows), np.nan), is_calendar=True, groups=None), rows, seed=0)
    assert nothing.unit == "random"
