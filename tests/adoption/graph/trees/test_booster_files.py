"""Files of boosters are recognized by their content, and become the models that their libraries make of them."""

import lightgbm
import pytest

from model_deployer.adoption.graph.trees.booster_files import booster_fields, booster_width, read_booster_file
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from model_deployer.adoption.stored_object import StoredObject
from tests.adoption.graph.trees.graphs import matrix, stored
from tests.adoption.graph.trees.stored_models import FOLDER, read_file
from tests.adoption.graph.trees.test_sklearn_trees import NUMBER, TABLE


def test_lightgbm_text() -> None:
    data = lightgbm.Dataset(matrix(TABLE), NUMBER, feature_name=list(TABLE))
    booster = lightgbm.train({"verbose": -1}, data, 2)
    model = read_booster_file(booster.model_to_string().encode())
    assert model is not None
    assert model.kind == stored(booster).kind == "lightgbm.Booster"
    assert booster_fields(model) == booster_fields(stored(booster)) == list(TABLE)


@pytest.mark.parametrize("format_", ["json", "ubj"])
def test_xgboost_files(format_: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(matrix(TABLE), NUMBER, feature_names=list(TABLE))
    booster = xgboost.train({}, data, 2)
    model = read_booster_file(bytes(booster.save_raw(format_)))
    assert model is not None
    assert model.kind == stored(booster).kind == "xgboost.Booster"
    assert booster_fields(model) == booster_fields(stored(booster)) == list(TABLE)


def test_catboost_json() -> None:
    for case in read_file(FOLDER / "catboost-1.2.10.json.xz"):
        model = read_booster_file(case["content"])
        assert model is not None
        assert model.kind == "catboost.CatBoost"
        assert booster_fields(model) in (None, list(case["rows"]))
        assert booster_width(model) == len(case["rows"])


@pytest.mark.parametrize(
    ("line", "damaged"), [(b"left_child=", b"left_child=9999 "), (b"split_feature=", b"split_feature=77 ")]
)
def test_trees_that_name_what_does_not_exist(line: bytes, damaged: bytes) -> None:
    booster = lightgbm.train({"verbose": -1, "num_leaves": 3}, lightgbm.Dataset(matrix(TABLE), NUMBER), 1)
    before, _, after = booster.model_to_string().encode().partition(line)
    model = read_booster_file(before + damaged + after.partition(b" ")[2])
    with pytest.raises(UnsupportedModel, match="does not exist"):
        write_model(model)


def test_columns_of_written_models() -> None:
    """A model says its columns itself, with or without names."""
    unnamed = lightgbm.train({"verbose": -1}, lightgbm.Dataset(matrix(TABLE), NUMBER), 2)
    assert [field.name for field in write_model(stored(unnamed)).fields] == ["x0", "x1", "x2"]
    assert [field.name for field in write_model(stored(unnamed), ["p", "q", "r"]).fields] == ["p", "q", "r"]
    named = lightgbm.train({"verbose": -1}, lightgbm.Dataset(matrix(TABLE), NUMBER, feature_name=list(TABLE)), 2)
    assert [field.name for field in write_model(stored(named)).fields] == list(TABLE)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"learner_of": 1}', b"tree of life", b"\x80\x04N.", b"\0\0\0?"])
def test_other_files(content: bytes) -> None:
    assert read_booster_file(content) is None


def test_models_of_other_libraries_have_no_fields() -> None:
    assert booster_fields(StoredObject("sklearn.tree._classes", "DecisionTreeClassifier")) is None
