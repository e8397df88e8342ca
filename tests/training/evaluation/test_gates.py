import copy
import json
import re
from typing import Any, get_args

import numpy as np
import pytest
import torch

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluation import Evaluation, GateResult
from model_deployer.contract.outputs import Regression
from model_deployer.training.evaluation.evaluation import evaluate_classification, evaluate_regression
from model_deployer.training.evaluation.gates import check_gates, raise_for_failures
from model_deployer.training.preprocessing.preprocessing import Inputs
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import (
    ClassificationMetric,
    Cost,
    CountMetric,
    Gates,
    QuantileMetric,
    RegressionMetric,
)
from tests.support.figures import metric, slice_result

COUNT = Regression(target="y", count=True)
QUANTILE = Regression(target="y", quantile=0.9)


def calibration(error: float | None, chance: float | None) -> dict[str, float | None]:
    return {"calibration_error": error, "calibration_chance": chance}


UNKNOWN = {"low": None, "high": None} | calibration(None, None)

RED = slice_result("colour = red", 120, 0.61, **calibration(0.09, 0.05))
GREY = slice_result("colour = grey", 4, 9.0, **UNKNOWN)
BLUE = slice_result("colour = blue", 90, 0.5, **calibration(0.12, 0.15))

CLASSIFICATION: dict[str, Any] = {
    "task": "classification",
    "metrics": {
        "model": {"log_loss": metric(0.541), "roc_auc": metric(0.75)},
        "linear": {"log_loss": metric(0.55)},
    },
    "slices": [RED, GREY, BLUE],
    "latency": {
        "one_row_ms": {"p50": 0.2, "p99": 0.4, "calls": 2000},
        "batch_rows": 512,
        "batch_ms": {"p50": 2.0, "p99": 4.0, "calls": 100},
        "us_per_row": 3.9,
        "bytes": 2_500_000,
        "threads": 1,
        "onnxruntime": "1.32.0",
        "processor": "x",
    },
}
REGRESSION: dict[str, Any] = {
    "task": "regression",
    "metrics": {"model": {"rmse": metric(12.0)}, "linear": {"rmse": metric(12.0)}},
}


def checked_gates(gates: Gates, evaluation: dict[str, Any] = CLASSIFICATION) -> list[GateResult]:
    return check_gates(gates, Evaluation.model_validate(evaluation))


def gate(section: dict[str, Any], evaluation: dict[str, Any] = CLASSIFICATION) -> GateResult:
    """Return the result of the only gate of a section ``gates``."""
    (result,) = checked_gates(Gates.model_validate(section), evaluation)
    return result


def changed(name: str, value: float, model: str = "model") -> dict[str, Any]:
    """Return the classification with another value of a metric."""
    evaluation = copy.deepcopy(CLASSIFICATION)
    evaluation["metrics"][model][name] = metric(value)
    return evaluation


def test_nothing_asked_nothing_refused() -> None:
    assert checked_gates(Gates(), {"task": "regression", "metrics": {}}) == []
    raise_for_failures([])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"metrics": {"log_loss": {"at_most": 0.541}}}, "measured 0.541, required at most 0.541"),
        ({"metrics": {"roc_auc": {"at_least": 0.75}}}, "measured 0.75, required at least 0.75"),
        (
            {"metrics": {"roc_auc": {"at_least": 0.7, "at_most": 0.9}}},
            "measured 0.75, required at least 0.7 and at most 0.9",
        ),
        ({"better_than_linear": True}, "measured 0.541, required less than 0.55 (log_loss of linear)"),
        (
            {"slice_gap": 0.2},
            "measured 0.61 in the slice colour = red, required at most 0.6492 (20 % above the log_loss of all rows)",
        ),
        ({"slice_calibration": 0.09}, "measured 0.09 in the slice colour = red, required at most 0.09"),
        ({"size_mb": 2.5}, "measured 2.5, required at most 2.5"),
        ({"p99_ms": 0.4}, "measured 0.4, required at most 0.4"),
    ],
)
def test_a_gate_that_is_met(section: dict[str, Any], message: str) -> None:
    result = gate(section)
    assert result.passed
    assert result.message == message
    raise_for_failures([result])


