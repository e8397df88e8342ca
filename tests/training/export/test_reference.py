import numpy as np
import polars as pl
import pytest

from model_deployer.contract.features import Categorical, Feature, Numeric
from model_deployer.training.export.reference import MOST_CATEGORIES, QUANTILES, reference

FEATURES: tuple[Feature, ...] = (Numeric(name="x", missing="impute"), Categorical(name="c", missing="impute"))


def test_distributions_leave_missing_values_out_and_count_them() -> None:
    train = pl.DataFrame({"x": [0.0, 1.0, 2.0, np.nan], "c": ["a", "a", "b", ""]})
    found = reference(FEATURES, train, {"value": np.array([[0.0], [1.0]], dtype=np.float32)}).to_json()
    assert found["features"]["x"]["missing"] == 0.25
    assert found["features"]["x"]["quantiles"] == pytest.approx(2 * QUANTILES)
    assert found["features"]["c"]["frequencies"] == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert found["features"]["c"]["other"] == pytest.approx(0)
    assert found["predictions"]["value[0]"]["quantiles"] == pytest.approx(QUANTILES)


def test_rare_categories_are_summed_up() -> None:
    train = pl.DataFrame({"x": [0.0] * 200, "c": [f"level {number}" for number in range(200)]})
    found = reference(FEATURES, train, {}).to_json()["features"]["c"]
    assert len(found["frequencies"]) == MOST_CATEGORIES
    assert found["other"] == pytest.approx(1 - MOST_CATEGORIES / 200)


def test_a_column_without_values_has_no_distribution() -> None:
    train = pl.DataFrame({"x": [np.nan, np.nan], "c": ["", ""]})
    found = reference(FEATURES, train, {}).to_json()["features"]
    assert found["x"] == {"missing": 1.0, "quantiles": []}
    assert found["c"] == {"missing": 1.0, "frequencies": {}, "other": 0.0}


def test_a_column_may_be_called_rows() -> None:
    found = reference([Categorical(name="rows")], pl.DataFrame({"rows": ["a", "a", "b"]}), {}).to_json()
    assert found["features"]["rows"]["frequencies"] == pytest.approx({"a": 2 / 3, "b": 1 / 3})
