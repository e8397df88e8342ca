"""The commands with a model that its source serves."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from model_deployer.contract.artifact import Artifact
from tests.support import processes
from tests.support.in_process import deployer
from tests.support.sources import REFUSED, adopt_source, rows, spending, variables

MODEL = "adopted:1.0.0"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifact]:
    """The model, whose environment is that of the tests."""
    artifact = adopt_source(tmp_path_factory.mktemp("adopted"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables(artifact, tmp_path_factory.mktemp("environments")).items():
            patch.setenv(name, value)
        yield artifact


@pytest.fixture
def run(artifact: Artifact, tmp_path: Path) -> Run:
    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return deployer(*arguments, cwd=tmp_path, home=artifact.path.parents[2])

    return command


def test_a_table_is_predicted_and_refused_rows_are_named(run: Run, tmp_path: Path) -> None:
    table = pl.DataFrame(rows()).filter(pl.col("city").is_not_null()).head(30)
    table = table.with_columns(income=pl.when(pl.int_range(pl.len()) == 7).then(REFUSED).otherwise("income"))
    table.write_csv(tmp_path / "table.csv")
    completed = run("predict", MODEL, "table.csv", "-o", "answers.parquet")
    assert (completed.returncode, "29 rows answered by adopted:1.0.0, 1 refused" in completed.stdout) == (1, True)
    answers = pl.read_parquet(tmp_path / "answers.parquet")
    assert [row for row in range(30) if answers["error"][row]] == [7]
    assert "refused_by_model" in answers["error"][7]
    answered = [row for row in range(30) if row != 7]
    expected = [spending(row) for row in table[answered].to_dicts()]
    assert answers[answered]["value"].to_list() == pytest.approx(expected, rel=1e-6)


def test_it_is_shown_with_its_source(run: Run) -> None:
    completed = run("show", MODEL)
    assert completed.returncode == 0
    assert "by the source itself, in a process of its own" in completed.stdout
    assert "The source itself answers" in completed.stdout


def test_two_versions_are_compared(run: Run) -> None:
    completed = run("diff", MODEL, MODEL)
    assert completed.returncode == 0
    assert "no value changes" in completed.stdout


def test_it_is_listed(run: Run) -> None:
    assert "Spending" in run("list").stdout


def test_a_bento_serves_it(artifact: Artifact, tmp_path: Path) -> None:
    home = artifact.path.parents[2]
    completed = processes.run("deployer", "build", MODEL, BENTOML_HOME=str(home))
    assert completed.returncode == 0, completed.stderr
    bento = completed.stdout.split()[0]
    with processes.serve([bento], home, tmp_path / "log", cwd=tmp_path) as server:
        answer = httpx.post(f"{server.url}/predict", json={"rows": rows()[:3]})
    assert [item["value"] for item in answer.json()["predictions"]] == pytest.approx(list(map(spending, rows()[:3])))
