"""LightningModules of the user's as candidates."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import DeployerError, EnvironmentFault, SpecError
from model_deployer.training.export.export import TOLERANCE, check_parity, export_onnx
from model_deployer.training.fitting.candidates import Choice, choose_model, time_shares
from model_deployer.training.fitting.refit import refit
from model_deployer.training.models.model import Model, load_model, save_model
from model_deployer.training.models.model_builder import rebuild_model
from model_deployer.training.models.own_network import OwnNetwork
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Component
from tests.support.tables import FEATURES, classes_of, counts_of, scores, spec, table, unfitted

pytestmark = pytest.mark.slow

FRAME, LATER, LAST = table(1500), table(500, seed=1), table(300, seed=2)
NETWORKS = "tests.support.networks"


def target(frame: pl.DataFrame, classes: int | None, task: str) -> Any:
    if classes is not None:
        return classes_of(frame, classes)
    return counts_of(frame) if task == "count" else scores(frame)


def chosen(folder: Path, classes: int | None = 2, task: str = "auto", **estimator: Any) -> Choice:
    options = spec(task=task, **{"epochs": 6, **estimator})
    model, train = unfitted(FRAME, target(FRAME, classes, task), classes, options)
    validation = Sample(model.blueprint.preprocessor.transform(LATER), target(LATER, classes, task))
    return choose_model(model, train, validation, options, folder / "run")


def exported(model: Model) -> float:
    return check_parity(export_onnx(model, FEATURES), model, LAST)


@pytest.mark.parametrize(("classes", "task"), [(None, "auto"), (None, "count"), (2, "auto"), (3, "auto")])
def test_an_own_network_learns_every_task_and_becomes_onnx(classes: int | None, task: str, tmp_path: Path) -> None:
    choice = chosen(tmp_path, classes, task, name=f"{NETWORKS}.Perceptron", parameters={"width": 24}, epochs=12)
    assert isinstance(choice.model.network, OwnNetwork)
    assert choice.model.network.architecture.parameters == {"width": 24}
    assert choice.history[-1].validation_loss < 0.9 * choice.history[0].validation_loss
    assert exported(choice.model) <= TOLERANCE


def test_own_classes_compete_with_the_others_and_are_blended(tmp_path: Path) -> None:
    own = [{"name": f"{NETWORKS}.Perceptron"}, {"name": "tests.support.estimators.OwnLogisticRegression"}]
    choice = chosen(tmp_path, candidates=own)
    names = {entry.name for entry in choice.tried}
    assert {"linear", "lightgbm", "tabm", *(entry["name"] for entry in own)} <= names
    assert sum(entry.chosen for entry in choice.tried) == 1
    assert len(choice.history) <= 6


def test_a_blend_with_an_own_network_is_one_graph(tmp_path: Path) -> None:
    network = chosen(tmp_path, name=f"{NETWORKS}.Perceptron").model
    trees = chosen(tmp_path, name="lightgbm").model
    assert trees.columns
    assert trees.estimator
    assert exported(network.with_estimator(trees.columns, trees.estimator, share=0.4)) <= TOLERANCE


def test_the_loss_of_the_class_is_used(tmp_path: Path) -> None:
    own, usual = (
        chosen(tmp_path / name, None, name=f"{NETWORKS}.{name}").history[0].train_loss
        for name in ("Absolute", "Perceptron")
    )
    assert own != pytest.approx(usual, rel=1e-3)


def test_step_optimizer_and_log_of_the_class_are_used(tmp_path: Path) -> None:
    logger = {"name": "pytorch_lightning.loggers.CSVLogger", "parameters": {"save_dir": str(tmp_path / "logs")}}
    choice = chosen(tmp_path, 3, name=f"{NETWORKS}.Complete", epochs=4, lightning={"loggers": [logger]})
    (file,) = (tmp_path / "logs").rglob("metrics.csv")
    logged = pl.read_csv(file)["own_loss"].drop_nulls().to_list()
    assert logged == pytest.approx([entry.train_loss for entry in choice.history], rel=0.02)
    assert exported(choice.model) <= TOLERANCE


def test_it_is_stored_and_rebuilt(tmp_path: Path) -> None:
    model = chosen(tmp_path, name=f"{NETWORKS}.Perceptron").model
    (tmp_path / "model").mkdir()
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert export_onnx(again, FEATURES) == export_onnx(model, FEATURES)


def test_it_is_fitted_again_on_all_rows(tmp_path: Path) -> None:
    options = spec(name=f"{NETWORKS}.Perceptron", epochs=6)
    choice = chosen(tmp_path, name=f"{NETWORKS}.Perceptron")
    rows = Sample(choice.model.blueprint.preprocessor.transform(LATER), classes_of(LATER, 2))
    model = rebuild_model(choice.model.blueprint.preprocessor, FEATURES, rows, choice.model, options)
    refitted = refit(choice, model, rows, options, tmp_path / "refit")
    assert isinstance(refitted.network, OwnNetwork)
    assert exported(refitted) <= TOLERANCE


def test_an_interrupted_fit_resumes_with_the_same_result(tmp_path: Path) -> None:
    whole = chosen(tmp_path / "whole", name=f"{NETWORKS}.Perceptron").model
    chosen(tmp_path / "parts", name=f"{NETWORKS}.Perceptron")
    again = chosen(tmp_path / "parts", name=f"{NETWORKS}.Perceptron").model
    assert export_onnx(again, FEATURES) == export_onnx(whole, FEATURES)


def test_candidates_share_the_time_that_is_left() -> None:
    """Two that need time get half each; what the linear model leaves is for the others."""
    names = ["linear", "lightgbm", "tabm"]
    shares = time_shares([Component.model_construct(name=name) for name in names])
    assert shares == pytest.approx({"linear": 0.3, "lightgbm": 0.45, "tabm": 1.0})


@pytest.mark.parametrize(
    ("name", "parameters", "error", "words"),
    [
        ("MeanLoss", {}, SpecError, "reduction='none'"),
        ("Narrow", {}, SpecError, r"forward returned \(\d+, 1\); expected a tensor of the shape \(rows, 3\)"),
        ("Broken", {}, SpecError, r"failed in forward \(line \d+ of tests.support.networks\): mat1"),
        ("Manual", {}, SpecError, "automatic_optimization"),
        ("Perceptron", {"size": 3}, SpecError, "cannot be created: .*size"),
        ("Missing", {}, SpecError, "has no 'Missing'"),
        ("nothing.Here", {}, EnvironmentFault, "must be in the folder of model.yaml"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    name: str, parameters: dict[str, Any], error: type[DeployerError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        chosen(tmp_path, 3, name=f"{NETWORKS}.{name}", parameters=parameters)
