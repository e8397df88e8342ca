import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from model_deployer.contract.outputs import Regression
from model_deployer.training.evaluation.metrics import classification_metrics, regression_metrics, set_metrics

OUTPUT = Regression(target="y")


def random_rows(seed: int, classes: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, coarse probabilities (so that there are ties) and weights, some of them 0."""
    random = np.random.default_rng(seed)
    raw = random.integers(1, 9, (rows, classes)).astype(float)
    target = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    weights = random.integers(0, 4, rows).astype(float)
    weights[:classes] = 1
    return target, raw / raw.sum(1, keepdims=True), weights


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_two_classes_agree_with_scikit_learn(seed: int) -> None:
    target, probabilities, weights = random_rows(seed, 2)
    score, decision = probabilities[:, 1], probabilities[:, 1] >= 0.4
    expected = {
        "log_loss": oracle.log_loss(target, probabilities, sample_weight=weights),
        "roc_auc": oracle.roc_auc_score(target, score, sample_weight=weights),
        "average_precision": oracle.average_precision_score(target, score, sample_weight=weights),
        "brier": oracle.brier_score_loss(target, score, sample_weight=weights),
        "accuracy": oracle.accuracy_score(target, decision, sample_weight=weights),
        "precision": oracle.precision_score(target, decision, sample_weight=weights, zero_division=0),
        "recall": oracle.recall_score(target, decision, sample_weight=weights),
        "f1": oracle.f1_score(target, decision, sample_weight=weights),
    }
    result = classification_metrics(target, probabilities, 0.4)
    assert {name: result[name](weights) for name in expected} == pytest.approx(expected)


def test_more_classes_agree_with_scikit_learn() -> None:
    target, probabilities, weights = random_rows(0, 4)
    decision = probabilities.argmax(1)
    expected = {
        "log_loss": oracle.log_loss(target, probabilities, sample_weight=weights),
        "roc_auc": oracle.roc_auc_score(target, probabilities, multi_class="ovr", sample_weight=weights),
        "accuracy": oracle.accuracy_score(target, decision, sample_weight=weights),
        "f1": oracle.f1_score(target, decision, average="macro", sample_weight=weights),
    }
    result = classification_metrics(target, probabilities, None)
    assert {name: result[name](weights) for name in expected} == pytest.approx(expected)


def test_calibration_error_is_promise_minus_frequency() -> None:
    """The calibration error is the gap between the promised probability and the frequency."""
    target = np.array([1, 0, 0, 0, 1, 1, 1, 1])
    score = np.array([0.2] * 4 + [0.9] * 4)
    error = classification_metrics(target, np.stack([1 - score, score], 1), 0.5)["calibration_error"]
    assert error(np.ones(8)) == pytest.approx((0.05 + 0.1) / 2)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_regression_agrees_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    target, value = random.normal(size=(2, 101))
    arrays = {"value": value[:, None], "lower": value[:, None] - 1, "upper": value[:, None] + 1}
    weights = random.integers(1, 4, 101).astype(float)
    result = {name: metric(weights) for name, metric in regression_metrics(target, arrays, OUTPUT).items()}
    repeated = np.repeat(np.abs(value - target), weights.astype(int))
    assert result == pytest.approx(
        {
            "rmse": oracle.root_mean_squared_error(target, value, sample_weight=weights),
            "mae": oracle.mean_absolute_error(target, value, sample_weight=weights),
            "median_absolute_error": np.quantile(repeated, 0.5, method="inverted_cdf"),
            "r2": oracle.r2_score(target, value, sample_weight=weights),
            "coverage": np.mean(repeated <= 1),
            "interval_width": 2,
        }
    )


def test_sets_are_judged_by_coverage_and_size() -> None:
    """The metrics of sets are their coverage and their mean size."""
    sets = np.array([[True, False, False], [True, True, False], [False, True, True], [True, True, True]])
    result = set_metrics(np.array([0, 2, 2, 1]), sets)
    assert result["coverage"](np.ones(4)) == 0.75
    assert result["set_size"](np.ones(4)) == 2
    weights = np.array([0.0, 3.0, 1.0, 0.0])
    assert (result["coverage"](weights), result["set_size"](weights)) == (0.25, 2)


def test_a_count_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    target, rate, weights = random.poisson(2, 200).astype(float), random.uniform(0.1, 5, 200), random.random(200)
    result = regression_metrics(target, {"value": rate[:, None]}, Regression(target="y", count=True))
    assert result["poisson_deviance"](weights) == pytest.approx(
        oracle.mean_poisson_deviance(target, rate, sample_weight=weights)
    )
    assert result["rmse"](weights) == pytest.approx(oracle.root_mean_squared_error(target, rate, sample_weight=weights))


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.9])
def test_a_quantile_agrees_with_scikit_learn(quantile: float) -> None:
    random = np.random.default_rng(0)
    target, value, weights = random.normal(size=200), random.normal(size=200), random.random(200)
    value[:20] = target[:20]
    arrays = {"value": value[:, None], "lower": value[:, None] - 1, "upper": value[:, None]}
    result = regression_metrics(target, arrays, Regression(target="y", quantile=quantile))
    assert list(result) == ["pinball", "share_below", "coverage", "interval_width"]
    assert result["pinball"](weights) == pytest.approx(
        oracle.mean_pinball_loss(target, value, alpha=quantile, sample_weight=weights)
    )
    assert result["share_below"](weights) == pytest.approx(np.average(target <= value, weights=weights))


def test_a_rate_of_nothing_costs_a_finite_loss() -> None:
    metrics = regression_metrics(np.array([1.0, 0.0]), {"value": np.zeros((2, 1))}, Regression(target="y", count=True))
    assert 30 < metrics["poisson_deviance"](np.ones(2)) < 1000


def test_what_the_rows_say_nothing_about_is_no_number() -> None:
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])
    result = classification_metrics(np.array([0, 0]), probabilities, 0.5)
    assert np.isnan([result[name](np.ones(2)) for name in ("roc_auc", "average_precision", "recall")]).all()
    regression = regression_metrics(np.array([3.0, 3.0]), {"value": np.array([[1.0], [2.0]])}, OUTPUT)
    assert np.isnan(regression["r2"](np.ones(2)))


def test_absent_class_does_not_lower_the_mean() -> None:
    """A class that is absent does not lower the mean of the others."""
    target, probabilities, weights = random_rows(0, 4)
    weights = np.where(target == 3, 0.0, weights)
    rest = target != 3
    areas = [
        oracle.roc_auc_score(target[rest] == code, probabilities[rest, code], sample_weight=weights[rest])
        for code in range(3)
    ]
    assert classification_metrics(target, probabilities, None)["roc_auc"](weights) == pytest.approx(np.mean(areas))
