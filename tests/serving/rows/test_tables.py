"""The same table as rows of JSON, columns of JSON and Arrow: the same columns for the graph, or the same problems."""

import asyncio
import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.errors import InvalidRows, MalformedBody, RequestError, TooManyRows
from model_deployer.contract.features import MAX_EXACT_INTEGER
from model_deployer.serving.rows import formats
from model_deployer.serving.rows.arrow import CompressedStream
from model_deployer.serving.rows.columns import ColumnBuilder, Columns, Table
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.serving.rows.tables import TableReader
from tests.support import tiny

DECODER = Decoder(tiny.CONTRACT)
READER = TableReader(tiny.CONTRACT)
BUILD_COLUMNS = ColumnBuilder(tiny.FEATURES)

Outcome = dict[str, list[str]] | list[tuple[int, str | None, str, str]]
Data = dict[str, list[Any]]


def outcome(read: Callable[[], Columns]) -> Outcome:
    try:
        columns = read()
    except InvalidRows as error:
        return [(problem.row, problem.field, problem.code, problem.message) for problem in error.problems]
    return {name: list(map(repr, column[:, 0].tolist())) for name, column in sorted(columns.items())}


def as_rows(data: Data) -> Outcome:
    rows = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]

    def read() -> Columns:
        values = DECODER(json.dumps({"rows": rows}).encode())
        assert isinstance(values, list)
        return BUILD_COLUMNS(values)

    return outcome(read)


def as_columns(data: Data) -> Outcome:
    def read() -> Columns:
        table = DECODER(json.dumps({"columns": data}).encode())
        assert isinstance(table, Table)
        return table.columns

    return outcome(read)


def as_arrow(frame: pl.DataFrame, compression: Any = "uncompressed") -> Outcome:
    return outcome(lambda: READER(stream(frame, compression)).columns)


def stream(frame: pl.DataFrame, compression: Any = "uncompressed") -> bytes:
    file = io.BytesIO()
    frame.write_ipc_stream(file, compression=compression)
    return file.getvalue()


def tables(values: dict[str, st.SearchStrategy[Any]], always: set[str]) -> st.SearchStrategy[Data]:
    """Tables of one to five rows; only the columns ``always`` are always present."""
    optional = sorted(values.keys() - always)
    names = st.lists(st.sampled_from(optional), unique=True).map(lambda drawn: [*sorted(always), *drawn])
    return st.tuples(names, st.integers(1, 5)).flatmap(
        lambda shape: st.fixed_dictionaries(
            {name: st.lists(values[name], min_size=shape[1], max_size=shape[1]) for name in shape[0]}
        )
    )


REQUIRED = {feature.name for feature in tiny.FEATURES if feature.required}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 1.5, -1, 3.0, 10**400, "", "JFK", "x" * 1001, [], {}, "2013-11-01T17:05:00"]
)
JSON_VALUES = {feature.name: st.just(tiny.ROW[feature.name]) | ODD for feature in tiny.FEATURES} | {"stranger": ODD}


@settings(max_examples=150)
@given(tables(JSON_VALUES, set()).filter(bool))
def test_columns_of_json_are_read_as_rows_are(data: Data) -> None:
    assert as_columns(data) == as_rows(data)


LOCAL = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))
TYPES: dict[str, Any] = {
    "distance": pl.Float64, "temp": pl.Float32, "seats": pl.Int64, "holiday": pl.Boolean, "origin": pl.Categorical,
    "carrier": pl.String, "departure": pl.Datetime("us"), "booked": pl.Datetime("us", "UTC"), "remark": pl.String,
    "stranger": pl.Int8,
}  # fmt: skip
ARROW_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "distance": st.floats(-10, 5010) | st.none(),
    "temp": st.floats(-100, 200, width=32) | st.none(),
    "seats": st.integers(-5, 600) | st.just(MAX_EXACT_INTEGER + 1) | st.none(),
    "holiday": st.booleans() | st.none(),
    "origin": st.sampled_from(["EWR", "JFK", "LGA", "XXX", "", None]),
    "carrier": st.sampled_from(["AA", "ÅÄÖ", "", "x" * 1001, None]),
    "departure": LOCAL | st.none(),
    "booked": LOCAL.map(lambda time: time.replace(tzinfo=UTC)) | st.none(),
    "remark": st.sampled_from(["", "kind", "x" * 201, None]),
    "stranger": st.integers(0, 5),
}


