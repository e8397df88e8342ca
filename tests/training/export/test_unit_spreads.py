"""The spread of a table's days, as it is stored with a model, tells days like these from others."""

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.reference import Reference
from model_deployer.contract.unit_spread import spread_of_units
from model_deployer.monitoring.statistics.field_drift import field_drift
from model_deployer.training.data.traffic import Origins
from model_deployer.training.export.drift_replay import replayed_rows
from model_deployer.training.export.reference import reference
from model_deployer.training.export.table_units import table_units
from model_deployer.training.export.unit_spreads import unit_spreads
from tests.training.export.test_drift_replay import DAYS, FEATURES, ROWS, predict, table

TIMES = np.arange(DAYS * ROWS) * 86_400 / ROWS


def stored(frame: pl.DataFrame, origins: Origins) -> Reference:
    """What a model has of a table whose last fifth is the test part."""
    first_test_row = len(frame) * 4 // 5
    parts = np.arange(first_test_row), np.arange(first_test_row, len(frame))
    expected = reference(FEATURES, frame[parts[0]], predict(frame[parts[1]]))
    training, test = (replayed_rows(origins, part, frame, predict, seed=0) for part in parts)
    units = table_units(training, test)
    spreads = unit_spreads(FEATURES, expected, units) if units else None
    return Reference.parse(expected.model_copy(update={"spreads": spreads}).to_json(), "reference.json", "")


def counts(expected: Reference, frame: pl.DataFrame, name: str) -> np.ndarray:
    """The counts of each day, [days, bins]."""
    codes = expected.features[name].codes(frame[name].to_numpy())
    bins = len(expected.features[name].shares())
    return np.array([np.bincount(day, minlength=bins) for day in codes.reshape(-1, ROWS)])


def test_the_days_of_both_parts_are_units_and_are_themselves_no_drift() -> None:
    frame = table()
    expected = stored(frame, Origins(TIMES, is_calendar=True, groups=None))
    spreads = expected.spreads
    assert spreads is not None
    assert (spreads.unit, spreads.units, spreads.rows) == ("day", DAYS, ROWS)
    assert set(spreads.features) == {feature.name for feature in FEATURES}
    for name, bins in spreads.features.items():
        days = counts(expected, frame, name)
        assert spreads.of(bins).noise == pytest.approx(spread_of_units(days).noise, abs=1e-5)
        assert field_drift(spreads.of(bins), days).evidence.e_value < 20


def test_a_shift_of_a_steady_field_is_found_and_that_of_weather_is_usual() -> None:
    frame = table()
    expected = stored(frame, Origins(TIMES, is_calendar=True, groups=None))
    shifted = frame.with_columns(pl.col("steady") + 1, pl.col("weather") + 1)
    assert expected.spreads is not None
    e_values = {
        name: field_drift(
            expected.spreads.of(expected.spreads.features[name]), counts(expected, shifted, name)[:10]
        ).evidence.e_value
        for name in ("steady", "weather")
    }
    assert e_values["steady"] > 1e6
    assert e_values["weather"] < 1


def test_groups_are_units_and_rows_alone_have_none() -> None:
    frame = table()
    groups = Origins(None, is_calendar=False, groups=np.arange(len(frame)) // 100)
    spreads = stored(frame, groups).spreads
    assert spreads is not None
    sizes = np.array([1000] * 215 + [200, 800])  # the last unit of each part is smaller
    assert (spreads.unit, spreads.units) == ("group", len(sizes))
    assert spreads.rows == pytest.approx((sizes**2).sum() / sizes.sum())
    assert stored(frame, Origins(None, is_calendar=False, groups=None)).spreads is None
