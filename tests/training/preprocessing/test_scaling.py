from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.features import Boolean, Datetime, Feature, Numeric
from model_deployer.training.preprocessing.preprocessing import fit_preprocessor
from model_deployer.training.preprocessing.scaling import DAY, YEAR, Scaled, Scaling, fit_scaling

NAN = float("nan")


def fitted(feature: Feature, values: list[float], *, season: bool = False) -> Scaling:
    frame = pl.DataFrame({feature.name: values})
    preprocessor, inputs = fit_preprocessor(frame, [feature], np.arange(float(len(values))), None, 0)
    return fit_scaling(preprocessor, [feature], inputs, season)


def scaled(scaling: Scaling, *values: float) -> Scaled:
    numbers = torch.tensor(values, dtype=torch.float64)[:, None]
    result: Scaled = scaling(numbers, torch.empty(len(values), 0, dtype=torch.int64))
    return result


def test_a_missing_number_counts_as_the_median_and_is_marked() -> None:
    scaling = fitted(Numeric(name="n", missing="impute"), [0.0, 1.0, 2.0, 3.0, 100.0, NAN])
    numbers, gaps, _ = scaled(scaling, NAN, 2.0)
    assert numbers[:, 0].tolist() == [0.0, 0.0]
    assert gaps[:, 0].tolist() == [1.0, 0.0]


def test_a_column_without_gaps_has_no_mark() -> None:
    assert scaled(fitted(Numeric(name="n"), [0.0, 1.0, 2.0]), 1.0).gaps.shape == (1, 0)


def test_values_beyond_the_training_range_count_as_its_ends() -> None:
    numbers = scaled(fitted(Numeric(name="n"), [0.0, 1.0, 2.0]), -1e300, 0.0, 2.0, 1e300).numbers[:, 0].tolist()
    assert numbers[0] == numbers[1]
    assert numbers[2] == numbers[3]


def test_stated_bounds_narrow_the_range() -> None:
    numbers = scaled(fitted(Numeric(name="n", maximum=1), [0.0, 1.0, 2.0]), 1.0, 2.0).numbers[:, 0].tolist()
    assert numbers[0] == numbers[1]


def test_large_integers_stay_apart() -> None:
    days = [20130101.0 + day for day in range(30)]
    assert len(set(scaled(fitted(Numeric(name="n"), days), *days).numbers[:, 0].tolist())) == 30


def test_a_constant_and_an_empty_column_do_no_harm() -> None:
    for values in ([5.0, 5.0, 5.0], [NAN, NAN, NAN]):
        assert scaled(fitted(Numeric(name="n"), values), 5.0, NAN, 7.0).numbers.tolist() == [[0.0], [0.0], [0.0]]


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2, max_size=30))
def test_scaled_numbers_are_finite_bounded_and_in_order(values: list[float]) -> None:
    numbers = scaled(fitted(Numeric(name="n"), values), *sorted(values)).numbers[:, 0]
    assert (numbers.abs() <= 3).all()
    assert (numbers.diff() >= 0).all()


@pytest.mark.parametrize("season", [True, False])
def test_calendar_parts_agree_with_the_calendar(season: bool) -> None:
    start = datetime(1969, 12, 1, tzinfo=UTC)
    times = [start + timedelta(hours=37 * step) for step in range(2000)]
    seconds = [time.timestamp() for time in times]
    scaling = fitted(Datetime(name="d"), seconds, season=season)
    hours, *others = scaling._calendar_parts(torch.tensor(seconds, dtype=torch.float64)[:, None])
    assert np.allclose(hours[:, 0], [time.hour + time.minute / 60 for time in times], atol=1e-6)
    assert scaled(scaling, *seconds).codes[:, 0].tolist() == [time.isoweekday() for time in times]
    assert len(others) == (2 if season else 0)
    if season:
        days = np.array([time.timetuple().tm_yday - 1 + time.hour / 24 for time in times])
        difference = np.abs(others[0][:, 0].numpy() - days)
        assert np.minimum(difference, 365.2425 - difference).max() < 1.5


def test_a_missing_time_has_a_weekday_of_its_own() -> None:
    scaling = fitted(Datetime(name="d", missing="impute"), [0.0, 3600.0, NAN])
    _, gaps, codes = scaled(scaling, NAN, 0.0)
    assert codes[:, 0].tolist() == [0, 4]
    assert gaps[:, 0].tolist() == [1.0, 0.0]


def test_booleans_have_three_states() -> None:
    codes = scaled(fitted(Boolean(name="b"), [0.0, 1.0]), 0.0, 1.0, NAN).codes
    assert codes[:, 0].tolist() == [1, 2, 0]


def test_numbers_as_large_as_float64_holds_stay_finite() -> None:
    scaling = fitted(Numeric(name="x"), [1.7e308, -1.7e308, 1e308, 0.0])
    assert torch.isfinite(scaled(scaling, 1.7e308, -1.7e308, 0.0).numbers).all()


def test_constants_are_the_same_in_float32() -> None:
    assert all(np.float32(constant) == constant for constant in (DAY, YEAR))
