from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.drift import Drift
from model_deployer.contract.features import Categorical, Feature, Numeric
from model_deployer.contract.outputs import Arrays
from model_deployer.training.data.traffic import Origins
from model_deployer.training.export.drift_replay import replay, replayed_rows
from model_deployer.training.export.reference import reference

DAYS, ROWS = 60, 400

FEATURES: tuple[Feature, ...] = (
    Numeric(name="steady", missing="impute"),
    Numeric(name="weather", missing="impute"),
    Numeric(name="bounded", minimum=-10, maximum=10, out_of_range="reject"),
    Categorical(name="kind", missing="impute"),
)


def predict(frame: pl.DataFrame) -> Arrays:
    return {"value": frame["steady"].to_numpy().reshape(-1, 1).astype(np.float32)}


def table(changes: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Days of rows: the weather is the same on each of them, everything else is the same on all days."""
    random, rows = np.random.default_rng(0), DAYS * ROWS
    columns = {
        "steady": random.normal(5, 1, rows),
        "weather": np.repeat(random.normal(50, 10, DAYS), ROWS) + random.normal(0, 0.1, rows),
        "bounded": random.normal(5, 1, rows),
        "kind": random.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]),
    }
    return pl.DataFrame(columns | dict(changes or {}))


def replayed(frame: pl.DataFrame, origins: Origins | None = None) -> Drift:
    """The replay with the last fifth of the days as the test part."""
    times = np.arange(len(frame)) * 86_400 / ROWS
    origins = origins or Origins(times, is_calendar=True, groups=None)
    first_test_row = len(frame) * 4 // 5
    parts = np.arange(first_test_row), np.arange(first_test_row, len(frame))
    expected = reference(FEATURES, frame[parts[0]], predict(frame[parts[1]]))
    training, test = (replayed_rows(origins, part, frame, predict, seed=0) for part in parts)
    return replay(FEATURES, expected, training, test, len(parts[1]))


def rows_until_found(drift: Drift, name: str) -> dict[str, int | None]:
    return {fault.fault: fault.rows for fault in drift.features[name].faults if not fault.is_refused}


def test_no_alert_fires_on_a_day_of_the_table_and_faults_are_found_within_a_day() -> None:
    drift = replayed(table())
    assert drift.training.model_dump() == {"unit": "day", "days": 48, "days_with_alerts": 0}
    assert drift.test.model_dump() == {"unit": "day", "days": 12, "days_with_alerts": 0}
    assert drift.min_rows == ROWS
    rows_by_fault = rows_until_found(drift, "steady") | rows_until_found(drift, "kind")
    assert set(rows_by_fault) == {"constant", "missing", "thousandfold", "kilometres", "vanished"}
    assert all(rows is not None and rows < ROWS for rows in rows_by_fault.values())
    assert drift.predictions["value[0]"].is_watched


def test_a_field_that_differs_on_each_day_has_a_high_threshold() -> None:
    """A day of a field that hardly changes within a day is as unusual as a changed unit, and only a gap is more so."""
    drift = replayed(table())
    weather = drift.features["weather"]
    assert weather.training is not None
    assert weather.threshold > weather.training.index > 2
    assert drift.training.days_with_alerts == 0
    assert {fault for fault, rows in rows_until_found(drift, "weather").items() if rows is not None} == {"missing"}


def test_a_gap_in_the_test_rows_leaves_a_field_without_an_alert() -> None:
    """If a day of the test rows is as unusual as every fault, no threshold is silent on it and finds the fault."""
    frame = table()
    weather = frame["weather"].to_numpy().copy()
    weather[-ROWS:] = np.nan
    assert not replayed(frame.with_columns(weather=weather)).features["weather"].is_watched


def test_a_fault_that_the_service_refuses_is_no_drift() -> None:
    faults = {fault.fault: fault for fault in replayed(table()).features["bounded"].faults}
    assert faults["missing"].is_refused
    assert faults["thousandfold"].is_refused
    assert not faults["kilometres"].is_refused
    assert not faults["missing"].is_found


def test_a_broken_day_of_training_raises_no_threshold() -> None:
    """Alerts may fire on 1 of 100 training days: one day of a broken sensor does not hide the next."""
    random = np.random.default_rng(1)
    rows_per_day, days = 200, 150
    steady = random.normal(5, 1, rows_per_day * days)
    steady[rows_per_day * 10 : rows_per_day * 11] = np.nan
    rows = rows_per_day * days
    frame = pl.DataFrame(
        {
            "steady": steady,
            "weather": random.normal(size=rows),
            "bounded": random.normal(size=rows),
            "kind": random.choice(["a", "b"], rows),
        }
    )
    times = np.float64(86_400) * (np.arange(rows) // rows_per_day)
    drift = replayed(frame, Origins(times, is_calendar=True, groups=None))
    assert drift.training.days_with_alerts == 1
    assert drift.features["steady"].threshold < 1
    assert rows_until_found(drift, "steady")["missing"] is not None


def test_an_unusual_day_of_the_test_rows_raises_the_threshold() -> None:
    values = np.random.default_rng(0).normal(5, 1, DAYS * ROWS)
    values[-ROWS:] += 1.5
    drift = replayed(table({"steady": values}))
    assert drift.test.days_with_alerts == 0
    steady = drift.features["steady"]
    assert steady.test is not None
    assert steady.threshold > steady.test.index > 0.5


@pytest.mark.parametrize("rows", [60, 3_000])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_table_without_times_is_replayed_too(rows: int, grouped: bool) -> None:
    groups = np.arange(rows) // 6 if grouped else None
    drift = replayed(table()[:rows], Origins(None, is_calendar=False, groups=groups))
    assert drift.training.unit == ("group" if grouped else "random")
    assert drift.training.days >= 90
    assert drift.training.days_with_alerts <= drift.training.days * 0.01
    assert drift.test.days_with_alerts == 0
    assert rows_until_found(drift, "steady")["constant"] is not None