@pytest.mark.parametrize(
    ("section", "name", "reason"),
    [
        ({"metrics": {"log_loss": {"at_most": 0.53}}}, "gates.metrics.log_loss", "0.011 too high"),
        ({"metrics": {"roc_auc": {"at_least": 0.8}}}, "gates.metrics.roc_auc", "0.05 too low"),
        ({"metrics": {"roc_auc": {"at_least": 0.5, "at_most": 0.7}}}, "gates.metrics.roc_auc", "0.05 too high"),
        ({"slice_gap": 0.1}, "gates.slice_gap", "0.015 too high"),
        ({"slice_calibration": 0.05}, "gates.slice_calibration", "0.04 too high"),
        ({"size_mb": 2}, "gates.size_mb", "0.5 too high"),
        ({"p99_ms": 0.25}, "gates.p99_ms", "0.15 too high"),
    ],
)
def test_a_gate_that_is_missed_says_by_how_much(section: dict[str, Any], name: str, reason: str) -> None:
    result = gate(section)
    assert not result.passed
    assert result.name == name
    assert re.fullmatch(rf"measured [\d.]+( in the slice colour = red)?, required at \w+ .+: {reason}", result.message)


def test_a_model_that_is_no_better_than_linear() -> None:
    worse = gate({"better_than_linear": True}, changed("log_loss", 0.5, "linear"))
    assert worse.message == "measured 0.541, required less than 0.5 (log_loss of linear): 0.041 too high"
    same = gate({"better_than_linear": True}, REGRESSION)
    assert same.message == "measured 12, required less than 12 (rmse of linear): it is the same"
    assert not worse.passed
    assert not same.passed


@pytest.mark.parametrize(("task", "loss"), [("count", "poisson_deviance"), ("quantile", "pinball")])
def test_a_task_is_judged_by_its_own_loss(task: str, loss: str) -> None:
    evaluation = {"task": task, "metrics": {"model": {loss: metric(1.5)}, "linear": {loss: metric(2.0)}}}
    better = gate({"better_than_linear": True}, evaluation)
    assert better.message == f"measured 1.5, required less than 2 ({loss} of linear)"
    assert gate({"metrics": {loss: {"at_most": 1.5}}}, evaluation).passed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_meets_no_gate(value: float) -> None:
    for bound in ({"at_least": 0}, {"at_most": 1}):
        result = gate({"metrics": {"roc_auc": bound}}, changed("roc_auc", value))
        assert not result.passed
        expected = r"not measured, required at \w+ \d: it cannot be measured on the test part"
        assert re.fullmatch(expected, result.message)
    for section in ({"better_than_linear": True}, {"slice_gap": 0.5}):
        assert not gate(section, changed("log_loss", value)).passed
    assert not gate({"better_than_linear": True}, changed("log_loss", value, "linear")).passed


@pytest.mark.parametrize(
    "section",
    [
        {"metrics": {"mae": {"at_most": 1}}},
        {"slice_gap": 0.1},
        {"slice_calibration": 0.1},
        {"size_mb": 1000},
        {"p99_ms": 1000},
    ],
)
def test_what_was_not_measured_meets_no_gate(section: dict[str, Any]) -> None:
    result = gate(section, REGRESSION)
    assert not result.passed
    assert result.found is None
    assert result.message.startswith("not measured, required ")


def test_a_gap_is_missed_where_no_slices_are_reported() -> None:
    result = gate({"slice_gap": 0.1}, REGRESSION)
    assert not result.passed
    assert result.message == ("not measured, required at most 10 % above the rmse of all rows: no slices are reported")


