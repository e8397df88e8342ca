"""Text and typed columns of a table mean what the same values mean in a request."""

import base64
import io
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image as Pillow

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, InvalidRows
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    Numeric,
    Tensor,
    Text,
    Vector,
)
from model_deployer.contract.outputs import Regression
from model_deployer.prediction.field_columns import FieldReader
from model_deployer.serving.rows.columns import ColumnBuilder
from model_deployer.serving.rows.tables import TableReader
from model_deployer.serving.rows.validation import Validator
from tests.support.tensor_models import image_content

NAN = float("nan")

#: Fields with the texts of a column, among them some that are not in the form.
TEXTS: list[tuple[Feature, list[str]]] = [
    (Numeric(name="x", format="$1,234.5"), ["$1,234.50", "5", "-$3", "($4)", "1.234,5", "€5", "$12,34"]),
    (Numeric(name="x", format="1.234,5 €"), ["1.234,5 €", "12,75", "1.234.567", "1,234.5", "three"]),
    (Integer(name="x", format="1 234.5 kg"), ["1 234 kg", "12 kg", "1.5 kg", "7", "kg"]),
    (Boolean(name="x", format="ja/nein"), ["ja", "NEIN", " Ja ", "yes", "true"]),
    (Datetime(name="x", format="%d/%m/%Y"), ["01/02/2020", "31/12/1999", "12/31/1999", "2020-01-05T00:00:00", "?1"]),
    (Datetime(name="x", format="%m/%d/%Y %H:%M"), ["11/1/2013 17:05", "1/31/2013 7:05", "31/1/2013 7:05"]),
    (Datetime(name="x", format="%Y-%m-%dT%H:%M:%S%z", zoned=True), ["2020-01-05T10:00:00+0200", "2020-01-05"]),
    (Datetime(name="x", format="%Y%m%d"), ["20240131", "20241301"]),
    (Datetime(name="x"), ["2020-01-05T10:00:00", "2020-01-05 10:00:00.5", "2020-01-05", "2020-01-05T10:00:00Z"]),
    (Datetime(name="x", zoned=True), ["2020-01-05T10:00:00Z", "2020-01-05T10:00:00+02:00", "2020-01-05T10:00:00"]),
    (Categorical(name="x", categories=("a", "b"), unknown="reject"), ["a", "b", "c", " a", "A", "NA"]),
    (Text(name="x", longest=5), ["", "hello", "hello!"]),
]


def outcomes(feature: Feature, column: pl.Series) -> list[Any]:
    """Return what each value of a column becomes: the graph's input, or the code of its problem."""
    contract = Contract(features=(feature,), output=Regression(target="y"))
    read = TableReader(contract).table
    result: list[Any] = [None] * len(column)
    for part in FieldReader(contract, {"x": column.dtype}).parts(column.to_frame("x")):
        for position, number in enumerate(part.numbers.tolist()):
            assert isinstance(part.rows, dict)
            column_of_part = part.rows["x"]
            missing = column_of_part.missing
            one = replace(
                column_of_part,
                values=column_of_part.values[position : position + 1],
                missing=None if missing is None else missing[position : position + 1],
            )
            try:
                result[number] = read({"x": one}).columns["x"].item()
            except InvalidRows as invalid:
                result[number] = invalid.problems[0].code
    return result


def outcomes_of_requests(feature: Feature, values: list[Any]) -> list[Any]:
    contract = Contract(features=(feature,), output=Regression(target="y"))
    validator, build = Validator(contract), ColumnBuilder(contract.features)
    result: list[Any] = []
    for value in values:
        try:
            result.append(build(validator.check([{"x": value}]))["x"].item())
        except InvalidRows as invalid:
            result.append(invalid.problems[0].code)
    return result


@pytest.mark.parametrize(("feature", "texts"), TEXTS, ids=lambda value: getattr(value, "format", None) or None)
def test_text_means_what_it_means_in_a_request(feature: Feature, texts: list[str]) -> None:
    values = [None if text == "" else text for text in texts]
    expected = outcomes_of_requests(feature, values)
    assert outcomes(feature, pl.Series("x", texts)) == expected
    # As in other batches of the same table.
    assert [outcomes(feature, pl.Series("x", [text]))[0] for text in texts] == expected


