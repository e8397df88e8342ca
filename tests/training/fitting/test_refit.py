"""The refit uses the validation rows too, and keeps what they decided."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from model_deployer.training.export.export import TOLERANCE, check_parity, export_onnx
from model_deployer.training.fitting.calibration import calibrate
from model_deployer.training.fitting.candidates import Choice, choose_model
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.fitting.refit import refit
from model_deployer.training.models.model import Model
from model_deployer.training.models.model_builder import build_model, rebuild_model
from model_deployer.training.preprocessing.preprocessing import fit_preprocessor
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import FEATURES, classes_of, scores, spec, table

pytestmark = pytest.mark.slow

TRAIN, LATER, LAST = table(1500), table(500, seed=1), table(300, seed=2)
BOTH = pl.concat([TRAIN, LATER])


def target_of(frame: pl.DataFrame, classes: int | None) -> Any:
    return scores(frame) if classes is None else classes_of(frame, classes)


def fitted(folder: Path, classes: int | None, later: Any = None, **estimator: Any) -> tuple[Choice, Model]:
    """Return the choice, and its refit on all rows; ``later`` is the target of the later rows."""
    options = spec(**{"epochs": 3, **estimator})
    first = target_of(TRAIN, classes)
    later = target_of(LATER, classes) if later is None else later
    preprocessor, inputs = fit_preprocessor(TRAIN, FEATURES, first, classes, 0)
    train, validation = Sample(inputs, first), Sample(preprocessor.transform(LATER), later)
    choice = choose_model(
        build_model(preprocessor, FEATURES, train, classes, options), train, validation, options, folder / "first"
    )
    if classes is None:
        fit_interval(choice.model, validation, 0.9)
    else:
        calibrate(choice.model, train, validation, 0)
    target = np.concatenate([first, later])
    preprocessor, inputs = fit_preprocessor(BOTH, FEATURES, target, classes, 0)
    rows = Sample(inputs, target)
    model = rebuild_model(preprocessor, FEATURES, rows, choice.model, options)
    return choice, refit(choice, model, rows, options, folder / "refitted")


def predictions(model: Model, frame: pl.DataFrame) -> Any:
    return model.predict(model.blueprint.preprocessor.transform(frame))[model.head.names[0]].numpy()


@pytest.mark.parametrize("name", ["auto", "linear", "lightgbm", "xgboost", "histogram_boosting", "mlp"])
def test_what_only_the_validation_rows_know_is_learnt(name: str, tmp_path: Path) -> None:
    """Among the later rows, every green one is of the second class."""
    green = (LATER["colour"] == "green").to_numpy()
    choice, refitted = fitted(tmp_path, 2, np.where(green, 1, classes_of(LATER, 2)), name=name)
    green_rows = LAST.filter(pl.col("colour") == "green")
    before, after = (predictions(model, green_rows)[:, 1].mean() for model in (choice.model, refitted))
    assert after > before + 0.02


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_what_the_validation_rows_decided_stays(classes: int | None, tmp_path: Path) -> None:
    choice, refitted = fitted(tmp_path, classes)
    assert {name: value.tolist() for name, value in refitted.head.state_dict().items()} == {
        name: value.tolist() for name, value in choice.model.head.state_dict().items()
    }
    assert type(refitted.estimator) is type(choice.model.estimator)
    assert type(refitted.network) is type(choice.model.network)
    assert np.corrcoef(predictions(refitted, LAST)[:, -1], predictions(choice.model, LAST)[:, -1])[0, 1] > 0.8
    assert check_parity(export_onnx(refitted, FEATURES), refitted, LAST) <= TOLERANCE


def test_boosting_is_refitted_with_best_parameters(tmp_path: Path) -> None:
    """Boosting is refitted with as many rounds as before, and the parameters that were best."""
    choice, refitted = fitted(tmp_path, None, name="lightgbm", trials=3)
    result = choice.recipe.search_result
    assert result
    assert result.trials == 3
    assert refitted.estimator
    (trees,) = refitted.estimator.model.graph.node
    tree_ids = next(attribute for attribute in trees.attribute if attribute.name == "nodes_treeids").ints
    assert len(set(tree_ids)) == result.rounds


def test_the_same_rows_and_seed_give_the_same_weights(tmp_path: Path) -> None:
    (_, first), (_, second) = (fitted(tmp_path / name, 2, name="tabm") for name in ("first", "second"))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