def test_a_gap_is_kept_to_where_no_slice_is_surely_worse() -> None:
    result = gate({"slice_gap": 0.1}, REGRESSION | {"slices": []})
    assert result.passed
    assert result.message.startswith("no slice is certainly worse than the others, required at most 10 %")


def test_a_calibration_that_chance_explains_is_no_fault() -> None:
    result = gate({"slice_calibration": 0.01}, CLASSIFICATION | {"slices": [BLUE]})
    assert result.passed
    assert result.found is None
    assert result.message == "chance explains the calibration error of every slice, required at most 0.01"
    not_a_number = BLUE | {"calibration_error": float("nan")}
    assert not gate({"slice_calibration": 0.01}, CLASSIFICATION | {"slices": [not_a_number]}).passed


def test_a_slice_without_a_loss_is_the_worst() -> None:
    green = slice_result("colour = green", 60, float("nan"), low=0.1, high=0.2)
    slices = [*CLASSIFICATION["slices"], green]
    assert not gate({"slice_gap": 0.2}, CLASSIFICATION | {"slices": slices}).passed


def test_a_metric_of_the_other_task_is_refused_by_name() -> None:
    assert gate({"metrics": {"rmse": {"at_most": 3}}}).message == (
        "not measured, required at most 3: a classification does not have this metric; it has log_loss, roc_auc, "
        "average_precision, brier, calibration_error, accuracy, precision, recall, f1, cost, coverage, set_size"
    )


def test_every_missed_gate_is_named_at_once_and_none_that_is_met() -> None:
    section = {"metrics": {"log_loss": {"at_most": 0.53}, "roc_auc": {"at_least": 0.7}}, "size_mb": 2}
    with pytest.raises(CheckFailed) as caught:
        raise_for_failures(checked_gates(Gates.model_validate(section)))
    assert caught.value.exit_code == 1
    assert str(caught.value).splitlines() == [
        "the model was not saved: it fails 2 of 3 gates; improve the model, or relax `gates` in model.yaml",
        "  gates.metrics.log_loss: measured 0.541, required at most 0.53: 0.011 too high",
        "  gates.size_mb: measured 2.5, required at most 2: 0.5 too high",
    ]


def test_gates_go_into_a_json_document() -> None:
    gates = Gates.model_validate({"metrics": {"log_loss": {"at_most": 0.53}, "brier": {"at_most": 0.2}}, "size_mb": 3})
    document = [gate.to_json() for gate in checked_gates(gates)]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_names_are_those_of_the_evaluation() -> None:
    rows = 50
    random = np.random.default_rng(0)
    no_columns, score = Inputs(torch.empty(rows, 0), torch.empty(rows, 0)), random.random(rows)
    labels, values = (random.random(rows) < score).astype(np.int64), random.normal(size=rows)
    answer = {"probabilities": np.stack([1 - score, score], 1)}
    metrics = evaluate_classification({"model": answer}, Sample(no_columns, labels), 0.5, Cost(), 0).metrics
    of_sets = {"coverage", "set_size"}
    assert tuple(metrics["model"]) == tuple(name for name in get_args(ClassificationMetric) if name not in of_sets)
    three_labels = {
        "probabilities": np.stack([1 - score, score / 2, score / 2], 1),
        "set": np.ones((rows, 3), dtype=bool),
    }
    metrics = evaluate_classification({"model": three_labels}, Sample(no_columns, labels), None, Cost(), 0).metrics
    assert set(metrics["model"]) == {*get_args(ClassificationMetric)} - {"cost"}
    interval = {"value": score[:, None], "lower": score[:, None] - 1, "upper": score[:, None] + 1}
    cases = ((Regression(target="y"), RegressionMetric), (COUNT, CountMetric), (QUANTILE, QuantileMetric))
    for output, names in cases:
        metrics = evaluate_regression(
            {"model": interval}, Sample(no_columns, np.abs(values.round())), output, 0
        ).metrics
        assert tuple(metrics["model"]) == get_args(names)
