import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import difference, metric_changes, slice_changes
from model_deployer.contract.evaluation import MetricValue, SliceResult
from model_deployer.contract.outputs import Output, Regression
from tests.support import tiny
from tests.support.figures import metric, slice_result


def evaluated_model(folder: Path, output: Output, loss: str) -> Artifact:
    """Write a regression model with two metrics, a slice and one golden request."""
    manifest = tiny.write(folder)
    metrics = {name: metric(1.0) for name in (loss, "coverage")}
    slices = [slice_result("origin JFK", 80, 0.4)]
    contract = tiny.CONTRACT.model_copy(update={"output": output})
    artifact.write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    evaluation = {"task": output.task, "metrics": {"model": metrics}, "slices": slices}
    artifact.write_json(folder / artifact.EVALUATION, evaluation)
    golden = {"case": "example", "row": tiny.ROW, "prediction": {"value": 1.0, "lower": 0.0, "upper": 2.0}}
    (folder / artifact.GOLDEN).write_text(json.dumps(golden))
    return Artifact(folder, manifest)


def predict_two(_: Artifact, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    return [{"value": 2.0, "lower": 1.0, "upper": 3.0} for _ in rows]


HIGH, MEDIAN = Regression(target="y", quantile=0.9), Regression(target="y", quantile=0.5)
PLAIN, COUNT = Regression(target="y"), Regression(target="y", count=True)


@pytest.mark.parametrize(
    ("old", "new", "metrics", "slices", "behaviour"),
    [
        ((HIGH, "pinball"), (HIGH, "pinball"), ["pinball", "coverage"], 1, True),
        ((MEDIAN, "pinball"), (HIGH, "pinball"), ["coverage"], 0, False),
        ((PLAIN, "rmse"), (COUNT, "rmse"), ["rmse", "coverage"], 0, True),
        ((PLAIN, "rmse"), (HIGH, "pinball"), ["coverage"], 0, False),
    ],
)
def test_only_what_means_the_same_is_compared(  # noqa: PLR0917
    old: tuple[Output, str],
    new: tuple[Output, str],
    metrics: list[str],
    slices: int,
    behaviour: bool,
    tmp_path: Path,
) -> None:
    result = difference(evaluated_model(tmp_path / "old", *old), evaluated_model(tmp_path / "new", *new), predict_two)
    assert list(result.metrics) == metrics
    assert len(result.slices) == slices
    assert (result.behaviour is not None) is behaviour
    assert [change.step.name for change in result.changes] == ["MAJOR"] * (old != new)


def metrics(name: str, value: float) -> dict[str, MetricValue]:
    return {name: MetricValue.model_validate(metric(value))}


@pytest.mark.parametrize(
    ("name", "old", "new", "verdict"),
    [
        ("log_loss", 0.5, 0.500001, "equal"),
        ("log_loss", 0.5, 0.6, "within the noise"),
        ("log_loss", 0.5, 0.8, "worse"),
        ("log_loss", 0.8, 0.5, "better"),
        ("accuracy", 0.5, 0.8, "better"),
        ("accuracy", 0.8, 0.5, "worse"),
        ("coverage", 0.5, 0.9, "higher"),
        ("coverage", 0.9, 0.5, "lower"),
    ],
)
def test_a_metric_changed_where_the_intervals_lie_apart(name: str, old: float, new: float, verdict: str) -> None:
    (change,) = metric_changes(metrics(name, old), metrics(name, new)).values()
    assert change.verdict == verdict
    assert (change.old.value, change.new.value) == (old, new)


def test_metrics_of_one_evaluation_alone_are_left_out() -> None:
    assert metric_changes(metrics("rmse", 1), metrics("log_loss", 1)) == {}
    assert metric_changes({}, metrics("log_loss", 1)) == {}


def slices(rows: int, losses: Mapping[str, float]) -> list[SliceResult]:
    return [SliceResult.model_validate(slice_result(name, rows, loss)) for name, loss in losses.items()]


def test_slices_are_compared_worst_change_first() -> None:
    """Slices that both evaluations have are compared, and the worst change comes first."""
    old, new = slices(100, {"a": 0.5, "b": 0.5, "c": 1}), slices(90, {"b": 0.9, "a": 0.4, "d": 1})
    first, second = slice_changes(old, new)
    assert (first.slice, first.old, first.new, first.old_rows, first.new_rows) == ("b", 0.5, 0.9, 100, 90)
    assert second.slice == "a"
    assert slice_changes(old, []) == []
