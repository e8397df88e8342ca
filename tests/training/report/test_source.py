"""report.html, `deployer show` and `deployer list` of a model that was trained elsewhere."""

import json
from html import unescape
from pathlib import Path

import pytest

from model_deployer.contract.artifact import REPORT, Artifact
from model_deployer.training.report.report import EvaluatedModel, write_report
from tests.support.adopted_packages import ADOPTED, adopt_model
from tests.support.in_process import model_store
from tests.support.processes import run

#: Sentences that are false for a model that was trained elsewhere.
FALSE = (
    "which training did not use", "fitted the model", "chose and calibrated", "Trained</dt>", "trained again",
    "on the machine that trained it", "is at least", "chosen on the validation rows", "same weights",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=ADOPTED)
def artifact(request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    with model_store(home / request.param.replace(", ", "_")):
        return adopt_model(ADOPTED[request.param], tmp_path_factory.mktemp("source"))


def test_the_report_is_true_for_a_model_trained_elsewhere(artifact: Artifact) -> None:
    text = unescape((artifact.path / REPORT).read_text(encoding="utf-8"))
    assert [sentence for sentence in FALSE if sentence in text] == []
    adoption = artifact.evaluation.adoption
    assert adoption
    equality, seen = adoption.equality, {True: "yes", False: "no", None: "not said"}[adoption.seen]
    assert "Does it answer as its source?" in text
    if equality:
        assert f"{equality.table_rows:,} rows of the table and {equality.probe_rows:,} probe rows" in text
    assert ("The source itself answers" in text) == (adoption.served_by == "runner")
    assert f"<dt>Trained on rows of the table</dt>\n<dd>{seen}</dd>" in text
    assert ("not used for training" in text) == (adoption.seen is False)
    for value in (adoption.source, adoption.digest, str(adoption.estimator)):
        assert value in text


def test_rows_that_differ_are_in_the_report(artifact: Artifact, tmp_path: Path) -> None:
    evaluation = artifact.evaluation.to_json()
    row = {"case": "x: the next double above 0.5", "source": "<late>", "served": "on time"}
    rows = [row | {"difference": 0.0123}]
    if artifact.evaluation.adoption is None or artifact.evaluation.adoption.equality is None:
        return
    evaluation["adoption"]["equality"] |= {"differing": 1, "largest": 0.0123, "rows": rows}
    changed = type(artifact.evaluation).model_validate(evaluation)
    write_report(tmp_path, EvaluatedModel(artifact.manifest, artifact.contract, changed))
    text = unescape((tmp_path / REPORT).read_text(encoding="utf-8"))
    assert "differs from its source beyond the tolerance in 1" in text
    assert all(value in text for value in (*row.values(), "0.012"))


@pytest.mark.slow
def test_show_prints_the_source_and_the_equality(artifact: Artifact) -> None:
    shown = run("deployer", "show", artifact.tag, BENTOML_HOME=str(artifact.path.parents[2]))
    assert shown.returncode == 0, shown.stderr
    first, *_ = shown.stdout.splitlines()
    assert first.startswith(f"{artifact.tag}  adopted 20")
    adoption = artifact.evaluation.adoption
    assert adoption
    if adoption.equality:
        assert f"{adoption.equality.table_rows:,} rows of the table and" in shown.stdout
    assert adoption.digest in shown.stdout
    as_json = run("deployer", "show", artifact.tag, "--json", BENTOML_HOME=str(artifact.path.parents[2]))
    document = json.loads(as_json.stdout)
    assert document["evaluation"]["adoption"] == adoption.to_json()


@pytest.mark.slow
def test_list_names_the_class_of_the_source(artifact: Artifact) -> None:
    home = str(artifact.path.parents[2])
    (listed,) = json.loads(run("deployer", "list", "--json", BENTOML_HOME=home).stdout)
    adoption = artifact.evaluation.adoption
    assert adoption and adoption.estimator
    assert (listed["estimator"], listed["source"]) == (adoption.estimator, "m.pkl")
    table = run("deployer", "list", BENTOML_HOME=home, COLUMNS="200").stdout
    assert adoption.estimator.rpartition(".")[2] in table
