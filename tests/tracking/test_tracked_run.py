"""What is recorded of a model."""

from pathlib import Path

import pytest

from model_deployer.contract import artifact as files
from model_deployer.contract.artifact import Artifact, open_artifact, seal
from model_deployer.tracking.tracked_run import TrackedRun
from tests.support import tiny

SPEC = """name: tiny
data: {path: t.csv, target: late, connection: "postgresql://ann:secret@db/x"}
estimator: {name: linear}
tracking: {mlflow: {uri: "http://ann:secret@tracker"}}
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    metrics = {
        "model": {"log_loss": {"value": 0.3, "low": 0.25, "high": 0.35}},
        "linear": {"log_loss": {"value": 0.4, "low": 0.3, "high": 0.5}},
    }
    history = [{"epoch": 1, "train_loss": 0.9, "validation_loss": 0.8}]
    manifest = tiny.write(tmp_path, evaluation={"metrics": metrics, "history": history})
    (tmp_path / files.SPEC).write_text(SPEC)
    (tmp_path / files.MANIFEST).unlink()
    seal(tmp_path, manifest)
    return open_artifact(tmp_path)


def test_figures_have_their_intervals_and_baselines_their_name(artifact: Artifact) -> None:
    run = TrackedRun.of(artifact)
    assert run.metrics == {
        "log_loss": 0.3, "log_loss.low": 0.25, "log_loss.high": 0.35,
        "linear.log_loss": 0.4, "linear.log_loss.low": 0.3, "linear.log_loss.high": 0.5,
    }  # fmt: skip
    assert run.epochs == {1: {"train_loss": 0.9, "validation_loss": 0.8}}
    assert run.tags["model_deployer.tag"] == "tiny:1.0.0"
    assert set(run.files) == {"contract.json", "evaluation.json", "reference.json", "spec.yaml"}


def test_nothing_that_may_have_a_password_is_recorded(artifact: Artifact) -> None:
    run = TrackedRun.of(artifact)
    assert run.parameters == {"name": "tiny", "data.path": "t.csv", "data.target": "late", "estimator.name": "linear"}
    assert "secret" not in run.to_json()


def test_a_run_passes_through_json(artifact: Artifact) -> None:
    run = TrackedRun.of(artifact)
    assert TrackedRun.from_json(run.to_json()) == run
