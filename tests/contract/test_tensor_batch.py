"""Tensors of different shapes: what is padded is found again, and a graph gets one shape at a time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from model_deployer.contract.features import Tensor
from model_deployer.contract.tensor_batch import concatenated, padded, run_by_shape, shapes_of, unpadded

SHAPES = st.lists(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 4), st.just(2)), min_size=1, max_size=12)


def arrays_of(shapes: list[tuple[int, ...] | None]) -> list[NDArray[np.float64] | None]:
    random = np.random.default_rng(0)
    return [None if shape is None else random.normal(size=shape) for shape in shapes]


@given(shapes=SHAPES)
def test_padded_tensors_are_found_again(shapes: list[tuple[int, ...] | None]) -> None:
    arrays = arrays_of(shapes)
    column = padded(arrays, (1, 1, 2))
    assert shapes_of(column).tolist() == [list(shape or (0, 0, 0)) for shape in shapes]
    for actual, expected in zip(unpadded(column), arrays, strict=True):
        np.testing.assert_equal(actual, expected)
    parts = [padded(arrays[:half], (1, 1, 2)) for half in range(1, len(arrays))]
    if parts:
        np.testing.assert_equal(unpadded(concatenated(parts))[:1], arrays[:1])


@given(shapes=SHAPES)
def test_each_row_is_answered_as_alone(shapes: list[tuple[int, ...] | None]) -> None:
    """The graph answers with the shape that it sees, and with a sum that padding would spoil."""
    calls = []

    def run(columns: Any) -> dict[str, NDArray[Any]]:
        tensor = columns["t"]
        calls.append(tensor.shape[1:])
        sums = tensor.reshape(len(tensor), -1).sum(axis=1)
        return {"y": np.column_stack([sums, np.full(len(tensor), tensor[0].size), columns["n"][:, 0]])}

    column, numbers = padded(arrays_of(shapes), (1, 1, 2)), np.arange(len(shapes), dtype=np.float64)[:, None]
    together = run_by_shape(run, {"t": column, "n": numbers}, {"t": [1, 1, 2]})["y"]
    assert len(calls) == len(set(calls)) + sum(shape is None for shape in shapes[:0])
    for row in range(len(shapes)):
        alone = run_by_shape(run, {"t": column[row : row + 1], "n": numbers[row : row + 1]}, {"t": [1, 1, 2]})["y"]
        np.testing.assert_array_equal(together[row : row + 1], alone)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ([3], "make a field with one axis a `vector` or a `sequence`"),
        ([[5, 2], 3], r"the pair \[smallest, largest\]"),
        ([0, 3], "a size of at least 1"),
        ([2000, [1, 1000]], "2,000,000 numbers; at most 1,000,000"),
        ([1] * 9, "at most 8 axes"),
    ],
)
def test_shapes_that_are_refused(shape: list[Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Tensor.model_validate({"name": "t", "shape": shape})


def test_a_contract_has_the_shape_as_model_yaml_has_it() -> None:
    feature = Tensor.model_validate({"name": "t", "shape": [[1, 500], 80], "example": [[0.5] * 80]})
    document = feature.model_dump(mode="json")
    assert document["shape"] == [[1, 500], 80]
    assert Tensor.model_validate(document) == feature
    assert (feature.shape, feature.open_shape, feature.missing_shape) == ((500, 80), (-1, 80), (1, 80))
    with pytest.raises(ValidationError, match=r"the example has the shape \[1, 2\]"):
        Tensor.model_validate({"name": "t", "shape": [[1, 500], 80], "example": [[1, 2]]})
