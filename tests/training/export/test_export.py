import copy
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.features import Text
from model_deployer.training.export.export import TOLERANCE, check_parity, export_onnx, prediction_scale, run_onnx
from model_deployer.training.fitting.candidates import choose_model
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.models.heads import RegressionHead
from model_deployer.training.models.model import Model, load_model, save_model
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.preprocessing.preprocessing import fit_preprocessor
from model_deployer.training.preprocessing.sample import Sample
from tests.support.reviews import reviews
from tests.support.tables import FEATURES, classes_of, counts_of, network_of, scores, spec, table, unfitted

NAN = float("nan")


def shaken(model: Model) -> Model:
    """Change every parameter of a model, including those that start as zeros, and return the model."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network_of(model).parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@cache
def exported(classes: int | None, *, by_time: bool = False) -> tuple[Model, onnx.ModelProto]:
    frame = table(1500)
    target = np.exp(scores(frame)) if classes is None else classes_of(frame, classes)
    model = shaken(unfitted(frame, target, classes, spec(by_time=by_time))[0])
    return model, export_onnx(model, FEATURES)


@pytest.mark.parametrize(("classes", "by_time"), [(None, False), (2, True), (3, False)])
def test_the_graph_answers_as_the_model_does(classes: int | None, by_time: bool) -> None:
    model, graph = exported(classes, by_time=by_time)
    assert check_parity(graph, model, table(700, seed=1)) <= TOLERANCE
    assert [value.name for value in graph.graph.input] == [feature.name for feature in FEATURES]
    assert [value.name for value in graph.graph.output] == list(model.head.names)


def test_odd_rows_are_answered_alike_and_finitely() -> None:
    frame = pl.DataFrame(
        {
            "size, in m²": [NAN, 1e300, -1e300, 0.0],
            "dial 'x'": [NAN, -1e-300, 5e-324, 1e9],
            "open": [NAN, 0.0, 1.0, NAN],
            "when": [NAN, -1e10, 1e11, 0.0],
            "colour": ["", "never seen", "réd", "x" * 1000],
            "model_street": ["", "never seen", "street 1", "\U0001f600"],
        }
    )
    model, graph = exported(3)
    assert check_parity(graph, model, frame) <= TOLERANCE
    assert np.allclose(run_onnx(graph, frame)["probabilities"].sum(1), 1)


@pytest.mark.parametrize("columns", [["colour"], ["model_street"], ["open"]])
def test_a_single_feature_is_enough(columns: list[str]) -> None:
    frame = table(1500)
    model, _ = unfitted(frame.select(columns), classes_of(frame, 2), 2, spec())
    features = [feature for feature in FEATURES if feature.name in columns]
    assert check_parity(export_onnx(shaken(model), features), model, table(50, seed=1).select(columns)) <= TOLERANCE


def test_a_row_is_answered_alike_alone_and_among_others() -> None:
    frame = table(20)
    _, graph = exported(None)
    together = run_onnx(graph, frame)
    alone = [run_onnx(graph, frame[row : row + 1])["value"][0, 0] for row in range(20)]
    assert np.allclose(together["value"][:, 0], alone, rtol=1e-5)
    assert (together["lower"] <= together["value"]).all()
    assert run_onnx(graph, frame[:0])["value"].shape == (0, 1)


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """The same model gives the same bytes, without traces of this machine."""
    model, graph = exported(2, by_time=True)
    first = graph.SerializeToString(deterministic=True)
    save_model(model, tmp_path)
    assert first == export_onnx(load_model(tmp_path), FEATURES).SerializeToString(deterministic=True)
    assert str(Path.cwd()).encode() not in first
    assert b".py" not in first


@pytest.mark.parametrize(("classes", "name"), [(None, "lightgbm"), (3, "tabm")])
def test_texts_are_answered_alike(classes: int | None, name: str, tmp_path: Path) -> None:
    features = (*FEATURES, Text(name="review", missing="impute"), Text(name="model_text0", missing="impute"))
    samples, frames = [], []
    for seed in range(3):
        (review, goodness), (other, _) = reviews(800, seed), reviews(800, seed + 10)
        frames.append(table(800, seed).with_columns(review=review, model_text0=other.str.slice(0, 15)))
        samples.append(
            goodness if classes is None else (goodness > 0).astype(np.int64) + (goodness > 1) * (classes - 2)
        )
    options = spec(name=name)
    preprocessor, inputs = fit_preprocessor(frames[0], features, samples[0], classes, options.seed)
    train = Sample(inputs, samples[0])
    validation = Sample(preprocessor.transform(frames[1]), samples[1])
    model = build_model(preprocessor, features, train, classes, options)
    model = choose_model(model, train, validation, options, tmp_path / "fit").model
    graph = export_onnx(model, features)
    assert check_parity(graph, model, frames[2]) <= TOLERANCE
    assert len(run_onnx(graph, frames[2][:0])[model.head.names[0]]) == 0
    emptied = frames[2].with_columns(review=pl.lit(""))
    with_texts, without_texts = (run_onnx(graph, frame)[model.head.names[0]] for frame in (frames[2], emptied))
    assert np.abs(with_texts - without_texts).mean() > 0.05
    save_model(model, tmp_path)
    assert load_model(tmp_path).blueprint == model.blueprint


def test_a_text_is_enough() -> None:
    features = [Text(name="review", missing="impute")]
    texts, goodness = reviews(600)
    preprocessor, inputs = fit_preprocessor(texts.to_frame(), features, goodness, None, 0)
    model = shaken(build_model(preprocessor, features, Sample(inputs, goodness), None, spec()))
    assert check_parity(export_onnx(model, features), model, reviews(300, seed=1)[0].to_frame()) <= TOLERANCE


def test_a_graph_that_answers_otherwise_is_refused() -> None:
    model, graph = exported(None)
    other = copy.deepcopy(model)
    assert isinstance(other.head, RegressionHead)
    other.head.mean.add_(0.01)
    with pytest.raises(CheckFailed, match="the exported graph differs from the trained model by up to"):
        check_parity(graph, other, table(50))


def test_parity_is_relative_to_the_target_scale() -> None:
    """A target of large numbers around zero is held to its scale."""
    frame = table(1500)
    target = scores(frame) * 1e6
    model = shaken(unfitted(frame, target - target.mean(), None, spec())[0])
    assert check_parity(export_onnx(model, FEATURES), model, table(700, seed=1)) <= TOLERANCE
    assert prediction_scale(model) == pytest.approx(target.std(), rel=0.01)


@pytest.mark.parametrize("unit", [1.0, 1e9])
def test_counts_of_any_size_are_answered_alike(unit: float) -> None:
    frame = table(1500)
    target = counts_of(frame) * unit
    model, train = unfitted(frame, target, None, spec(task="count"))
    fit_interval(shaken(model), train, 0.9)
    graph = export_onnx(model, FEATURES)
    assert check_parity(graph, model, table(700, seed=1)) <= TOLERANCE
    assert prediction_scale(model) == pytest.approx(target.mean(), rel=1e-6)
    assert run_onnx(graph, frame)["lower"].min() >= 0


@pytest.mark.parametrize("quantile", [0.01, 0.99])
def test_quantiles_of_few_rows_are_answered_alike(quantile: float) -> None:
    frame = table(1500)
    model, train = unfitted(frame, np.exp(scores(frame)), None, spec(task="quantile", quantile=quantile))
    fit_interval(shaken(model), train.take(np.arange(10)), 0.9)
    graph = export_onnx(model, FEATURES)
    assert check_parity(graph, model, table(700, seed=1)) <= TOLERANCE
    outputs = run_onnx(graph, frame)
    assert ((outputs["lower"] <= outputs["value"]) & (outputs["value"] <= outputs["upper"])).all()


def test_times_of_all_centuries_are_read_alike() -> None:
    frame = table(1500)
    model, graph = exported(2)
    firsts = [(datetime(year, 1, 1) - datetime(1970, 1, 1)).total_seconds() for year in range(1, 9999, 7)]
    assert check_parity(graph, model, frame[: len(firsts)].with_columns(when=pl.Series(firsts))) <= TOLERANCE


def test_the_end_of_a_skewed_interval_is_finite() -> None:
    frame = table(1500)
    model, _ = unfitted(frame, np.exp(scores(frame)), None, spec())
    assert isinstance(model.head, RegressionHead)
    model.head.above.fill_(1e4)
    assert torch.isfinite(model.predict(model.blueprint.preprocessor.transform(frame))["upper"]).all()
