import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.evaluation import MetricValue
from model_deployer.contract.outputs import Regression
from model_deployer.training.evaluation.evaluation import evaluate_classification, evaluate_regression
from model_deployer.training.evaluation.metrics import classification_metrics
from model_deployer.training.preprocessing.preprocessing import Inputs
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Cost

ROWS = 2000
NO_COLUMNS = Inputs(torch.empty(ROWS, 0), torch.empty(ROWS, 0))


def binary() -> tuple[Sample, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    score = random.random(ROWS)
    target = (random.random(ROWS) < score).astype(np.int64)
    return Sample(NO_COLUMNS, target), {"probabilities": np.stack([1 - score, score], 1).astype(np.float32)}


def test_every_figure_lies_in_its_interval_and_is_json() -> None:
    test, answer = binary()
    metrics = evaluate_classification({"model": answer}, test, 0.5, Cost(), 0).metrics
    written = json.loads(json.dumps({name: metric.to_json() for name, metric in metrics["model"].items()}))
    assert {name: MetricValue.model_validate(metric) for name, metric in written.items()} == metrics["model"]
    assert all(figure.low <= figure.value <= figure.high for figure in metrics["model"].values())
    auc = metrics["model"]["roc_auc"]
    assert auc.value == pytest.approx(5 / 6, abs=0.03)
    assert 0.01 < auc.high - auc.low < 0.06


def calibration_errors(seed: int, rows: int, gap: float) -> tuple[MetricValue, float]:
    """Measure probabilities that are too high by a gap; return the figure, and the error without a correction."""
    random = np.random.default_rng(seed)
    frequency = random.uniform(0, 1 - gap, rows)
    target = (random.random(rows) < frequency).astype(np.int64)
    answer = np.stack([1 - frequency - gap, frequency + gap], 1)
    sample = Sample(Inputs(torch.empty(rows, 0), torch.empty(rows, 0)), target)
    metrics = evaluate_classification({"model": {"probabilities": answer}}, sample, 0.5, Cost(), seed).metrics
    plain = classification_metrics(target, answer, 0.5)["calibration_error"](np.ones(rows))
    return metrics["model"]["calibration_error"], plain


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(20, 800), st.floats(0, 0.3))
def test_a_calibration_error_is_in_its_interval(seed: int, rows: int, gap: float) -> None:
    """Also with few rows, where chance alone makes it large, and resampling larger."""
    error, _ = calibration_errors(seed, rows, gap)
    assert 0 <= error.low <= error.value <= error.high


@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_the_interval_of_a_calibration_error_contains_the_true_one(gap: float) -> None:
    """The error without a correction is larger than the true one, and the corrected one nearer to it."""
    results = [calibration_errors(seed, 1000, gap) for seed in range(40)]
    assert np.mean([error.low <= gap <= error.high for error, _ in results]) >= 0.9
    corrected, plain = (np.mean(values) for values in zip(*((e.value, p) for e, p in results), strict=True))
    assert gap - 0.01 < corrected < plain
    assert abs(corrected - gap) < abs(plain - gap)


def test_the_cost_is_that_of_the_decisions() -> None:
    target = np.array([0, 0, 1, 1] * 500)
    sample = Sample(NO_COLUMNS, target)
    score = np.array([0.3, 0.1, 0.3, 0.1] * 500)
    answer = {"probabilities": np.stack([1 - score, score], 1)}
    metrics = evaluate_classification(
        {"model": answer}, sample, 0.25, Cost(false_positive=1, false_negative=3), 0
    ).metrics
    assert metrics["model"]["cost"].value == pytest.approx((1 + 3) / 4)


def test_intervals_follow_the_seed() -> None:
    """The seed decides the intervals, and models share the resamples."""
    test, answer = binary()
    both = evaluate_classification({"a": answer, "b": answer}, test, 0.5, Cost(), 0).metrics
    assert both["a"] == both["b"]
    assert both["a"] != evaluate_classification({"a": answer}, test, 0.5, Cost(), 1).metrics["a"]


def test_a_regression_without_interval_has_no_coverage() -> None:
    random = np.random.default_rng(0)
    value = random.normal(size=(ROWS, 1))
    arrays = {"value": value, "lower": value - 1, "upper": value + 1}
    test = Sample(NO_COLUMNS, value[:, 0] + random.normal(size=ROWS))
    metrics = evaluate_regression(
        {"model": arrays, "linear": {"value": value}}, test, Regression(target="y"), 0
    ).metrics
    assert metrics["model"]["coverage"].value == pytest.approx(0.683, abs=0.03)
    assert set(metrics["model"]) - set(metrics["linear"]) == {"coverage", "interval_width"}
    assert metrics["model"]["rmse"] == metrics["linear"]["rmse"]


def test_a_metric_that_the_rows_say_nothing_about_is_left_out() -> None:
    few = Inputs(torch.empty(3, 0), torch.empty(3, 0))
    answer = {"probabilities": np.array([[0.7, 0.3], [0.6, 0.4], [0.8, 0.2]])}
    weights = np.array([0.0, 0.0, 1.0])
    metrics = evaluate_classification({"model": answer}, Sample(few, np.zeros(3, int), weights), 0.5, Cost(), 0).metrics
    assert "roc_auc" not in metrics["model"]
    assert metrics["model"]["log_loss"].value == pytest.approx(-np.log(0.8))
