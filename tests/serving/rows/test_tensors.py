"""Tensors in JSON and in tables: the fast path and the slow one agree, and problems name the place."""

import io
import json
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
import pytest
from arro3.core import Array, Field, Schema, Table, fixed_size_list_array
from arro3.io import write_ipc_stream
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import BodyTooLarge, InvalidRows, MalformedBody, RequestError
from model_deployer.contract.features import NumberSequence, Numeric, Tensor
from model_deployer.contract.outputs import Regression
from model_deployer.serving.memory import MemoryBudget
from model_deployer.serving.rows.arrow import CompressedStream
from model_deployer.serving.rows.columns import ColumnBuilder
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.serving.rows.tables import TableReader
from model_deployer.serving.rows.validation import Validator
from tests.serving.rows.test_vectors import NUMBERS, assert_equal, columns_of

FEATURES = (
    Tensor(name="t", dimensions=((1, 3), 2)),
    Tensor(
        name="free", dimensions=((1, 2), (1, 3)), integers=True, minimum=0, maximum=9, missing="impute", required=False
    ),
    Numeric(name="n", missing="impute", required=False),
)
CONTRACT = Contract(features=FEATURES, output=Regression(target="y"), limits=Limits(rows=50))
ROW: dict[str, Any] = {"t": [[0.5, -1], [2, 3]], "free": [[0, 9, 1]], "n": 1.5}

BUILD = ColumnBuilder(FEATURES)

VALUES = st.one_of(
    st.lists(st.lists(NUMBERS, max_size=3), max_size=4),
    st.lists(st.lists(st.sampled_from([0, 1, 7]), min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.lists(st.lists(NUMBERS, max_size=2), max_size=2), max_size=2),
    st.lists(NUMBERS, max_size=3),
    NUMBERS,
)
FIELDS = st.sampled_from([*ROW, "other"])
CHANGES = st.dictionaries(FIELDS, VALUES, max_size=3)


def outcome(read: Any, body: Any) -> Any:
    """Return the columns, or the problems with their texts."""
    try:
        rows = read(body)
        return columns_of(rows) if hasattr(rows, "columns") else BUILD(rows)
    except InvalidRows as error:
        return error.problems


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


@given(tensors=st.lists(st.lists(st.lists(st.floats() | st.none(), max_size=3) | st.none(), max_size=4), min_size=1))
def test_a_table_agrees_with_json(tensors: list[Any]) -> None:
    frame = pl.DataFrame({"t": tensors}, schema={"t": pl.List(pl.List(pl.Float64))})
    actual = outcome(TableReader(CONTRACT), stream(frame))
    expected = outcome(Decoder(CONTRACT).objects, [{"t": tensor} for tensor in tensors])
    if isinstance(expected, dict):
        assert_equal(actual, expected)
    else:
        assert {(problem.row, problem.field) for problem in actual} == {
            (problem.row, problem.field) for problem in expected
        }


def stream(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_ipc_stream(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        pl.List(pl.List(pl.Float32)),
        pl.List(pl.Array(pl.Int8, 2)),
        pl.Array(pl.List(pl.Float64), 2),
        pl.Array(pl.UInt16, (2, 2)),
    ],
)
def test_lists_of_every_type_are_tensors(kind: pl.DataType) -> None:
    values = [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[0, 1], [1, 0]]]
    frame = pl.DataFrame({"t": values}, schema={"t": kind})
    for part, tensors in ((frame, values), (frame[1:], values[1:])):
        assert_equal(outcome(TableReader(CONTRACT), stream(part)), BUILD([(tensor, None, None) for tensor in tensors]))


@pytest.mark.parametrize(("permutation", "is_read"), [(None, True), ([0, 1], True), ([1, 0], False)])
def test_the_extension_type_of_arrow_is_read(permutation: list[int] | None, is_read: bool) -> None:
    array = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    lists = fixed_size_list_array(Array.from_numpy(array.ravel()), 4)
    description = {"shape": [2, 2]} | ({"permutation": permutation} if permutation else {})
    metadata = {
        "ARROW:extension:name": "arrow.fixed_shape_tensor",
        "ARROW:extension:metadata": json.dumps(description),
    }
    file = io.BytesIO()
    schema = Schema([Field("t", lists.type, metadata=metadata)])
    write_ipc_stream(Table.from_arrays([lists], schema=schema), file, compression=None)
    if is_read:
        expected = outcome(TableReader(CONTRACT), stream(pl.DataFrame({"t": array})))
        assert_equal(outcome(TableReader(CONTRACT), file.getvalue()), expected)
    else:
        with pytest.raises(MalformedBody, match="permuted"):
            TableReader(CONTRACT)(file.getvalue())


@pytest.mark.parametrize("cut", range(1, 700, 7))
def test_a_damaged_stream_is_refused(cut: int) -> None:
    body = stream(pl.DataFrame({"t": [[[1.0, 2], [3, 4]], [[5.0, 6]]]}))
    damaged = body[: cut % len(body)] + bytes([255]) + body[cut % len(body) + 1 :]
    for content in (damaged, body[: -cut % len(body)]):
        with suppress(RequestError, CompressedStream):  # no other error
            outcome(TableReader(CONTRACT), content)


EXPECTED = "expected nested lists of numbers of the shape [1 to 3, 2]"


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (
            [[1, 2], [3]],
            "wrong_length",
            f"{EXPECTED}; the list at [1] has 1 items, and the first one of its axis 2",
        ),
        (
            [[1, 2]] * 4,
            "wrong_length",
            f"{EXPECTED}; it has the shape [4, 2]",
        ),
        ([1, 2], "wrong_type", f"{EXPECTED}; it has no list at [0]"),
        ([[1, 2], [3, "x"]], "wrong_type", "expected a number at [1][1]"),
        ([[1, 2], [None, 4]], "not_nullable", "null at [1][0] is not accepted: send a number"),
        ([[[1], 2]], "wrong_type", "expected a number at [0][0]"),
        ([[True, 2]], "wrong_type", "expected a number at [0][0]"),
        ([], "wrong_length", f"{EXPECTED}; it has the shape [0]"),
        ("text", "wrong_type", EXPECTED),
    ],
)
def test_problems_name_the_place(value: Any, code: str, message: str) -> None:
    (problem,) = outcome(Decoder(CONTRACT), json.dumps(ROW | {"t": value}).encode())
    assert (problem.code, problem.message) == (code, message)


def test_padding_counts_as_memory() -> None:
    """One large value among many small ones makes the column of all of them large."""
    features = (Tensor(name="t", dimensions=((1, 1000), (1, 1000))), NumberSequence(name="s", longest=1_000_000))
    contract = Contract(features=features, output=Regression(target="y"))
    wide, tall = [[1.0] * 1000], [[1.0]] * 1000
    for name, values in (("t", [wide, tall, *[[[1.0]]] * 98]), ("s", [[1.0] * 100_000, *[[1.0]] * 999])):
        rows = [{"t": [[1.0]], "s": [1.0], name: value} for value in values]
        decoder = Decoder(contract)
        decoded = decoder(json.dumps({"rows": rows}).encode())
        with MemoryBudget(100 * 1024**2).request(), pytest.raises(BodyTooLarge, match="send fewer rows"):
            decoder.table(decoded)  # type: ignore[arg-type]
        frame = pl.DataFrame(rows, schema={"t": pl.List(pl.List(pl.Float64)), "s": pl.List(pl.Float64)})
        with MemoryBudget(100 * 1024**2).request(), pytest.raises(BodyTooLarge, match="send fewer rows"):
            TableReader(contract)(stream(frame))
