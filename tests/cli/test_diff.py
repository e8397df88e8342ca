"""The output of `deployer diff`, for people and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract.features import Numeric
from tests.support import tiny
from tests.support.figures import slice_result
from tests.support.processes import run

OLD: dict[str, Any] = {
    "metrics": {
        "model": {
            "log_loss": {"value": 0.5, "low": 0.45, "high": 0.55},
            "accuracy": {"value": 0.8, "low": 0.79, "high": 0.81},
        }
    },
    "slices": [
        slice_result("distance [0, 500)", 90, 0.7),
        slice_result("origin JFK", 80, 0.4),
    ],
}
NEW: dict[str, Any] = {
    "metrics": {
        "model": {
            "log_loss": {"value": 0.52, "low": 0.47, "high": 0.57},
            "accuracy": {"value": 0.7, "low": 0.69, "high": 0.71},
        }
    },
    "slices": [slice_result("distance [0, 500)", 91, 0.9)],
}


def diff(*options: str) -> str:
    completed = run("deployer", "diff", "tiny:1.0.0", "tiny", *options)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def document() -> Any:
    return json.loads(diff("--json"))


@pytest.fixture
def opposite(home: Path, tmp_path: Path) -> None:
    """Save two versions with opposite decisions, and with evaluations."""
    tiny.save(tmp_path / "old", evaluation=OLD)
    tiny.save(tmp_path / "new", version="1.1.0", evaluation=NEW, opposite=True)


@pytest.mark.usefixtures("opposite")
def test_a_program_reads_how_far_a_model_moved() -> None:
    result = document()
    assert (result["old"], result["new"], result["step"]) == ("tiny:1.0.0", "tiny:1.1.0", "minor")
    assert result["changes"] == []
    behaviour = result["behaviour"]
    assert (behaviour["requests"], behaviour["flips"], behaviour["flipped"]) == (1, 1, ["example"])
    assert behaviour["moved"]
    assert behaviour["largest"] == behaviour["mean"] > 0.5
    assert {name: change["verdict"] for name, change in result["metrics"].items()} == {
        "log_loss": "within the noise",
        "accuracy": "worse",
    }
    assert result["metrics"]["accuracy"]["new"] == NEW["metrics"]["model"]["accuracy"]
    slices = [(change["slice"], change["old"], change["new"]) for change in result["slices"]]
    assert slices == [("distance [0, 500)", 0.7, 0.9)]


@pytest.mark.usefixtures("opposite")
def test_a_person_reads_the_same() -> None:
    text = diff()
    assert text.startswith("tiny:1.0.0 to tiny:1.1.0: a minor step\n")
    for part in (
        "Contract: the same",
        "1 of 1 decisions flip",
        "beyond the tolerance of 0.05",
        "flipped: example",
        "0.5 (0.45 to 0.55)",
        "within the noise",
        "worse",
        "distance [0, 500)",
        "+0.2",
    ):
        assert part in text


def test_the_same_model_again_is_a_patch(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "old")
    tiny.save(tmp_path / "new", version="1.0.1")
    assert document()["step"] == "patch"
    assert "0 of 1 decisions flip" in diff()


def test_the_larger_step_wins(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "old")
    narrow = Numeric(name="distance", minimum=0, maximum=1000, out_of_range="reject", unit="miles", example=733.5)
    contract = tiny.CONTRACT.model_copy(update={"features": (narrow, *tiny.FEATURES[1:])})
    tiny.save(tmp_path / "new", version="2.0.0", contract=contract, opposite=True)
    result = document()
    assert result["step"] == "major"
    assert [change["step"] for change in result["changes"]] == ["major"]
    assert result["behaviour"]["moved"]


def test_a_model_that_refuses_every_old_request_is_not_compared(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "old")
    contract = tiny.CONTRACT.model_copy(update={"features": tiny.FEATURES[1:]})
    tiny.save(tmp_path / "new", version="2.0.0", contract=contract)
    assert document()["behaviour"] is None
    assert "cannot be compared" in diff()


def evaluated(low: float, high: float) -> dict[str, Any]:
    """Return an evaluation with one log loss, and what training writes next to it."""
    candidates = [{"name": "lightgbm", "loss": 0.5, "seconds": 1.0, "chosen": True}]
    metrics = {"model": {"log_loss": {"value": (low + high) / 2, "low": low, "high": high}}}
    return {"metrics": metrics, "rows": {"train": 600, "validation": 200, "test": 200}, "candidates": candidates}


@pytest.fixture
def three(home: Path, tmp_path: Path) -> None:
    """Save three versions, the second with opposite decisions and the third with the best loss."""
    for version, interval in (("1.0.0", (0.5, 0.6)), ("1.1.0", (0.5, 0.7)), ("1.2.0", (0.3, 0.4))):
        opposite = version == "1.1.0"
        tiny.save(tmp_path / version, version=version, evaluation=evaluated(*interval), opposite=opposite)


@pytest.mark.usefixtures("three")
def test_a_name_alone_is_a_table_of_all_its_versions() -> None:
    completed = run("deployer", "diff", "tiny")
    assert completed.returncode == 0, completed.stderr
    facts, metrics, notes = completed.stdout.split("\n\n")
    rows = [line.split() for line in facts.splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["tiny:1.0.0", "arrival"],
        ["tiny:1.1.0", "minor"],
        ["tiny:1.2.0", "minor"],
    ]
    assert rows[1][2:5] == ["lightgbm", "1,000", "0"]
    assert "0.65" not in metrics
    assert "0.6 (0.5 to 0.7)" in metrics
    assert metrics.splitlines()[-1].split() == ["best", "tiny:1.2.0"]
    assert "unpaired" in notes
    assert "noise" not in completed.stdout
    assert all(len(line) <= 100 for line in (facts + "\n" + metrics).splitlines())


@pytest.mark.usefixtures("three")
def test_a_program_reads_the_table() -> None:
    result = json.loads(run("deployer", "diff", "tiny:1.2.0", "tiny:1.1.0", "tiny:1.0.0", "--json").stdout)
    assert [model["model"] for model in result["models"]] == ["tiny:1.2.0", "tiny:1.1.0", "tiny:1.0.0"]
    assert [model["since"] for model in result["models"]] == [None, "tiny:1.2.0", "tiny:1.1.0"]
    assert [model["step"] for model in result["models"]] == [None, "minor", "minor"]
    assert result["models"][1]["behaviour"]["flips"] == 1
    assert result["models"][0]["rows"] == 1000
    assert result["models"][0]["graph_bytes"] > 0
    assert result["models"][0]["metrics"] == evaluated(0.3, 0.4)["metrics"]["model"]
    assert result["best"] == {"log_loss": "tiny:1.2.0"}


@pytest.mark.usefixtures("three")
def test_one_version_alone_has_nothing_to_be_compared_with() -> None:
    completed = run("deployer", "diff", "tiny:1.0.0")
    assert completed.returncode == 2
    assert "name a second model" in completed.stderr
