"""Columns of earlier values, which the expressions of own features need."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.expression import ExpressionError, lags_of
from model_deployer.training.data.lag import Lag
from model_deployer.training.data.shaping import add_lags
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.spec import Spec

FRAME = pl.DataFrame(
    {
        "day": ["03.01.2024", "01.01.2024", "02.01.2024", "13.01.2024", "01.01.2024", "02.01.2024"],
        "store": ["a", "a", "a", "a", "b", "b"],
        "sales": ["3,5", "1", "2", "4", "10", "20"],
    }
)


def specification(expression: str, **data: Any) -> Spec:
    values = {"path": "t.csv", "target": "sales", "time": "day", **data}
    features = {"x": {"expression": expression}}
    return Spec.model_validate({"name": "m", "data": values, "features": features, "task": "regression"})


def read(folder: Path, expression: str, frame: pl.DataFrame = FRAME, **data: Any) -> Table:
    frame.write_csv(folder / "t.csv", separator=";")
    return read_table(specification(expression, **data), folder)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("lag(sales, 7)", [Lag("sales", 7)]),
        ("sales - lag(sales, 1, by=store)", [Lag("sales", 1, "store")]),
        ("lag(`units sold`, 2, by=`the store`)", [Lag("units sold", 2, "the store")]),
        ("rolling_mean(sales, 3) / lag(sales, 1)", [Lag("sales", 1), Lag("sales", 2), Lag("sales", 3)]),
        ("price / area", []),
    ],
)
def test_lags_of_an_expression(text: str, columns: list[Lag]) -> None:
    assert sorted(lags_of(text), key=lambda lag: lag.rows) == columns


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lag(sales)", "is written as"),
        ("lag(sales, 0)", "from 1 to 10,000"),
        ("lag(sales, True)", "from 1 to 10,000"),
        ("lag(sales, -1)", "is written as"),
        ("lag(sales * 2, 1)", "is written as"),
        ("lag(sales, days=7)", "is written as"),
        ("rolling_mean(sales, 61)", "from 1 to 60"),
    ],
)
def test_a_lag_that_is_written_wrongly_is_an_error(text: str, complaint: str) -> None:
    with pytest.raises(ExpressionError, match=complaint):
        lags_of(text)


def test_values_are_those_of_earlier_rows_of_the_series_in_the_order_of_time(tmp_path: Path) -> None:
    table = read(tmp_path, "lag(sales, 1, by=store)")
    assert table.frame["sales_lag_1"].to_list() == [2, None, 1, 3.5, None, 10]
    assert table.frame["store"].to_list() == FRAME["store"].to_list()


def test_uneven_steps_are_reported(tmp_path: Path) -> None:
    notes = read(tmp_path, "lag(sales, 1, by=store)").notes
    assert any("lags of 'sales' count rows" in note and "25.0%" in note for note in notes)
    even = FRAME.filter(pl.col("day") != "13.01.2024")
    formats = {"day": "%d.%m.%Y"}
    assert not [
        note for note in read(tmp_path, "lag(sales, 1, by=store)", even, formats=formats).notes if "lag" in note
    ]


def test_columns_of_a_lag_may_be_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, "lag(sales, 2, by=store)", ignore=["store"]).frame.columns == ["day", "sales", "sales_lag_2"]


def test_rows_that_are_left_out_are_a_part_of_the_history(tmp_path: Path) -> None:
    table = read(tmp_path, "lag(sales, 1, by=store)", where="not is_missing(sales_lag_1)")
    assert table.frame["sales_lag_1"].to_list() == [2, 1, 3.5, 10]


def test_lags_are_a_part_of_the_version_of_the_data(tmp_path: Path) -> None:
    texts = ["lag(sales, 1, by=store)", "lag(sales, 2, by=store)", "day >= '2024-01-01'"]
    assert len({read(tmp_path, text).version for text in texts}) == 3


@pytest.mark.parametrize(
    ("expression", "data", "error", "complaint"),
    [
        ("lag(sales, 1)", {}, DataError, r"data.time: rows 2 and 5 have the same time.*by=store"),
        ("lag(sales, 1, by=store)", {"time": None}, SpecError, "needs `data.time`"),
        ("lag(price, 1, by=store)", {}, SpecError, "has no column 'price'"),
        ("lag(sales, 1, by=shop)", {}, SpecError, "has no column 'shop'"),
        ("lag(store, 1, by=store)", {}, SpecError, "does not hold numbers"),
        ("lag(sales, 1, by=store) + lag(sales, 1)", {}, SpecError, "has another `by`"),
    ],
)
def test_what_cannot_be_used_is_an_error(
    tmp_path: Path, expression: str, data: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        read(tmp_path, expression, **data)


def test_a_row_without_a_time_is_an_error(tmp_path: Path) -> None:
    gap = FRAME.with_columns(day=pl.Series(["", *FRAME["day"][1:]]))
    with pytest.raises(DataError, match="row 1 has no time"):
        read(tmp_path, "lag(sales, 1, by=store)", gap)


def test_a_question_about_the_time_comes_first(tmp_path: Path) -> None:
    unclear = FRAME.with_columns(day=pl.Series([f"0{number}/01/2024" for number in range(1, 7)]))
    assert [question.column for question in read(tmp_path, "lag(sales, 1)", unclear).values.questions] == ["day"]


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.integers(-5, 5)), unique_by=lambda row: row[:2], min_size=1
)


@given(ROWS, st.integers(1, 4))
def test_every_value_is_that_of_the_row_so_many_rows_before(rows: list[tuple[str, int, int]], count: int) -> None:
    frame = pl.DataFrame(rows, schema=["store", "day", "sales"], orient="row")
    lagged = add_lags(frame, specification(f"lag(sales, {count}, by=store)"))[0][f"sales_lag_{count}"]
    for (store, day, _), value in zip(rows, lagged, strict=True):
        earlier = sorted(other for other in rows if other[0] == store and other[1] < day)
        assert value == (earlier[-count][2] if len(earlier) >= count else None)