def text_of(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


@settings(max_examples=150)
@given(tables(ARROW_VALUES, {"distance"}))
def test_arrow_is_read_as_rows_are(data: Data) -> None:
    frame = pl.DataFrame(data, schema={name: TYPES[name] for name in data})
    rows = as_rows({name: [text_of(value) for value in values] for name, values in data.items()})
    assert as_arrow(frame) == rows


VALID = {name: [value] * 3 for name, value in tiny.ROW.items()}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("distance", pl.Series([733, 733, 733], dtype=pl.UInt16)),
        ("distance", pl.Series([733.5] * 3, dtype=pl.Float32)),
        ("seats", pl.Series([149.0] * 3)),
        ("origin", pl.Series(["JFK"] * 3, dtype=pl.Enum(["EWR", "JFK"]))),
        ("departure", pl.Series([datetime(2013, 11, 1, 17, 5)] * 3, dtype=pl.Datetime("ns"))),
        ("departure", pl.Series(["2013-11-01T17:05:00"] * 3)),
        ("temp", pl.Series([None] * 3, dtype=pl.Null)),
        ("temp", pl.Series([51.1, float("nan"), None])),
    ],
)
def test_a_type_that_means_the_same_is_taken(name: str, column: pl.Series) -> None:
    values = [text_of(value) for value in (column.fill_nan(None) if column.dtype.is_float() else column).to_list()]
    table = pl.DataFrame(VALID).with_columns(column.alias(name), pl.col("booked"))
    assert as_arrow(table) == as_rows(VALID | {name: values})


@pytest.mark.parametrize(
    ("name", "column", "code"),
    [
        ("distance", pl.Series(["733"] * 3), "wrong_type"),
        ("distance", pl.Series([True] * 3), "wrong_type"),
        ("distance", pl.Series([float("inf")] * 3), "not_finite"),
        ("seats", pl.Series([149.5] * 3), "not_an_integer"),
        ("seats", pl.Series([2**64 - 1] * 3, dtype=pl.UInt64), "out_of_range"),
        ("departure", pl.Series([datetime(2013, 11, 1)] * 3, dtype=pl.Datetime("us", "UTC")), "invalid_datetime"),
        ("departure", pl.Series([2**62] * 3, dtype=pl.Int64).cast(pl.Datetime("ms")), "invalid_datetime"),
        ("holiday", pl.Series([0, 1, 0]), "wrong_type"),
    ],
)
def test_wrong_column_type_is_a_problem_of_every_row(name: str, column: pl.Series, code: str) -> None:
    """A column whose type means something else is a problem of every row."""
    problems = as_arrow(pl.DataFrame(VALID).with_columns(column.alias(name)))
    assert [problem[:3] for problem in problems] == [(row, name, code) for row in range(3)]


@pytest.mark.parametrize("column", [pl.Series([[1.0]] * 3), pl.Series([b"1"] * 3), pl.Series([{"a": 1}] * 3)])
def test_a_type_that_no_feature_has_is_refused(column: pl.Series) -> None:
    with pytest.raises(MalformedBody, match="type that no feature has"):
        as_arrow(pl.DataFrame(VALID).with_columns(column.alias("distance")))


def compress(frame: pl.DataFrame, media_type: str) -> bytes:
    file = io.BytesIO()
    if media_type == formats.STREAM:
        frame.write_ipc_stream(file, compression="zstd")
    elif media_type == formats.FILE:
        frame.write_ipc(file, compression="lz4")
    else:
        frame.write_parquet(file)
    return file.getvalue()


def unpack(body: bytes, media_type: str) -> bytes:
    async def run() -> bytes:
        return await formats.Unpacker(tiny.CONTRACT.limits)(body, media_type)

    return asyncio.run(run())


