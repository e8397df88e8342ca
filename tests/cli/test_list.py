"""`deployer list`: the models of the store with their results."""

import json
from pathlib import Path

from model_deployer.contract import store
from model_deployer.contract.artifact import MODEL, open_artifact
from tests.support import tiny
from tests.support.processes import run
from tests.support.stored_artifacts import STORED


def test_results_are_those_of_the_stored_files(home: Path) -> None:
    """The metric, its interval, the estimator, the rows and the data version are those of the stored files."""
    tags = [store.save(folder, open_artifact(folder).manifest) for folder in STORED]
    listed = json.loads(run("deployer", "list", "--json").stdout)
    shown = run("deployer", "list", COLUMNS="200").stdout
    assert {f"{model['name']}:{model['version']}" for model in listed} == set(tags)
    for model in listed:
        artifact = store.load(f"{model['name']}:{model['version']}")
        evaluation = artifact.evaluation
        name = {"classification": "log_loss", "regression": "rmse"}[evaluation.task]
        metric = evaluation.metrics["model"][name]
        assert model["metric"] == {"name": name, "value": metric.value, "low": metric.low, "high": metric.high}
        (chosen,) = [candidate.name for candidate in evaluation.candidates if candidate.chosen]
        assert model["estimator"] == chosen
        assert evaluation.rows and model["rows"] == sum(evaluation.rows.model_dump().values())
        assert model["data_version"] == artifact.manifest.origin.data_version
        (line,) = [line for line in shown.splitlines() if line.split()[:2] == [model["name"], model["version"]]]
        assert f"{name.replace('_', ' ')} {metric.value:.3g} ({metric.low:.3g} to {metric.high:.3g})" in line
        assert chosen in line
        assert f"{model['rows']:,}" in line


def test_a_model_without_results_and_a_damaged_one_are_listed(home: Path, tmp_path: Path) -> None:
    """What was not measured is null; a damaged model does not hide the others."""
    tiny.save(tmp_path / "whole", "whole")
    tiny.save(tmp_path / "damaged", "damaged")
    (home / "models/damaged/1.0.0" / MODEL).write_bytes(b"")
    done = run("deployer", "list", "--json")
    assert done.returncode == 0, done.stderr
    damaged, whole = json.loads(done.stdout)
    assert (whole["name"], whole["metric"], whole["rows"], whole["estimator"]) == ("whole", None, None, None)
    assert whole["data_version"] == "sha256:0"
    assert whole["error"] is None
    assert damaged["metric"] is None
    assert MODEL in damaged["error"]
    assert MODEL in run("deployer", "list").stdout
