"""The trees of the graph are LightGBM's, to the last split."""

import sys

import lightgbm
import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import Tensor

from contract.errors import EnvironmentFault
from tests.tables import classes_of, counts_of, scores, spec, table, unfitted
from training.export import IR_VERSION, OPSETS
from training.model import Model
from training.sample import Sample
from training.trees import Columns, Options, Trees, _below, fit_columns, fit_trees, is_installed

FRAME, LATER = table(2000), table(700, seed=1)


def grown(classes: int, seed: int = 0) -> tuple[Columns, Trees, Tensor]:
    """Columns and trees fitted on a table, and the columns of the later one."""
    targets = [scores(frame) if classes == 1 else classes_of(frame, classes) for frame in (FRAME, LATER)]
    model, train = unfitted(FRAME, targets[0], None if classes == 1 else classes, spec())
    columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, train, classes, seed)
    later = model.blueprint.preprocessor.transform(LATER)
    judged = columns(later.numbers, later.codes)
    options = Options(model.head.objective, None, None, seed)
    return columns, fit_trees(own, targets[0], judged, targets[1], options), judged


def in_a_graph(trees: Trees, columns: Tensor) -> Tensor:
    outputs = trees.scores(columns[:1]).shape[1]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", None]) for name in ("in", "out")]
    graph = helper.make_graph([trees.node("in", "out")], "trees", ends[:1], ends[1:])
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    (answers,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"in": columns.numpy()})
    assert answers.shape == (len(columns), outputs)
    return torch.from_numpy(answers)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_graph_answers_as_lightgbm_does(classes: int) -> None:
    _, trees, columns = grown(classes)
    odd = columns.repeat(4, 1)
    odd[: len(columns)] = torch.nan
    odd[len(columns) : 2 * len(columns)] *= 1e30
    assert torch.allclose(in_a_graph(trees, odd), trees.scores(odd), atol=1e-5)


def test_of_a_count_the_raw_score_is_the_logarithm_of_the_rate() -> None:
    target = counts_of(FRAME)
    model, train = unfitted(FRAME, target, None, spec(task="count"))
    learnt, later = Sample(train.inputs, model.learnt(target)), model.blueprint.preprocessor.transform(LATER)
    columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, learnt, 1, 0)
    judged, truth = columns(later.numbers, later.codes), model.learnt(counts_of(LATER))
    trees = fit_trees(own, learnt.target, judged, truth, Options(model.head.objective, None, None, 0))
    rate = trees.scores(own).exp()[:, 0].numpy()
    assert np.allclose(rate, lightgbm.Booster(model_str=trees.text).predict(own.numpy()), rtol=1e-5)
    assert rate.mean() == pytest.approx(1, rel=0.01)


def test_numbers_next_to_a_threshold_go_where_lightgbm_sends_them() -> None:
    _, trees, columns = grown(2)
    thresholds = [line.partition("=")[2].split() for line in trees.text.splitlines() if line.startswith("threshold=")]
    nearest = np.array([float(each) for tree in thresholds for each in tree]).clip(-3e38, 3e38).astype(np.float32)
    below, above = (np.nextafter(nearest, np.float32(end)) for end in (-np.inf, np.inf))
    edges = np.unique(np.concatenate([nearest, below, above]))
    edges = edges[np.abs(edges) > 1e-30]  # smaller ones are zeros for both, by then
    rows = torch.from_numpy(np.repeat(edges[:, None], columns.shape[1], axis=1))
    assert torch.allclose(in_a_graph(trees, rows), trees.scores(rows), atol=1e-5)


@given(st.floats(-1e38, 1e38), st.integers(-3, 3))
def test_a_rounded_threshold_parts_float32_as_the_exact_one_does(threshold: float, steps: int) -> None:
    number = np.float32(threshold)
    for _ in range(abs(steps)):
        number = np.nextafter(number, np.float32(np.sign(steps) * np.inf))
    assert (float(number) <= threshold) == (float(number) <= _below(threshold))


def test_the_same_seed_gives_the_same_trees() -> None:
    assert grown(2)[1].text == grown(2)[1].text
    assert grown(2)[1].text != grown(2, seed=1)[1].text


def test_an_average_target_does_not_tell_a_row_its_own() -> None:
    """Of a category that has nothing to do with the target."""
    frame = FRAME.with_columns(pl.Series("colour", [f"c{row % 180}" for row in range(FRAME.height)]))
    target = np.random.default_rng(0).integers(0, 2, frame.height)
    model, train = unfitted(frame, target, 2, spec())
    columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, train, 2, 0)
    asked = columns(train.inputs.numbers, train.inputs.codes)
    place = -1  # the only category of more than two levels that is not encoded already
    told = [float(np.corrcoef(matrix[:, place].numpy(), target)[0, 1]) for matrix in (own, asked)]
    assert told[0] < 0.05
    assert told[1] > 0.2


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    target = classes_of(FRAME, 2)
    model, train = unfitted(FRAME, target, 2, spec())
    weights = np.where(np.arange(len(train)) < 1000, 1.0, 0.0)
    flipped = np.where(weights > 0, target, 1 - target)
    learnt = [
        fit_columns(model.scaling, model.blueprint.cardinalities, Sample(train.inputs, each, weights), 2, 0)[0].means
        for each in (target, flipped)
    ]
    assert torch.equal(*learnt)


def test_a_model_without_lightgbm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = grown(2)[1]
    assert is_installed()
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert not is_installed()
    with pytest.raises(EnvironmentFault, match="pip install lightgbm"):
        Trees(trees.text)


def test_columns_are_nan_where_a_number_is_missing_and_bounded_elsewhere() -> None:
    model: Model = unfitted(FRAME, classes_of(FRAME, 2), 2, spec())[0]
    columns, _, _ = grown(2)
    odd = FRAME.head(2).with_columns(pl.Series("size, in m²", [np.nan, 1e300]))
    inputs = model.blueprint.preprocessor.transform(odd)
    asked = columns(inputs.numbers, inputs.codes)
    largest = float((model.scaling.high - model.scaling.median)[0])
    assert torch.isnan(asked[0, 0])
    assert asked[1, 0].item() == pytest.approx(largest)
