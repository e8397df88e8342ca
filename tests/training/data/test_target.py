from datetime import date
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.target import Target, read_target, read_weights
from model_deployer.training.spec import Data, Spec


def read(values: list[Any], **keys: Any) -> Target:
    spec = Spec.model_validate({"name": "m", "data": {"path": "t", "target": "y"}, **keys})
    return read_target(pl.DataFrame({"y": values}, strict=False), spec)


@pytest.mark.parametrize(
    ("values", "keys", "labels", "codes"),
    [
        (["b", "a", "b"], {}, ("a", "b"), [1, 0, 1]),
        ([True, False, True], {}, ("false", "true"), [1, 0, 1]),
        ([10, 2, 10, 2], {}, ("10", "2"), [0, 1, 0, 1]),
        ([1.0, 0.0, 1.0], {"task": "classification"}, ("0", "1"), [1, 0, 1]),
        (["late", "on_time", "late"], {"positive": "late"}, ("on_time", "late"), [1, 0, 1]),
    ],
)
def test_classes(values: list[Any], keys: dict[str, Any], labels: tuple[str, ...], codes: list[int]) -> None:
    target = read(values, **keys)
    assert target.labels == labels
    assert (target.values.tolist(), target.values.dtype.name) == (codes, "int64")


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ([0.5, 1.5, 0.5], {}),
        (list(range(21)), {}),
        ([0, 1, 1], {"task": "regression"}),
        (["1.5", "2"], {"task": "regression"}),
        ([0, 1, 1], {"task": "count"}),
        ([0.0, 1e9, 3.0], {"task": "count"}),
        ([0, 1, 1], {"task": "quantile", "quantile": 0.9}),
    ],
)
def test_quantities(values: list[Any], keys: dict[str, Any]) -> None:
    target = read(values, **keys)
    assert target.labels is None
    assert (target.values.tolist(), target.values.dtype.name) == ([float(value) for value in values], "float64")


@pytest.mark.parametrize(
    ("values", "keys", "complaint"),
    [
        (["a", None, "", "b"], {}, "'y' is missing in 2 rows, first in row 2"),
        ([1.5, float("nan")], {}, "'y' is missing in 1 row, first in row 2; set `data.drop_missing_target: true`"),
        ([1.5, float("inf")], {}, "'y', row 2: expected a finite number"),
        (["a", "a"], {}, "the same value in every row"),
        ([2.5, 2.5], {}, "the same value in every row"),
        (["1", "b"], {"task": "regression"}, "'y', row 2: expected a number"),
        ([date(2013, 1, 1), date(2013, 1, 2)], {}, "holds Date; expected numbers, strings or booleans"),
        ([f"{number}" for number in range(100)], {}, "'y' has 100 classes in 100 rows"),
        ([0, 1, -1, 2.5], {"task": "count"}, "'y', row 3: expected a whole number of at least 0; or set `task: regr"),
        ([0.0, 1.5], {"task": "count"}, "'y', row 2: expected a whole number"),
        ([0, float("inf")], {"task": "count"}, "'y', row 2: expected a finite number"),
        ([0, 0, 0], {"task": "count"}, "the same value in every row"),
        ([10**9, 10**9 + 1, 10**9 + 2], {"task": "count"}, "too close to each other"),
        (["1", "b"], {"task": "count"}, "'y', row 2: expected a number"),
    ],
)
def test_a_target_that_cannot_be_learnt(values: list[Any], keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read(values, **keys)


def test_positive_is_one_of_two_labels() -> None:
    with pytest.raises(SpecError, match=r"positive: expected 'no' or 'yes', but got 'false'; put a label .* in quotes"):
        read(["no", "yes"], positive=False)


def test_weights() -> None:
    frame = pl.DataFrame(
        {"y": [0, 1], "w": [1, 2], "huge": [1e308, 1e308], "zero": [0, 0], "bad": [1.0, -1.0], "gap": [None, 1]}
    )

    def weights(column: str | None) -> Any:
        return read_weights(frame, Spec(name="m", data=Data(path="t", target="y", weight=column)))

    assert weights(None) is None
    assert weights("w").tolist() == pytest.approx([2 / 3, 4 / 3])
    assert weights("huge").tolist() == pytest.approx([1, 1])
    for column, complaint in [("zero", "0 in every row"), ("bad", "row 2: expected"), ("gap", "row 1: expected")]:
        with pytest.raises(DataError, match=complaint):
            weights(column)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([1.0, 1e31, 2.0], "row 2: expected a finite number with a magnitude of at most"),
        ([1e9, 1e9 + 1, 1e9 + 2], "too close to each other"),
        ([1e-200, 2e-200, 3e-200], "too close to each other"),
    ],
)
def test_a_quantity_that_float32_cannot_answer(values: list[float], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read(values)


@pytest.mark.parametrize("keys", [{"positive": "a"}, {"cost": {"false_positive": 2}}])
@pytest.mark.parametrize("values", [["a", "b", "c", "a", "b", "c"], [0.5, 1.5, 2.5]])
def test_what_is_said_of_two_labels_needs_two_labels(values: list[Any], keys: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"{next(iter(keys))}: only for a target with two labels"):
        read(values, **keys)
