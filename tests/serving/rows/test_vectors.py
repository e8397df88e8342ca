"""Vectors in JSON and in tables: the fast path and the slow one agree, and every problem is named."""

import io
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import InvalidRows, MalformedBody, RequestError, TooManyRows
from model_deployer.contract.features import NumberSequence, Numeric, Text, Vector
from model_deployer.contract.outputs import Regression
from model_deployer.serving.rows.columns import ColumnBuilder, Columns, Table
from model_deployer.serving.rows.decoding import Decoder, Rows
from model_deployer.serving.rows.tables import TableReader
from model_deployer.serving.rows.validation import Validator
from model_deployer.serving.rows.value_count import ValueCounter

FEATURES = (
    Vector(name="v", length=3),
    Vector(name="ids", length=2, integers=True, minimum=0, maximum=9, missing="impute", required=False),
    Vector(name="share", length=1, minimum=0, maximum=1, missing="impute"),
    NumberSequence(name="seq", shortest=2, longest=4, missing="impute", required=False),
    Numeric(name="n", missing="impute", required=False),
)
CONTRACT = Contract(features=FEATURES, output=Regression(target="y"), limits=Limits(rows=50))
ROW: dict[str, Any] = {"v": [0.5, -1, 2], "ids": [0, 9], "share": [0.25], "seq": [1, 2, 3], "n": 1.5}

BUILD = ColumnBuilder(FEATURES)


def columns_of(rows: Rows) -> Columns:
    return rows.columns if isinstance(rows, Table) else BUILD(rows)


def assert_equal(actual: Columns, expected: Columns) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype == np.float64
        np.testing.assert_array_equal(actual[name], array)


def outcome(read: Any, body: Any) -> Any:
    """Return the columns, or the problems with their texts."""
    try:
        return columns_of(read(body))
    except InvalidRows as error:
        return error.problems
    except RequestError as error:
        return type(error)


NUMBERS = st.one_of(
    st.sampled_from(
        [0, 1, 9, 10, -1, 0.5, 3.0, -0.0, 1e300, 2**53, 2**53 + 1, 10**30, True, None, "1", math.nan, math.inf]
    ),
    st.floats(),
    st.integers(),
)
VALUES = st.one_of(
    st.lists(NUMBERS, max_size=4), st.lists(st.sampled_from([0, 1, 0.5, 7]), min_size=1, max_size=3), NUMBERS
)
FIELDS = st.sampled_from([*ROW, "other"])
CHANGES = st.dictionaries(FIELDS, VALUES, max_size=3)


@given(changes=st.lists(CHANGES, min_size=1, max_size=3), dropped=st.sets(FIELDS, max_size=2))
def test_the_fast_path_agrees_with_the_slow_one(changes: list[dict[str, Any]], dropped: set[str]) -> None:
    rows = [{name: value for name, value in (ROW | change).items() if name not in dropped} for change in changes]
    body = json.dumps({"rows": rows}).encode()
    slow = outcome(Validator(CONTRACT).rows, body)
    for actual in (outcome(Decoder(CONTRACT), body), outcome(Decoder(CONTRACT).objects, json.loads(body)["rows"])):
        if isinstance(slow, dict):
            assert_equal(actual, slow)
        else:
            assert actual == slow


@given(vectors=st.lists(st.none() | st.lists(st.floats(), max_size=4), min_size=1, max_size=4))
def test_a_table_agrees_with_json(vectors: list[list[float] | None]) -> None:
    frame = pl.DataFrame(
        {"v": vectors, "share": [[0.5]] * len(vectors)},
        schema={"v": pl.List(pl.Float64), "share": pl.Array(pl.Float32, 1)},
    )
    rows = [{"v": vector, "share": [0.5]} for vector in vectors]
    expected = outcome(Validator(CONTRACT).rows, json.dumps({"rows": rows}).encode())
    actual = outcome(TableReader(CONTRACT), stream(frame))
    if isinstance(expected, dict):
        assert_equal(actual, expected)
    else:
        assert actual == expected


