"""Columns of lists as vectors of a conformed frame."""

import base64
import json

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Feature, Image, NumberSequence, Numeric, Tensor, Vector
from model_deployer.training.data.features import conform, with_examples_of_one_row
from model_deployer.training.data.request_rows import frame_of_requests, graph_column, legal, request
from model_deployer.training.spec import Spec
from tests.support.tensor_models import image_content

FEATURES: tuple[Feature, ...] = (Vector(name="v", length=2, missing="impute"), Numeric(name="n"))


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.List(pl.Int8), pl.Array(pl.Float32, 2)])
def test_lists_of_the_length_are_conformed(dtype: pl.DataType) -> None:
    frame = pl.DataFrame({"v": [[1, 2], None], "n": [1.0, 2.0]}, schema={"v": dtype, "n": pl.Float64()})
    conformed = conform(frame, FEATURES)
    assert conformed.schema == {"v": pl.Array(pl.Float64, 2), "n": pl.Float64()}
    assert legal(FEATURES, conformed).to_list() == [True, True]
    rows = [request(FEATURES, row) for row in conformed.iter_rows(named=True)]
    assert rows == [{"v": [1.0, 2.0], "n": 1.0}, {"v": None, "n": 2.0}]
    assert frame_of_requests(FEATURES, rows).equals(conformed, null_equal=True)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([[1.0, 2.0], [3.0]], "column 'v', row 12: expected a list of 2 numbers"),
        ([[1.0, 2.0], [3.0, None]], "column 'v', row 12: expected a list of 2 numbers"),
        ([1.0, 2.0], "column 'v' holds Float64; expected a list of 2 numbers"),
        (["[1, 2]", "three"], "column 'v', row 12: expected a list of 2 numbers"),
    ],
)
def test_other_columns_are_refused(column: list[object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        conform(pl.DataFrame({"v": column, "n": [1.0, 2.0]}), FEATURES, offset=10)


def test_a_vector_with_nan_is_not_legal() -> None:
    frame = conform(pl.DataFrame({"v": [[1.0, float("nan")]], "n": [1.0]}), FEATURES)
    assert legal(FEATURES, frame).to_list() == [False]


def test_sequences_are_lists_of_a_legal_length() -> None:
    features: tuple[Feature, ...] = (NumberSequence(name="s", shortest=2, longest=3, missing="impute"),)
    frame = conform(pl.DataFrame({"s": [[1, 2], None, [3, 4, 5]]}), features)
    assert frame["s"].to_list() == [[1.0, 2.0], [], [3.0, 4.0, 5.0]]
    assert legal(features, frame).to_list() == [True, True, True]
    rows = [request(features, row) for row in frame.iter_rows(named=True)]
    assert rows == [{"s": [1.0, 2.0]}, {"s": None}, {"s": [3.0, 4.0, 5.0]}]
    assert frame_of_requests(features, rows).equals(frame)
    np.testing.assert_array_equal(graph_column(features[0], frame["s"]), [[1, 2, np.nan], [np.nan] * 3, [3, 4, 5]])
    with pytest.raises(DataError, match="column 's', row 2: expected a list of 2 to 3 numbers"):
        conform(pl.DataFrame({"s": [[1.0, 2.0], [1.0]]}), features)
    assert not legal(features, pl.DataFrame({"s": [[1.0, float("nan")]]})).any()


def test_text_in_json_is_a_list() -> None:
    frame = conform(pl.DataFrame({"v": ["[1, 2]", None], "n": [1.0, 2.0]}), FEATURES)
    np.testing.assert_array_equal(frame["v"].to_numpy(), [[1, 2], [np.nan, np.nan]])


@pytest.mark.parametrize("is_json", [True, False])
def test_tensors_are_nested_lists(is_json: bool) -> None:
    feature = Tensor(name="t", dimensions=((1, 3), 2), integers=True, missing="impute")
    values = [[[1, 2]], None, [[3, 4], [5, 6]]]
    column = [None if value is None else json.dumps(value) for value in values] if is_json else values
    frame = conform(pl.DataFrame({"t": column}), (feature,))
    assert frame["t"].to_list() == [[[1.0, 2.0]], [], [[3.0, 4.0], [5.0, 6.0]]]
    assert legal((feature,), frame).to_list() == [True, True, True]
    rows = [request((feature,), row) for row in frame.iter_rows(named=True)]
    assert rows == [{"t": value} for value in values]
    assert frame_of_requests((feature,), rows).equals(frame)
    expected = np.full((3, 2, 2), np.nan)
    expected[0, :1], expected[2] = [[1, 2]], [[3, 4], [5, 6]]
    np.testing.assert_array_equal(graph_column(feature, frame["t"]), expected)
    assert not legal((feature,), pl.DataFrame({"t": [[[0.5, 1.0]]]})).any()
    (example,) = with_examples_of_one_row(
        [feature],
        pl.DataFrame({"t": values}),
        Spec.model_validate({"name": "t", "data": {"path": "t.csv", "target": "y"}}),
    )
    assert example.example == ((1, 2),)


@pytest.mark.parametrize(
    "value", [[[1.0, 2.0], [3.0]], [[1.0, None]], [[1.0]], [], [[1.0, 2.0]] * 4, [None, [1.0, 2.0]]]
)
def test_other_tensors_are_refused(value: list[object]) -> None:
    feature = Tensor(name="t", dimensions=((1, 3), 2), missing="impute")
    frame = pl.DataFrame({"t": [[[1.0, 2.0]], value]}, schema={"t": pl.List(pl.List(pl.Float64))})
    with pytest.raises(
        DataError, match=r"column 't', row 2: expected nested lists of numbers of the shape \[1 to 3, 2\]"
    ):
        conform(frame, (feature,))


def test_images_are_bytes_or_base64() -> None:
    features: tuple[Feature, ...] = (Image(name="photo", height=8, width=6),)
    contents = [image_content(number) for number in range(2)]
    for column in (contents, [base64.b64encode(content).decode() for content in contents]):
        frame = conform(pl.DataFrame({"photo": column}), features)
        assert frame["photo"].to_list() == contents
        assert legal(features, frame).all()
    for values, reason in (
        ([contents[0], contents[1][:50]], "column 'photo', row 2: the file is damaged"),
        ([contents[0], None], "column 'photo', row 2: an image cannot be missing"),
        (["photos/1.png"], "column 'photo', row 1: the text is not base64"),
        ([1, 2], "column 'photo' holds Int64; expected a PNG or JPEG file in base64, of 6 x 8 pixels, or its bytes"),
    ):
        with pytest.raises(DataError, match=reason):
            conform(pl.DataFrame({"photo": values}), features)


def test_examples_of_lists_and_images_are_those_of_one_row() -> None:
    features: list[Feature] = [*FEATURES, NumberSequence(name="s", longest=3), Image(name="photo", height=8, width=6)]
    files = [image_content(number) for number in range(3)]
    frame = pl.DataFrame(
        {"v": [None, [1.0, 2.0], [3.0, 4.0]], "n": [1.0, 2.0, None], "s": [[1], [2, 3], [4]], "photo": files}
    )
    spec = Spec.model_validate({"name": "m", "data": {"path": "t.parquet", "target": "y"}})
    examples = [feature.example for feature in with_examples_of_one_row(features, frame, spec)]
    assert examples == [(1.0, 2.0), 2.0, (2.0, 3.0), base64.b64encode(files[1]).decode()]
