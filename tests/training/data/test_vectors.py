"""Columns of lists as vectors of a conformed frame."""

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Feature, NumberSequence, Numeric, Vector
from model_deployer.training.data.features import conform
from model_deployer.training.data.request_rows import frame_of_requests, graph_column, legal, request

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
        (["[1, 2]", "[3, 4]"], "column 'v' holds String; expected a list of 2 numbers"),
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
