"""The triggers of a package, and the program that checks them in a report."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from model_deployer.cli.app import app
from model_deployer.monitoring import check_triggers, retraining
from model_deployer.monitoring.check_triggers import FIRED, NOTHING, UNUSABLE, check
from model_deployer.monitoring.monitor.monitor import FORMAT
from model_deployer.monitoring.monitoring import write_monitoring
from model_deployer.monitoring.runbook import runbook
from model_deployer.monitoring.triggers import (
    CRON_JOB,
    MIN_LABELLED,
    PROGRAM,
    REPORT_FORMAT,
    TRIGGERS,
    _report,
    program_problems,
    triggers,
    verdict_guides,
)
from model_deployer.training import recalibration_run
from tests.support import tiny
from tests.support.observed import package_data

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def report(action: Any = "keep", **observed: Any) -> dict[str, Any]:
    content = _report(package_data(), action, NOW.isoformat())
    content["observed"] |= observed
    return content


def lines(content: dict[str, Any], max_age_days: float | None = None) -> list[str]:
    return list(check(triggers(package_data()), content, max_age_days, NOW))


def test_the_limits_are_those_of_the_commands() -> None:
    assert MIN_LABELLED == {"recalibrate": recalibration_run.MIN_ROWS, "retrain": retraining.MIN_ROWS}
    assert REPORT_FORMAT == FORMAT


def test_a_quiet_report_fires_nothing_and_each_verdict_names_owner_and_command() -> None:
    assert lines(report()) == []
    for guide in verdict_guides(package_data())[2:]:
        (line,) = lines(report(guide.action))
        assert f"Owner: {guide.owner}. First: {guide.command}" in line
    assert "deployer retrain served:1.0.0 --traffic" in lines(report("retrain"))[0]


def test_what_is_broken_is_named_also_beside_the_verdict() -> None:
    risk = {"loss": "error", "state": "above", "recent": 0.4, "limit": 0.3, "promised": _promised()}
    fault = {"text": "distance is in another unit"}
    named = lines(report("retrain", faults=[fault], risk=risk, calibration={"has_shifted": True}))
    assert [line.partition(":")[0] for line in named] == ["data", "risk", "calibration", "verdict"]


def _promised() -> Any:
    return triggers(package_data())["promise"]["value"]


def test_too_few_labels_are_collected_first() -> None:
    (line,) = lines(report("retrain", labels={"labelled": 12}))
    assert "Collect labels first: there are 12, and it takes 500" in line


def test_an_old_model_fires_only_with_the_option() -> None:
    (line,) = lines(report(), max_age_days=180)
    assert "761 days old" in line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "9.0.0"}, "the report is about served:9.0.0"),
        ({"format": 99}, "another format"),
        ({"observed": {}}, "is not a report"),
        ({"observed": report(made="2026-01-01T00:00:00Z")["observed"]}, "older than 48 hours"),
        ({"observed": report(risk={"promised": 7.0})["observed"]}, "another promise"),
    ],
)
def test_a_report_that_says_nothing_now_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(check_triggers.UnusableReport, match=reason):
        lines(report() | change)


def test_the_program_of_a_package_needs_nothing_but_python(tmp_path: Path) -> None:
    """It runs isolated, ends with the code of its result, and its check finds a program that does not."""
    package = package_data()
    write_monitoring(package, tmp_path)
    assert list(program_problems(package, tmp_path)) == []
    now = datetime.now(UTC).isoformat()
    for action, code in (("keep", NOTHING), ("retrain", FIRED)):
        (tmp_path / "report.json").write_text(json.dumps(_report(package, action, now)))  # type: ignore[arg-type]
        assert _run(tmp_path / PROGRAM, tmp_path / "report.json").returncode == code
    (tmp_path / "report.json").write_text("{")
    completed = _run(tmp_path / PROGRAM, tmp_path / "report.json")
    assert (completed.returncode, completed.stderr) == (
        UNUSABLE,
        "cannot check: report.json cannot be read: JSONDecodeError\n",
    )
    (tmp_path / PROGRAM).write_text("")
    assert len(list(program_problems(package, tmp_path))) == 5


def _run(program: Path, file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-S", str(program), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_files_name_this_model(tmp_path: Path) -> None:
    package = replace(package_data(name="late_parcels"), runner=None)
    write_monitoring(package, tmp_path)
    job = yaml.safe_load((tmp_path / CRON_JOB).read_text())
    assert job["metadata"]["name"] == "monitor-late-parcels"
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert "deployer monitor late_parcels:1.0.0 " in container["command"][-1]
    assert json.loads((tmp_path / TRIGGERS).read_text())["model"]["name"] == "late_parcels"
    text = runbook(package)
    assert text.count("### Verdict: ") == 5
    assert "deployer recalibrate late_parcels:1.0.0" in text


def test_a_model_without_a_measured_evaluation_promises_nothing() -> None:
    package = package_data(evaluation=tiny.EVALUATION | {"metrics": {}})
    assert triggers(package)["promise"] == {"loss": "error", "value": None, "limit": None}
    assert "The evaluation promises" not in runbook(package)


@pytest.mark.parametrize("command", ["recalibrate", "retrain", "monitor", "replay", "promote", "rollback"])
def test_the_commands_of_the_runbook_exist_with_their_options(command: str) -> None:
    """Each option that the runbook shows is one of the command."""
    options = {name for parameter in typer.main.get_command(app).commands[command].params for name in parameter.opts}  # type: ignore[attr-defined]
    shown = [line for line in runbook(package_data()).splitlines() if line.startswith(f"deployer {command} ")]
    assert shown
    assert set(re.findall(r"--[a-z-]+", " ".join(shown))) <= options
