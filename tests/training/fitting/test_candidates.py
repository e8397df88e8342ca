"""The candidates and the choice among them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.export.export import TOLERANCE, check_parity, export_onnx
from model_deployer.training.fitting.candidates import ESTIMATOR_SUFFIX, Choice, choose_model
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.models.linear import Linear
from model_deployer.training.models.model import Model
from model_deployer.training.models.network import Network
from model_deployer.training.models.onnx_estimator import OnnxEstimator
from model_deployer.training.preprocessing.preprocessing import Inputs
from model_deployer.training.preprocessing.sample import Sample
from tests.support.json_documents import unknown_keys
from tests.support.tables import FEATURES, classes_of, counts_of, scores, spec, table, unfitted

pytestmark = pytest.mark.slow

FRAME, LATER, LAST = table(2000), table(700, seed=1), table(500, seed=2)


def chosen(folder: Path, classes: int | None = 2, targets: list[Any] | None = None, **estimator: Any) -> Choice:
    options = spec(**{"epochs": 4, **estimator})
    targets = targets or [scores(frame) if classes is None else classes_of(frame, classes) for frame in (FRAME, LATER)]
    model, train = unfitted(FRAME, targets[0], classes, options)
    validation = Sample(model.blueprint.preprocessor.transform(LATER), targets[1])
    return choose_model(model, train, validation, options, folder)


def counted(folder: Path, **estimator: Any) -> Choice:
    return chosen(folder, None, [counts_of(frame) for frame in (FRAME, LATER)], task="count", **estimator)


def inputs(model: Model) -> Inputs:
    return model.blueprint.preprocessor.transform(LAST)


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_blend_or_least_validation_loss_is_chosen(classes: int | None, tmp_path: Path) -> None:
    """The blend is chosen, or else the candidate with the least loss on the validation part."""
    choice = chosen(tmp_path, classes)
    names = [entry.name for entry in choice.tried]
    assert {"linear", "lightgbm", "tabm"} <= set(names)
    assert [entry.loss for entry in choice.tried] == sorted(entry.loss for entry in choice.tried)
    blends = [name for name in names if "+" in name]
    assert [entry.name for entry in choice.tried if entry.chosen] == (blends or names[:1])
    assert len(choice.history) == 4
    assert not unknown_keys(choice.tried) | unknown_keys(choice.history)


@pytest.mark.parametrize("classes", [None, pytest.param(2, marks=pytest.mark.long), 3])
def test_a_blend_is_one_graph_that_answers_as_its_parts_do(classes: int | None, tmp_path: Path) -> None:
    trees = chosen(tmp_path / "trees", classes, name="lightgbm").model
    network = chosen(tmp_path / "network", classes, name="tabm").model
    assert trees.columns
    assert trees.estimator
    blend = network.with_estimator(trees.columns, trees.estimator, share=0.3)
    graph = export_onnx(blend, FEATURES)
    assert check_parity(graph, blend, LAST) <= TOLERANCE
    assert [value.name for value in graph.graph.output] == list(blend.head.names)
    again = export_onnx(blend, FEATURES)
    assert again.SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)
    name = blend.head.names[0]
    of_network, of_trees, of_both = (model.predict(inputs(model))[name].numpy() for model in (network, trees, blend))
    assert np.allclose(of_both, 0.7 * of_network + 0.3 * of_trees, atol=1e-5)


def test_candidates_for_a_count_beat_the_mean(tmp_path: Path) -> None:
    """Every candidate for a count is better than the mean, and a blend averages logarithms."""
    choice = counted(tmp_path)
    truth = counts_of(LATER)
    mean = np.full(len(truth), counts_of(FRAME).mean())
    assert {entry.name for entry in choice.tried} >= {"linear", "lightgbm", "tabm"}
    assert max(entry.loss for entry in choice.tried) < 0.8 * mean_poisson_deviance(truth, mean) / mean[0]
    trees, network = (counted(tmp_path, name=name).model for name in ("lightgbm", "tabm"))
    assert trees.columns
    assert trees.estimator
    blend = network.with_estimator(trees.columns, trees.estimator, share=0.3)
    fit_interval(blend, Sample(blend.blueprint.preprocessor.transform(LATER), truth), 0.9)
    assert check_parity(export_onnx(blend, FEATURES), blend, LAST) <= TOLERANCE
    of_network, of_trees, of_both = (
        model.predict(inputs(model))["value"].log().numpy() for model in (network, trees, blend)
    )
    assert np.allclose(of_both, 0.7 * of_network + 0.3 * of_trees, atol=1e-5)


def test_candidates_for_a_quantile_beat_a_constant(tmp_path: Path) -> None:
    """Every candidate for a quantile is better than the same value for all rows."""
    quantile = 0.9
    targets = [scores(frame) for frame in (FRAME, LATER)]
    choice = chosen(tmp_path, None, targets, task="quantile", quantile=quantile)
    trivial = mean_pinball_loss(targets[1], np.full(len(LATER), np.quantile(targets[0], quantile)), alpha=quantile)
    assert {entry.name for entry in choice.tried} >= {"linear", "lightgbm", "tabm"}
    assert max(entry.loss for entry in choice.tried) < 0.8 * trivial / targets[0].std()
    fit_interval(choice.model, Sample(choice.model.blueprint.preprocessor.transform(LATER), targets[1]), 0.9)
    assert check_parity(export_onnx(choice.model, FEATURES), choice.model, LAST) <= TOLERANCE
    outputs = choice.model.predict(inputs(choice.model))
    assert np.mean(scores(LAST) <= outputs["value"][:, 0].numpy()) == pytest.approx(quantile, abs=0.05)


NAMED = [
    ("linear", {}, Linear),
    ("lightgbm", {}, type(None)),
    ("xgboost", {"parameters": {"max_depth": 3}}, type(None)),
    ("random_forest", {"parameters": {"n_estimators": 20}}, type(None)),
    ("histogram_boosting", {"parameters": {"max_iter": 20}}, type(None)),
    ("sklearn.neighbors.KNeighborsClassifier", {"parameters": {"n_neighbors": 9}}, type(None)),
    ("mlp", {"epochs": 1}, Network),
]


@pytest.mark.parametrize(("name", "keys", "network"), NAMED)
def test_one_that_is_named_is_the_only_one(name: str, keys: dict[str, Any], network: type[Any], tmp_path: Path) -> None:
    choice = chosen(tmp_path, name=name, **keys)
    assert [entry.name for entry in choice.tried] == [name]
    assert isinstance(choice.model.network, network)
    assert bool(choice.model.estimator) == (network is type(None))
    assert len(choice.history) == (network is Network)
    assert check_parity(export_onnx(choice.model, FEATURES), choice.model, LAST) <= TOLERANCE


def test_a_plain_network_has_one_member(tmp_path: Path) -> None:
    model = chosen(tmp_path, name="mlp", members=8, epochs=1).model
    outputs = model.member_outputs(inputs(model).numbers, inputs(model).codes)
    assert outputs is not None
    assert outputs.shape == (LAST.height, 1, 2)


def test_a_linear_model_wins_where_the_world_is_linear(tmp_path: Path) -> None:
    def target(frame: pl.DataFrame) -> Any:
        noise = np.random.default_rng(3).normal(size=frame.height)
        return (frame["colour"] == "red").to_numpy() * 2.0 + frame["dial 'x'"].to_numpy() + noise

    choice = chosen(tmp_path, None, [target(FRAME), target(LATER)], epochs=1)
    assert "linear" in next(entry.name for entry in choice.tried if entry.chosen)


def test_the_same_seed_gives_the_same_choice(tmp_path: Path) -> None:
    first, second = (chosen(tmp_path / name).tried for name in ("first", "second"))
    assert [entry.model_copy(update={"seconds": 0}) for entry in first] == [
        entry.model_copy(update={"seconds": 0}) for entry in second
    ]


def fitted_trees(folder: Path, **estimator: Any) -> bytes:
    result = chosen(folder, name="lightgbm", **estimator).recipe.search_result
    assert result
    return result.serialized


def test_trees_of_an_interrupted_run_are_not_grown_again(tmp_path: Path) -> None:
    """This holds also if the network, which is fitted after them, starts in an empty folder."""
    run = tmp_path / "run"
    chosen(run)
    file = run.with_name(f"run.lightgbm{ESTIMATOR_SUFFIX}")
    assert file.read_bytes() == fitted_trees(tmp_path / "alone")
    others = fitted_trees(tmp_path / "others", trials=4)
    file.write_bytes(others)
    assert fitted_trees(run) == others


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", OnnxEstimator.of_nodes([]).serialized])
def test_damaged_trees_are_grown_anew(content: bytes, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.with_name(f"run.lightgbm{ESTIMATOR_SUFFIX}").write_bytes(content)
    assert fitted_trees(run) == fitted_trees(tmp_path / "uninterrupted")


def test_without_lightgbm_other_trees_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    names = {entry.name for entry in chosen(tmp_path / "xgboost", epochs=1).tried}
    assert {"linear", "xgboost", "tabm"} <= names
    monkeypatch.setitem(sys.modules, "xgboost", None)
    names = {entry.name for entry in chosen(tmp_path / "sklearn", epochs=1).tried}
    assert {"linear", "histogram_boosting", "tabm"} <= names
    with pytest.raises(EnvironmentFault, match="pip install lightgbm"):
        chosen(tmp_path / "named", name="lightgbm")
    with pytest.raises(EnvironmentFault, match="pip install xgboost"):
        chosen(tmp_path / "named", name="xgboost")


def test_spent_budget_skips_the_network(tmp_path: Path) -> None:
    """A spent budget leaves the network out and ends the search."""
    choice = chosen(tmp_path, budget_seconds=1e-9, epochs=None, trials=None)
    entries = {entry.name: entry for entry in choice.tried}
    assert set(entries) <= {"linear", "lightgbm", "linear+lightgbm"}
    assert entries["lightgbm"].trials == 1


def test_a_network_that_is_named_takes_a_step_even_without_time(tmp_path: Path) -> None:
    choice = chosen(tmp_path, name="tabm", budget_seconds=1e-9, epochs=None)
    assert len(choice.history) == 1
    assert choice.tried[0].epochs == 1


def test_plan_of_a_budget_can_be_repeated(tmp_path: Path) -> None:
    """A plan says what a budget came to, and a spec that says the same gives the same model."""
    budgeted = chosen(tmp_path / "budgeted", name="tabm", budget_seconds=6, epochs=None)
    (entry,) = budgeted.tried
    planned = chosen(tmp_path / "planned", name="tabm", epochs=entry.epochs, batch_size=entry.batch_size)
    assert planned.history == budgeted.history
