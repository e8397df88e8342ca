"""`deployer promote`, `deployer rollback` and `deployer ledger`, and the aliases that other commands show."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from model_deployer.cli import output
from tests.support import tiny
from tests.support.in_process import deployer
from tests.support.processes import BIN, run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a BentoML home with three versions of a model."""
    return tiny.home(tmp_path / "home", "1.0.0", "1.1.0", "1.2.0")


def test_promote_rollback_and_ledger(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_here(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return deployer(*arguments, cwd=tmp_path, home=home)

    assert "has no aliases yet" in run_here("ledger", "served").stdout
    first = run("deployer", "promote", "served:1.0.0", BENTOML_HOME=str(home))
    assert first.stdout.startswith("champion: 1.0.0, before none, set 20"), first.stderr
    refused = run_here("promote", "served:1.1.0")
    assert refused.returncode == 1
    assert "There is no trial of served:1.1.0 against the champion served:1.0.0." in refused.stderr
    assert run_here("promote", "served:1.1.0", "--force", "--reason", "a [test]").returncode == 0
    assert run_here("promote", "served:1.2.0", "--alias", "challenger").returncode == 0

    listed = json.loads(run_here("list", "--json").stdout)
    assert [model["aliases"] for model in listed] == [["challenger"], ["champion"], []]
    assert run_here("show", "served@champion").stdout.startswith("served:1.1.0  champion  ")
    assert json.loads(run_here("show", "served:1.2.0", "--json").stdout)["aliases"] == ["challenger"]
    compared = run_here("diff", "served@champion", "served@challenger")
    assert compared.stdout.startswith("served:1.1.0 to served:1.2.0"), compared.stderr
    assert "there is nothing to compare served:1.1.0 with" in run_here("diff", "served@champion").stderr

    promoted = run_here("promote", "served@challenger", "--force", "--reason", "a test")
    assert promoted.stdout.endswith("\nchallenger removed\n")
    assert run_here("rollback", "served").stdout.endswith("\nchallenger is 1.2.0\n")
    assert run("deployer", "rollback", "served", "--reason", "too slow", BENTOML_HOME=str(home)).returncode == 0
    entries = json.loads(run("deployer", "ledger", "served", "--json", BENTOML_HOME=str(home)).stdout)
    assert [(each["action"], each["alias"], each["from"], each["to"], each["reason"]) for each in entries] == [
        ("promote", "champion", None, "1.0.0", None),
        ("promote", "champion", "1.0.0", "1.1.0", "a [test]"),
        ("promote", "challenger", None, "1.2.0", None),
        ("promote", "champion", "1.1.0", "1.2.0", "a test"),
        ("rollback", "champion", "1.2.0", "1.1.0", None),
        ("rollback", "champion", "1.1.0", "1.0.0", "too slow"),
    ]
    monkeypatch.setattr(output.console, "width", 200)
    text = run_here("ledger", "served").stdout
    assert "promote, forced" in text
    assert "a [test]" in text
    assert "1.2.0; challenger removed" in text
    assert entries[-1]["sha256"] in text


def test_of_two_promotions_at_once_one_wins(home: Path) -> None:
    """The other one meets a champion that it was not compared with, or the promotion that is running."""
    command = str(BIN / "deployer")
    environment = os.environ | {"BENTOML_HOME": str(home)}
    processes = [
        subprocess.Popen([command, "promote", f"served:{version}"], env=environment, stderr=subprocess.PIPE, text=True)
        for version in ("1.0.0", "1.1.0")
    ]
    messages = [process.communicate()[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1]
    (message,) = filter(None, messages)
    assert "There is no trial" in message or "another promotion or rollback of served is running" in message
    assert len(json.loads(run("deployer", "ledger", "served", "--json", BENTOML_HOME=str(home)).stdout)) == 1
