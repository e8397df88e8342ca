import numpy as np
import polars as pl
import pytest

from model_deployer.contract.features import Categorical, Feature, Numeric
from model_deployer.training.export.reference import MAX_CATEGORIES, QUANTILES, reference

FEATURES: tuple[Feature, ...] = (Numeric(name="x", missing="impute"), Categorical(name="c", missing="impute"))


def test_distributions_leave_missing_values_out_and_count_them() -> None:
    train = pl.DataFrame({"x": [0.0, 1.0, 2.0, np.nan], "c": ["a", "a", "b", ""]})
    reference_json = reference(FEATURES, train, {"value": np.array([[0.0], [1.0]], dtype=np.float32)}).to_json()
    assert reference_json["features"]["x"]["missing"] == 0.25
    assert reference_json["features"]["x"]["quantiles"] == pytest.approx(2 * QUANTILES)
    assert reference_json["features"]["c"]["frequencies"] == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert reference_json["features"]["c"]["other"] == pytest.approx(0)
    assert reference_json["predictions"]["value[0]"]["quantiles"] == pytest.approx(QUANTILES)


def test_rare_categories_are_summed_up() -> None:
    train = pl.DataFrame({"x": [0.0] * 200, "c": [f"level {number}" for number in range(200)]})
    reference_json = reference(FEATURES, train, {}).to_json()["features"]["c"]
    assert len(reference_json["frequencies"]) == MAX_CATEGORIES
    assert reference_json["other"] == pytest.approx(1 - MAX_CATEGORIES / 200)


def test_a_column_without_values_has_no_distribution() -> None:
    train = pl.DataFrame({"x": [np.nan, np.nan], "c": ["", ""]})
    reference_json = reference(FEATURES, train, {}).to_json()["features"]
    assert reference_json["x"] == {"missing": 1.0, "quantiles": []}
    assert reference_json["c"] == {"missing": 1.0, "frequencies": {}, "other": 0.0}


def test_a_column_may_be_called_rows() -> None:
    reference_json = reference([Categorical(name="rows")], pl.DataFrame({"rows": ["a", "a", "b"]}), {}).to_json()
    assert reference_json["features"]["rows"]["frequencies"] == pytest.approx({"a": 2 / 3, "b": 1 / 3})
