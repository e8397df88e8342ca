"""`deployer promote`, `deployer rollback` and `deployer ledger`, and the aliases that other commands show."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.processes import BIN, run


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Return a BentoML home with three versions of a model."""
    return str(tiny.home(tmp_path / "home", "1.0.0", "1.1.0", "1.2.0"))


def test_promote_rollback_and_ledger(store: str) -> None:
    first = run("deployer", "promote", "served:1.0.0", BENTOML_HOME=store)
    assert first.stdout.startswith("champion: 1.0.0, before none, set 20"), first.stderr
    refused = run("deployer", "promote", "served:1.1.0", BENTOML_HOME=store)
    assert refused.returncode == 1
    assert "There is no trial of served:1.1.0 against the champion served:1.0.0." in refused.stderr
    run("deployer", "promote", "served:1.1.0", "--force", "--reason", "a [test]", BENTOML_HOME=store)
    assert run("deployer", "show", "served@champion", BENTOML_HOME=store).stdout.startswith("served:1.1.0  champion  ")
    listed = json.loads(run("deployer", "list", "--json", BENTOML_HOME=store).stdout)
    assert [model["aliases"] for model in listed] == [[], ["champion"], []]
    assert run("deployer", "rollback", "served", "--reason", "too slow", BENTOML_HOME=store).returncode == 0
    entries = json.loads(run("deployer", "ledger", "served", "--json", BENTOML_HOME=store).stdout)
    assert [(each["action"], each["from"], each["to"], each["reason"]) for each in entries] == [
        ("promote", None, "1.0.0", None),
        ("promote", "1.0.0", "1.1.0", "a [test]"),
        ("rollback", "1.1.0", "1.0.0", "too slow"),
    ]
    text = run("deployer", "ledger", "served", BENTOML_HOME=store, COLUMNS="200").stdout
    assert "promote, forced" in text
    assert "a [test]" in text
    assert entries[-1]["sha256"] in text


def test_of_two_promotions_at_once_one_wins(store: str) -> None:
    """The other one meets a champion that it was not compared with, or the promotion that is running."""
    command = str(BIN / "deployer")
    environment = os.environ | {"BENTOML_HOME": store}
    processes = [
        subprocess.Popen([command, "promote", f"served:{version}"], env=environment, stderr=subprocess.PIPE, text=True)
        for version in ("1.0.0", "1.1.0")
    ]
    messages = [process.communicate()[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1]
    (message,) = filter(None, messages)
    assert "There is no trial" in message or "another promotion or rollback of served is running" in message
    assert len(json.loads(run("deployer", "ledger", "served", "--json", BENTOML_HOME=store).stdout)) == 1
