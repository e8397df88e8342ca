"""Prediction sets have their nominal coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.outputs import Classification
from model_deployer.training.export.export import export_onnx, run_onnx
from model_deployer.training.fitting.calibration import calibrate
from model_deployer.training.fitting.prediction_sets import set_threshold
from model_deployer.training.models.baselines import linear_model
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import FEATURES, classes_of, spec, table, unfitted

SEEDS = st.integers(0, 2**32 - 1)


def drawn(rows: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities [rows, labels], and labels [rows] that are drawn from them."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(labels, 0.5), size=rows).astype(np.float32)
    target = (random.random(rows)[:, None] > np.cumsum(probabilities[:, :-1], 1)).sum(1)
    return probabilities, target


def of_true_labels(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.asarray(probabilities[np.arange(len(target)), target].astype(np.float64))


@given(st.integers(1, 300), st.sampled_from([0.5, 0.8, 0.9]), SEEDS)
def test_the_threshold_is_that_of_split_conformal_prediction(rows: int, coverage: float, seed: int) -> None:
    probabilities, target = drawn(rows, 4, seed)
    threshold = set_threshold(probabilities, target, np.ones(rows), coverage)
    descending = np.sort(of_true_labels(probabilities, target))[::-1]
    rank = min(math.ceil((rows + 1) * coverage - 1e-9), rows)
    assert threshold < descending[rank - 1]
    assert (descending >= threshold).sum() >= rank
    assert not ((descending > threshold) & (descending < descending[rank - 1])).any()
    assert not (descending == threshold).any() or threshold == 0


@settings(max_examples=30)
@given(SEEDS)
def test_a_row_that_weighs_two_counts_as_two(seed: int) -> None:
    probabilities, target = drawn(200, 3, seed)
    weights = np.random.default_rng(seed).integers(1, 4, 200)
    weighted = set_threshold(probabilities, target, weights.astype(float), 0.8)
    rows = np.repeat(np.arange(200), weights)
    repeated = set_threshold(probabilities[rows], target[rows], np.ones(len(rows)), 0.8)
    values = of_true_labels(probabilities, target)
    between = (values >= min(weighted, repeated)) & (values < max(weighted, repeated))
    assert between.sum() <= 2  # the only difference: a new row counts for about two rows of weight 1


def test_rows_that_weigh_nothing_say_nothing() -> None:
    probabilities, target = drawn(1000, 3, 0)
    weights = np.where(np.arange(1000) < 500, 1.0, 0.0)
    without = set_threshold(probabilities[:500], target[:500], np.ones(500), 0.9)
    assert set_threshold(probabilities, target, weights, 0.9) == pytest.approx(without, abs=0.01)


@pytest.mark.parametrize("labels", [3, 10])
@pytest.mark.parametrize("sharpness", [1, 3])
def test_the_promise_is_kept_however_wrong_the_probabilities_are(labels: int, sharpness: int) -> None:
    probabilities, target = drawn(40_000, labels, labels)
    distorted = probabilities**sharpness
    distorted /= distorted.sum(1, keepdims=True)
    threshold = set_threshold(distorted[:20_000], target[:20_000], np.ones(20_000), 0.9)
    output = Classification(target="y", labels=tuple("abcdefghij"[:labels]), set_threshold=threshold)
    sets = output.sets({"probabilities": distorted[20_000:]})
    assert of_true_labels(sets, target[20_000:]).mean() == pytest.approx(0.9, abs=0.015)


def test_a_trained_and_exported_model_keeps_its_promise() -> None:
    frames = [table(rows, seed) for seed, rows in enumerate((3_000, 6_000, 6_000))]
    targets = [classes_of(frame, 5) for frame in frames]
    base, train = unfitted(frames[0], targets[0], 5, spec())
    model = linear_model(base, train)
    validation = Sample(model.blueprint.preprocessor.transform(frames[1]), targets[1])
    calibrate(model, train, validation, 0)
    probabilities = model.predict(validation.inputs)["probabilities"].numpy()
    threshold = set_threshold(probabilities, targets[1], validation.row_weights, 0.9)
    output = Classification(target="y", labels=tuple("abcde"), set_threshold=threshold)
    sets = output.sets(run_onnx(export_onnx(model, FEATURES), frames[2]))
    assert of_true_labels(sets, targets[2]).mean() == pytest.approx(0.9, abs=0.015)
    assert 1 < sets.sum(1).mean() < 4