@pytest.mark.parametrize(
    ("feature", "column", "expected"),
    [
        (Numeric(name="x", missing="impute"), pl.Series([" 1.5", "NA", "-", ""]), [1.5, NAN, NAN, NAN]),
        (Numeric(name="x"), pl.Series(["1e3", "inf", None]), [1000.0, "not_finite", "not_nullable"]),
        (Numeric(name="x"), pl.Series([True, False]), [1.0, 0.0]),
        (Numeric(name="x", missing="impute"), pl.Series([1.5, NAN, float("inf")]), [1.5, NAN, "not_finite"]),
        (Integer(name="x"), pl.Series([2**53, 2**53 + 1]), [2.0**53, "out_of_range"]),
        (Integer(name="x"), pl.Series([3.0, 3.5]), [3.0, "not_an_integer"]),
        (Integer(name="x"), pl.Series([3, 4], dtype=pl.Int8), [3.0, 4.0]),
        (Boolean(name="x"), pl.Series(["TRUE", "false", "1"]), [1.0, 0.0, "wrong_type"]),
        (Boolean(name="x"), pl.Series([0, 1, 2]), [0.0, 1.0, "wrong_type"]),
        (Categorical(name="x", categories=("1", "2")), pl.Series([1, 2]), ["1", "2"]),
        (Categorical(name="x", categories=("1", "2")), pl.Series([1.0, 2.5]), ["1", "2.5"]),
        (Categorical(name="x", categories=("1.0", "2.5")), pl.Series([1.0, 2.0]), ["1.0", "2.0"]),
        (Categorical(name="x", missing="impute"), pl.Series(["a", None], dtype=pl.Categorical), ["a", ""]),
        (Datetime(name="x"), pl.Series([date(1970, 1, 2)]), [86_400.0]),
        (Datetime(name="x", format="%Y%m%d"), pl.Series([19_700_102, 19_701_302]), [86_400.0, "invalid_datetime"]),
    ],
)
def test_types_are_read_as_in_training(feature: Feature, column: pl.Series, expected: list[Any]) -> None:
    actual = outcomes(feature, column)
    for left, right in zip(actual, expected, strict=True):
        assert left == right or (isinstance(left, float) and np.isnan(left) and np.isnan(right))


def test_marks_of_the_model_are_missing() -> None:
    contract = Contract(features=(Numeric(name="x", missing="impute"),), output=Regression(target="y"))
    (part,) = FieldReader(contract, {"x": pl.String()}, ("unknown",)).parts(pl.DataFrame({"x": ["1", "unknown"]}))
    assert isinstance(part.rows, dict)
    assert np.isnan(part.rows["x"].values).tolist() == [False, True]


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.List(pl.Int16), pl.Array(pl.Float32, 2)])
def test_vectors_are_read_from_lists(dtype: pl.DataType) -> None:
    contract = Contract(features=(Vector(name="x", length=2, missing="impute"),), output=Regression(target="y"))
    column = pl.Series("x", [[1, 2], None, [3, 4]], dtype=dtype)
    (part,) = FieldReader(contract, {"x": column.dtype}).parts(column.to_frame())
    assert isinstance(part.rows, dict)
    np.testing.assert_array_equal(TableReader(contract).table(part.rows).columns["x"], [[1, 2], [NAN, NAN], [3, 4]])


def test_other_lists_are_refused() -> None:
    contract = Contract(features=(Vector(name="x", length=2),), output=Regression(target="y"))
    column = pl.Series("x", [[1.0, 2.0, 3.0], [1.0, None]])
    (part,) = FieldReader(contract, {"x": column.dtype}).parts(column.to_frame())
    assert isinstance(part.rows, dict)
    with pytest.raises(InvalidRows) as refusal:
        TableReader(contract).table(part.rows)
    assert [problem.code for problem in refusal.value.problems] == ["wrong_length", "not_finite"]
    with pytest.raises(DataError, match="column 'x' holds values of type Float64; expected a list of 2 numbers"):
        FieldReader(contract, {"x": pl.Float64()})


def test_lists_in_json_are_read_from_text() -> None:
    """A table in CSV has no lists."""
    features = (Vector(name="x", length=2), Tensor(name="t", dimensions=((1, 3), 2), missing="impute"))
    contract = Contract(features=features, output=Regression(target="y"))
    frame = pl.DataFrame({"x": ["[1, 2]", "[3, 4]", "three"], "t": ["[[1, 2], [3, 4]]", None, "[[5, 6]]"]})
    readable, other = FieldReader(contract, frame.schema).parts(frame)
    assert isinstance(readable.rows, dict) and isinstance(other.rows, dict)
    columns = TableReader(contract).table(readable.rows).columns
    np.testing.assert_array_equal(columns["x"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(columns["t"], [[[1, 2], [3, 4]], [[NAN, NAN], [NAN, NAN]]])
    with pytest.raises(InvalidRows) as refusal:
        TableReader(contract).table(other.rows)
    assert [(problem.field, problem.code) for problem in refusal.value.problems] == [("x", "wrong_type")]


def test_images_are_read_from_bytes_and_from_base64() -> None:
    contract = Contract(features=(Image(name="x", height=8, width=6),), output=Regression(target="y"))
    content = image_content(1)
    for column in (pl.Series("x", [content]), pl.Series("x", [base64.b64encode(content).decode()])):
        (part,) = FieldReader(contract, {"x": column.dtype}).parts(column.to_frame())
        assert isinstance(part.rows, dict)
        pixels = TableReader(contract).table(part.rows).columns["x"]
        np.testing.assert_array_equal(pixels, np.asarray(Pillow.open(io.BytesIO(content)))[None])
    with pytest.raises(DataError, match="column 'x' holds values of type Int64; expected a PNG or JPEG file"):
        FieldReader(contract, {"x": pl.Int64()})