def stream(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_ipc_stream(file, compression="uncompressed")
    return file.getvalue()


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64, pl.Int8, pl.UInt16, pl.Int64])
@pytest.mark.parametrize("is_fixed", [True, False])
def test_tables_have_lists_of_any_number(dtype: type[pl.DataType], is_fixed: bool) -> None:
    kind = pl.Array(dtype, 3) if is_fixed else pl.List(dtype)
    frame = pl.DataFrame(
        {"v": [[1, 2, 3], [4, 5, 6]], "ids": [[1, 2], None], "share": [None, [1]]},
        schema={"v": kind, "ids": pl.List(pl.Int32), "share": pl.Array(pl.Float64, 1)},
    )
    nan = math.nan
    expected = {
        "v": [[1, 2, 3], [4, 5, 6]],
        "ids": [[1, 2], [nan, nan]],
        "share": [[nan], [1]],
        "seq": [[nan], [nan]],
        "n": [[nan], [nan]],
    }
    assert_equal(
        columns_of(TableReader(CONTRACT)(stream(frame))), {n: np.array(v, np.float64) for n, v in expected.items()}
    )


def test_batches_of_a_stream_with_lists_of_different_lengths_are_checked_together() -> None:
    frames = [pl.DataFrame({"v": [[1.0] * length], "share": [[0.5]]}) for length in (3, 2)]
    with pytest.raises(InvalidRows) as refusal:
        TableReader(CONTRACT)(stream(pl.concat(frames, rechunk=False)))
    (problem,) = refusal.value.problems
    assert (problem.row, problem.field, problem.code) == (1, "v", "wrong_length")


@pytest.mark.parametrize("column", [[["a"]], [[["a"]]], [[True]], [[None]]])
def test_lists_of_other_types_are_refused(column: list[Any]) -> None:
    with pytest.raises(MalformedBody, match="lists of numbers"):
        TableReader(CONTRACT)(stream(pl.DataFrame({"v": column})))


@pytest.mark.parametrize("cut", range(1, 600, 7))
def test_a_damaged_stream_of_lists_is_refused(cut: int) -> None:
    body = stream(pl.DataFrame({"v": [[1.0, 2, 3]], "share": [[0.5]]}))
    damaged = body[: cut % len(body)] + bytes([255]) + body[cut % len(body) + 1 :]
    outcome(TableReader(CONTRACT), damaged)  # no other error than that of a request
    outcome(TableReader(CONTRACT), body[: -cut % len(body)])


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ([1, 2], "wrong_length", "expected a list of 3 numbers; it has 2"),
        ([1, 2, None], "not_nullable", "null at index 2 is not accepted: send a number"),
        ([1, "x", 2], "wrong_type", "expected a number at index 1"),
        ([1, True, 2], "wrong_type", "expected a number at index 1"),
        ([[1, 2, 3]], "wrong_length", "expected a list of 3 numbers; it has 1"),
        ([1, 2, math.nan], "not_finite", "the number at index 2 is NaN, infinite or too large: send a number"),
        ("secret", "wrong_type", "expected a list of 3 numbers"),
        (None, "not_nullable", "null is not accepted: send a list of 3 numbers"),
    ],
)
def test_a_problem_names_what_is_expected_and_where(value: Any, code: str, message: str) -> None:
    with pytest.raises(InvalidRows) as refusal:
        Decoder(CONTRACT)(json.dumps({"rows": [ROW, ROW | {"v": value}]}).encode())
    (problem,) = refusal.value.problems
    assert (problem.row, problem.field, problem.code, problem.message) == (1, "v", code, message)


def test_bounds_of_elements_are_named() -> None:
    with pytest.raises(InvalidRows) as refusal:
        Decoder(CONTRACT)(json.dumps(ROW | {"ids": [1, 10], "share": [2]}).encode())
    assert [problem.message for problem in refusal.value.problems] == [
        "expected a whole number from 0 to 9 at index 1",
        "expected a number from 0 to 1 at index 0",
    ]


def test_elements_are_counted_before_they_are_parsed() -> None:
    features = (Vector(name="v", length=1000), Text(name="t"))
    counter = ValueCounter(Contract(features=features, output=Regression(target="y"), limits=Limits(rows=10)))
    counter.reserve(json.dumps({"rows": [{"v": [0] * 1000, "t": ""}] * 10}).encode())
    with pytest.raises(TooManyRows):
        counter.reserve(b'{"rows":[{"v":[' + b"0," * 30_000 + b"0]}]}")