@pytest.mark.parametrize("media_type", [formats.STREAM, formats.FILE, formats.PARQUET])
def test_what_is_packed_is_read_too(media_type: str) -> None:
    frame = pl.DataFrame(VALID)
    body = compress(frame, media_type)
    assert outcome(lambda: READER(unpack(body, media_type)).columns) == as_arrow(frame)


def test_a_compressed_stream_says_that_it_has_to_be_unpacked() -> None:
    with pytest.raises(CompressedStream):
        READER(compress(pl.DataFrame(VALID), formats.STREAM))


@pytest.mark.parametrize("media_type", [formats.STREAM, formats.FILE, formats.PARQUET])
def test_what_is_written_can_be_read_by_others(media_type: str) -> None:
    body = formats.write({"decision": ["late", "on_time"], "p": np.array([0.25, 0.75], dtype=np.float32)}, media_type)
    read: dict[str, Callable[[io.BytesIO], Any]] = {
        formats.STREAM: pl.read_ipc_stream, formats.FILE: pl.read_ipc, formats.PARQUET: pl.read_parquet
    }  # fmt: skip
    frame = read[media_type](io.BytesIO(body))
    assert frame.to_dict(as_series=False) == {"decision": ["late", "on_time"], "p": [0.25, 0.75]}
    assert frame.schema["p"] == pl.Float32


BOMBS = {
    "many rows": pl.DataFrame({"distance": pl.repeat(1.0, 50_000_000, eager=True)}),
    "more than a body may hold": pl.DataFrame({"remark": [f"{row:010000}" for row in range(90)]}),
    "more than the memory": pl.DataFrame({"remark": pl.repeat("x" * 20_000_000, 60, eager=True)}),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("media_type", [formats.STREAM, formats.PARQUET])
def test_no_bomb_goes_off(name: str, media_type: str) -> None:
    body = compress(BOMBS[name], media_type)
    with pytest.raises(RequestError) as caught:
        READER(unpack(body, media_type))
    assert caught.value.status in (400, 413)


def test_many_views_of_one_text_are_refused() -> None:
    with pytest.raises(MalformedBody):
        READER(stream(BOMBS["more than the memory"]))


def test_buffers_that_are_used_twice_are_refused() -> None:
    """The buffers of both columns are changed to span the whole content."""
    body = stream(pl.DataFrame({"distance": [1.0] * 3, "temp": [2.0] * 3}))
    for start in (0, 64):
        buffer = struct.pack("<qq", start, 24)
        assert body.count(buffer) == 1
        body = body.replace(buffer, struct.pack("<qq", 0, 128))
    with pytest.raises(MalformedBody):
        READER(body)


def test_columns_without_end_are_refused_before_they_are_read() -> None:
    wide = stream(pl.DataFrame({f"c{index}": pl.Series([None] * 100, dtype=pl.Null) for index in range(1_000)}))
    with pytest.raises(MalformedBody, match="far more columns"):
        READER(wide)


@settings(max_examples=500)
@given(st.data())
def test_whatever_comes_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(stream(pl.DataFrame(VALID)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RequestError, CompressedStream):
        READER(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"PAR1" * 5])
@pytest.mark.parametrize("media_type", [formats.STREAM, formats.FILE, formats.PARQUET])
def test_what_is_no_table_is_refused(content: bytes, media_type: str) -> None:
    with pytest.raises(MalformedBody):
        READER(unpack(content, media_type))


@pytest.mark.parametrize(
    "content",
    ['{"columns": {}}', '{"columns": {"distance": []}}', '{"columns": {"distance": [1], "seats": [1, 2]}}',
     '{"columns": {"distance": 1}}', '{"columns": {"distance": [1]}, "rows": []}', '{"columns": {"distance": null}}'],
)  # fmt: skip
def test_columns_that_are_no_table_are_refused(content: str) -> None:
    with pytest.raises(MalformedBody):
        DECODER(content.encode())


def test_a_table_of_too_many_rows_is_refused() -> None:
    data = {name: [value] * 101 for name, value in tiny.ROW.items()}
    with pytest.raises(TooManyRows):
        DECODER(json.dumps({"columns": data}).encode())
    with pytest.raises(TooManyRows):
        READER(stream(pl.DataFrame(data)))
