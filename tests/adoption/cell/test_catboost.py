"""Models of CatBoost, whose files have hashes of categories: they are saved with the texts that a table has."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_deployer.adoption.cell.cell_worker import conversion, models
from model_deployer.adoption.cell.cell_worker.table import Table
from model_deployer.adoption.graph.trees.catboost_model import read_catboost
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.trees.graphs import assert_equal, write

catboost = pytest.importorskip("catboost", reason="catboost has 100 MB; install it to run these tests")

NAMES = ["age", "city", "income", "plan"]
RANDOM = np.random.default_rng(0)
CITIES = np.array(["Ulm", "Köln", "Bonn", "Trier"], object)[RANDOM.integers(0, 4, 300)]
PLANS = RANDOM.integers(1, 6, 300)
AGES, INCOMES = RANDOM.integers(18, 80, 300).astype(float), RANDOM.normal(30_000, 8_000, 300)
TABLE = {"age": AGES, "city": CITIES, "income": INCOMES, "plan": PLANS.astype(float)}
CATEGORIES = {"city": sorted(set(CITIES)), "plan": [str(plan) for plan in range(1, 6)]}


@pytest.fixture(scope="module")
def model() -> Any:
    """A model of an array, which has no names."""
    rows = [list(row) for row in zip(AGES, CITIES, INCOMES, PLANS.tolist(), strict=True)]
    target = (AGES > 40) * 1.0 + (CITIES == "Ulm") * 1.5 + (PLANS == 3) > 1.2
    parameters = {"iterations": 20, "depth": 4, "verbose": False, "thread_count": 1, "allow_writing_files": False}
    return catboost.CatBoostClassifier(cat_features=[1, 3], **parameters).fit(rows, target.astype(int))


def converted(model: Any, folder: Path, form: str, **known: Any) -> bytes:
    path = folder / f"model.{form}"
    model.save_model(str(path), format=form)
    return conversion.convert({"kind": "catboost", "path": str(path), **known}, folder)


@pytest.mark.parametrize("form", ["cbm", "json"])
def test_a_model_without_names_and_texts_becomes_a_graph(model: Any, tmp_path: Path, form: str) -> None:
    content = converted(model, tmp_path, form, columns=NAMES, categories=CATEGORIES)
    unseen = {name: np.append(column, column[:1]) for name, column in TABLE.items()}
    unseen["city"][-1] = "Rom"
    loaded = models.estimator_of(model)
    assert loaded.describe()["names"] is None
    answers = loaded.predict(Table(unseen, {"outputs": ["probabilities"]}))["probabilities"]
    assert_equal(write(read_catboost(content), NAMES).predict(unseen), answers.tolist())


def test_a_category_without_a_text_is_refused(model: Any, tmp_path: Path) -> None:
    some = CATEGORIES | {"city": ["Ulm", "Bonn", "Trier"]}
    for known in ({}, {"columns": NAMES, "categories": some}):
        with pytest.raises(UnsupportedModel, match="there is no text for some of them"):
            read_catboost(converted(model, tmp_path, "cbm", **known))


def test_a_number_that_is_not_whole_is_refused(model: Any) -> None:
    rows = {name: column[:2].copy() for name, column in TABLE.items()}
    rows["plan"][1] = 2.5
    loaded = models.estimator_of(model)
    with pytest.raises(catboost.CatBoostError):
        loaded.predict(Table(rows, {}))
