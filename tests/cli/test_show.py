"""`deployer show` of models that earlier versions of the project wrote."""

import json
from pathlib import Path

import pytest

from model_deployer.contract import artifact, store
from model_deployer.contract.artifact import open_artifact
from tests.support import tiny
from tests.support.processes import run
from tests.support.stored_artifacts import STORED, json_of, name_of


@pytest.mark.parametrize("folder", STORED, ids=name_of)
def test_a_program_reads_the_files_of_a_stored_model_as_they_are(home: Path, folder: Path) -> None:
    tag = store.save(folder, open_artifact(folder).manifest)
    document = {
        name.removesuffix(".json"): json_of(folder, name)
        for name in (artifact.MANIFEST, artifact.CONTRACT, artifact.EVALUATION)
    } | {"aliases": []}
    shown = run("deployer", "show", tag, "--json")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_evaluation_that_does_not_fit_is_one_message(home: Path, tmp_path: Path, options: list[str]) -> None:
    tag = tiny.save(tmp_path, evaluation={"metrics": {"model": {"log_loss": {"value": 0.5}}}})
    shown = run("deployer", "show", tag, *options)
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr
    assert f"{artifact.EVALUATION}: metrics.model.log_loss.low: the field is missing; restore the model" in shown.stderr
