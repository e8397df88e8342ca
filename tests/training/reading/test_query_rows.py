"""Rows that a database returns, with types that polars would not join as they are."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.query_rows import frame_of

DAY = date(2024, 1, 5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([Decimal("1e30"), Decimal("1.123456789"), None], [1e30, 1.123456789, None]),
        ([Decimal("1.5"), 2, 2.5], [1.5, 2.0, 2.5]),
        ([None, Decimal("Infinity")], [None, float("inf")]),
        ([1, "a", None], ["1", "a", None]),
        ([2**64, 1], [2**64, 1]),
        ([DAY, None], [DAY, None]),
    ],
)
def test_values_of_a_column(values: list[Any], expected: list[Any]) -> None:
    assert frame_of(["x"], [(value,) for value in values])["x"].to_list() == expected


def test_decimals_that_are_no_numbers() -> None:
    assert frame_of(["x"], [(Decimal("NaN"),), (Decimal(1),)])["x"].is_nan().to_list() == [True, False]


def test_no_rows() -> None:
    assert frame_of(["x", "y"], []).schema == {"x": pl.Null, "y": pl.Null}


@pytest.mark.parametrize(
    "values",
    [[date(2024, 1, 5), "x"], [1, date(2024, 1, 5)], [datetime(2024, 1, 5), date(2024, 1, 5)], [timedelta(), 1]],
)
def test_times_next_to_other_values(values: list[Any]) -> None:
    names = [type(value).__name__ for value in values]
    complaint = f"column 'x', row 3 of the result: expected {names[0]}, as before, and this is {names[1]}; convert"
    with pytest.raises(DataError, match=complaint):
        frame_of(["x"], [(values[0],), (None,), (values[1],)])
