"""Which model it is to be."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance

from contract.errors import EnvironmentFault
from tests.tables import FEATURES, classes_of, counts_of, scores, spec, table, unfitted
from training.candidates import TREES, Choice, choose_model
from training.export import TOLERANCE, check_parity, export_onnx
from training.interval import fit_interval
from training.linear import Linear
from training.model import Model
from training.preprocessing import Inputs
from training.sample import Sample
from training.trees import Trees

FRAME, LATER, LAST = table(2000), table(700, seed=1), table(500, seed=2)


def chosen(folder: Path, classes: int | None = 2, targets: list[Any] | None = None, **estimator: Any) -> Choice:
    said = spec(**{"epochs": 4, **estimator})
    targets = targets or [scores(frame) if classes is None else classes_of(frame, classes) for frame in (FRAME, LATER)]
    model, train = unfitted(FRAME, targets[0], classes, said)
    validation = Sample(model.blueprint.preprocessor.transform(LATER), targets[1])
    return choose_model(model, train, validation, said, folder)


def counted(folder: Path, **estimator: Any) -> Choice:
    return chosen(folder, None, [counts_of(frame) for frame in (FRAME, LATER)], task="count", **estimator)


def inputs(model: Model) -> Inputs:
    return model.blueprint.preprocessor.transform(LAST)


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_the_blend_is_chosen_or_else_the_least_loss_on_the_validation_part(classes: int | None, tmp_path: Path) -> None:
    choice = chosen(tmp_path, classes)
    names = [each["name"] for each in choice.tried]
    assert {"linear", "lightgbm", "tabm"} <= set(names)
    assert [each["loss"] for each in choice.tried] == sorted(each["loss"] for each in choice.tried)
    blends = [name for name in names if "+" in name]
    assert [each["name"] for each in choice.tried if each["chosen"]] == (blends or names[:1])
    assert len(choice.history) == 4


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_a_blend_is_one_graph_that_answers_as_its_parts_do(classes: int | None, tmp_path: Path) -> None:
    trees = chosen(tmp_path / "trees", classes, name="lightgbm").model
    network = chosen(tmp_path / "network", classes, name="tabm").model
    assert trees.columns
    assert trees.trees
    blend = network.with_trees(trees.columns, trees.trees, share=0.3)
    graph = export_onnx(blend, FEATURES)
    assert check_parity(graph, blend, LAST) <= TOLERANCE
    assert [value.name for value in graph.graph.output] == list(blend.head.names)
    again = export_onnx(blend, FEATURES)
    assert again.SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)
    name = blend.head.names[0]
    one, other, both = (model.predict(inputs(model))[name].numpy() for model in (network, trees, blend))
    assert np.allclose(both, 0.7 * one + 0.3 * other, atol=1e-5)


def test_every_candidate_for_a_count_is_better_than_the_mean_and_a_blend_averages_logarithms(tmp_path: Path) -> None:
    choice = counted(tmp_path)
    truth = counts_of(LATER)
    mean = np.full(len(truth), counts_of(FRAME).mean())
    assert {each["name"] for each in choice.tried} >= {"linear", "lightgbm", "tabm"}
    assert max(each["loss"] for each in choice.tried) < 0.8 * mean_poisson_deviance(truth, mean) / mean[0]
    trees, network = (counted(tmp_path, name=name).model for name in ("lightgbm", "tabm"))
    assert trees.columns
    assert trees.trees
    blend = network.with_trees(trees.columns, trees.trees, share=0.3)
    fit_interval(blend, Sample(blend.blueprint.preprocessor.transform(LATER), truth), 0.9)
    assert check_parity(export_onnx(blend, FEATURES), blend, LAST) <= TOLERANCE
    one, other, both = (model.predict(inputs(model))["value"].log().numpy() for model in (network, trees, blend))
    assert np.allclose(both, 0.7 * one + 0.3 * other, atol=1e-5)


def test_every_candidate_for_a_quantile_is_better_than_the_same_for_all(tmp_path: Path) -> None:
    quantile = 0.9
    targets = [scores(frame) for frame in (FRAME, LATER)]
    choice = chosen(tmp_path, None, targets, task="quantile", quantile=quantile)
    trivial = mean_pinball_loss(targets[1], np.full(len(LATER), np.quantile(targets[0], quantile)), alpha=quantile)
    assert {each["name"] for each in choice.tried} >= {"linear", "lightgbm", "tabm"}
    assert max(each["loss"] for each in choice.tried) < 0.8 * trivial / targets[0].std()
    fit_interval(choice.model, Sample(choice.model.blueprint.preprocessor.transform(LATER), targets[1]), 0.9)
    assert check_parity(export_onnx(choice.model, FEATURES), choice.model, LAST) <= TOLERANCE
    answers = choice.model.predict(inputs(choice.model))
    assert np.mean(scores(LAST) <= answers["value"][:, 0].numpy()) == pytest.approx(quantile, abs=0.05)


RARE = [np.where(np.arange(frame.height) % 300 == 7, 1.0, 0.0) for frame in (FRAME, LATER)]
HUGE = [np.round(counts_of(frame) * 1e9 / 3) for frame in (FRAME, LATER)]
NEAR = [1e5 + scores(frame) for frame in (FRAME, LATER)]


@pytest.mark.parametrize("name", ["linear", "lightgbm"])
@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (RARE, {"task": "count"}),
        ([RARE[0], 0 * RARE[1]], {"task": "count"}),
        (HUGE, {"task": "count"}),
        (RARE, {"task": "quantile", "quantile": 0.5}),
        (NEAR, {"task": "quantile", "quantile": 0.99}),
    ],
    ids=["rare", "none judged", "huge", "mostly nothing", "near each other"],
)
def test_odd_targets_are_answered_finitely_and_in_order(
    name: str, targets: list[Any], said: dict[str, Any], tmp_path: Path
) -> None:
    choice = chosen(tmp_path, None, targets, name=name, **said)
    model = choice.model
    assert np.isfinite([each["loss"] for each in choice.tried]).all()
    fit_interval(model, Sample(model.blueprint.preprocessor.transform(LATER), targets[1]), 0.9)
    value, lower, upper = (tensor.numpy() for tensor in model.predict(inputs(model)).values())
    assert np.isfinite(upper).all()
    assert ((lower <= value) & (value <= upper)).all()
    assert value.mean() == pytest.approx(targets[0].mean(), rel=0.2, abs=0.1)


@pytest.mark.parametrize(("name", "network", "has_trees"), [("linear", Linear, False), ("lightgbm", type(None), True)])
def test_one_that_is_named_is_the_only_one(name: str, network: type[Any], has_trees: bool, tmp_path: Path) -> None:
    choice = chosen(tmp_path, name=name)
    assert [each["name"] for each in choice.tried] == [name]
    assert isinstance(choice.model.network, network)
    assert bool(choice.model.trees) == has_trees
    assert choice.history == []
    assert check_parity(export_onnx(choice.model, FEATURES), choice.model, LAST) <= TOLERANCE


def test_a_linear_model_wins_where_the_world_is_linear(tmp_path: Path) -> None:
    def target(frame: pl.DataFrame) -> Any:
        noise = np.random.default_rng(3).normal(size=frame.height)
        return (frame["colour"] == "red").to_numpy() * 2.0 + frame["dial 'x'"].to_numpy() + noise

    choice = chosen(tmp_path, None, [target(FRAME), target(LATER)], epochs=1)
    assert "linear" in next(each["name"] for each in choice.tried if each["chosen"])


def test_the_same_seed_gives_the_same_choice(tmp_path: Path) -> None:
    one, two = (chosen(tmp_path / name) for name in ("one", "two"))
    assert [each | {"seconds": 0} for each in one.tried] == [each | {"seconds": 0} for each in two.tried]


def grown(folder: Path, **estimator: Any) -> Trees:
    trees = chosen(folder, name="lightgbm", **estimator).model.trees
    assert trees
    return trees


def test_trees_of_an_interrupted_run_are_not_grown_again(tmp_path: Path) -> None:
    """Also where the network, which comes after them, begins in an empty folder."""
    run = tmp_path / "run"
    chosen(run)
    kept = run.with_suffix(TREES)
    assert kept.read_text() == grown(tmp_path / "alone").text
    others = grown(tmp_path / "others", trials=4)
    kept.write_text(others.text)
    assert grown(run).text == others.text


@pytest.mark.parametrize("left", [b"", b"\xff\xfe", b"tree\nversion=v4\n"])
def test_damaged_trees_are_grown_anew(left: bytes, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.with_suffix(TREES).write_bytes(left)
    assert grown(run).text == grown(tmp_path / "whole").text


def test_without_lightgbm_the_others_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert {each["name"] for each in chosen(tmp_path).tried} == {"linear", "tabm"}
    with pytest.raises(EnvironmentFault, match="pip install lightgbm"):
        chosen(tmp_path, name="lightgbm")
