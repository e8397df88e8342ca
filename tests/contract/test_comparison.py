from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.comparison import Comparison, comparison
from model_deployer.contract.evaluation import MODEL
from model_deployer.contract.outputs import Classification, Output, Regression
from tests.support import tiny
from tests.support.figures import metric

PLAIN, OTHER = Regression(target="y"), Regression(target="z")
LABELS = Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.5)


def model(folder: Path, output: Output, metrics: Mapping[str, float], data: str = "sha256:0") -> Artifact:
    """Write a model with metrics whose intervals are a tenth to either side."""
    manifest = tiny.write(folder, version=f"{folder.name}.0.0")
    contract = tiny.CONTRACT.model_copy(update={"output": output})
    artifact.write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    measured = {name: metric(value) for name, value in metrics.items()}
    artifact.write_json(folder / artifact.EVALUATION, {"task": output.task, "metrics": {MODEL: measured}})
    (folder / artifact.GOLDEN).write_text("")
    origin = manifest.origin.model_copy(update={"data_version": data})
    return Artifact(folder, manifest.model_copy(update={"origin": origin}))


def compared(folder: Path, *models: Any) -> Comparison:
    artifacts = (model(folder / str(number), *each) for number, each in enumerate(models, start=1))
    return comparison(artifacts, lambda _, rows: [None for _ in rows])


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([{"rmse": 1.0}, {"rmse": 2.0}, {"rmse": 0.5}], {"rmse": "tiny:3.0.0"}),
        ([{"rmse": 1.0}, {"rmse": 2.0}, {"rmse": 0.9}], {}),
        ([{"r2": 0.5}, {"r2": 0.1}, {"r2": 0.2}], {"r2": "tiny:1.0.0"}),
        ([{"coverage": 0.5}, {"coverage": 0.1}, {"coverage": 0.9}], {}),
        ([{"rmse": 1.0}, {"rmse": 2.0}, {}], {}),
        ([{"interval_width": 1.0}, {"interval_width": 2.0}, {"interval_width": 3.0}], {}),
    ],
)
def test_the_best_model_has_an_interval_apart_from_all_others(
    values: list[dict[str, float]], best: dict[str, str], tmp_path: Path
) -> None:
    assert compared(tmp_path, *((PLAIN, metrics) for metrics in values)).best == best


def test_models_of_other_targets_have_no_best(tmp_path: Path) -> None:
    result = compared(tmp_path, (PLAIN, {"rmse": 1}), (OTHER, {"rmse": 2}), (PLAIN, {"rmse": 3}))
    assert (list(result.metrics), result.best) == (["rmse"], {})
    assert "The models predict different targets." in result.notes


def test_models_of_other_tasks_show_their_common_metrics(tmp_path: Path) -> None:
    count = Regression(target="y", count=True)
    result = compared(tmp_path, (PLAIN, {"rmse": 1, "mae": 1}), (count, {"poisson_deviance": 2, "mae": 2}))
    assert list(result.metrics) == ["mae"]
    assert result.best == {"mae": "tiny:1.0.0"}
    assert any("different tasks" in note for note in result.notes)
    classification = compared(tmp_path / "labels", (PLAIN, {"rmse": 1}), (LABELS, {"log_loss": 1}))
    assert (list(classification.metrics), classification.best) == ([], {})


def test_quantiles_are_tasks_of_their_own(tmp_path: Path) -> None:
    median, high = Regression(target="y", quantile=0.5), Regression(target="y", quantile=0.9)
    result = compared(tmp_path, (median, {"pinball": 1, "coverage": 0.8}), (high, {"pinball": 2, "coverage": 0.9}))
    assert list(result.metrics) == ["coverage"]


@pytest.mark.parametrize(("second", "unpaired"), [("sha256:0", True), ("sha256:1", False)])
def test_the_reader_learns_whether_intervals_are_unpaired(second: str, unpaired: bool, tmp_path: Path) -> None:
    result = compared(tmp_path, (PLAIN, {"rmse": 1}), (PLAIN, {"rmse": 2}, second))
    assert any("unpaired" in note for note in result.notes) is unpaired
