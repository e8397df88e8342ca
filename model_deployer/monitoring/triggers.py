"""monitoring/triggers.json, the program that checks it, and how `deployer monitor` runs each day."""

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args

from model_deployer.contract.number_format import number
from model_deployer.monitoring import check_triggers
from model_deployer.monitoring.promise import promised_loss
from model_deployer.monitoring.verdict import OWNERS, STEPS, Action
from model_deployer.package.package_data import PackageData
from model_deployer.system.command import run
from model_deployer.writing.yaml_text import to_yaml

TRIGGERS, PROGRAM, CRON_JOB = (
    "monitoring/triggers.json",
    "monitoring/check_triggers.py",
    "monitoring/monitor-cronjob.yaml",
)

#: The format of the reports that the program reads: ``FORMAT`` of :mod:`model_deployer.monitoring.monitor.monitor`.
REPORT_FORMAT = 1

#: The labelled rows that `deployer recalibrate` and `deployer retrain` need at least.
MIN_LABELLED: Mapping[Action, int] = {"recalibrate": 200, "retrain": 500}

#: A report is made each day; an older one means that the monitor does not run.
OLDEST_REPORT_HOURS = 48

#: When the monitor runs each day: the day before is complete in any time zone of the store, which is UTC.
_SCHEDULE = "15 1 * * *"

_CAUSES: Mapping[Action, str] = {
    "fix the data": "Values of a field are broken before the model sees them: missing, unknown, in another unit, or "
    "refused; or no request arrives any more.",
    "keep": "Nothing moved, or fields or their combinations moved and the errors are as rare as promised.",
    "recalibrate": "Probabilities are wrong, or errors too many, and the order of the answers is as good as before.",
    "retrain": "The errors are above the promise, or the order of the answers is worse: what the model learned no "
    "longer holds.",
    "ask a person": "The figures contradict each other, the rows are of a kind that the model has never seen, or they "
    "combine values as its table does not, and no labels say what that does.",
}


class VerdictGuide(NamedTuple):
    """What to do about one verdict.

    Attributes:
        action: The verdict.
        cause: Why the monitor gives it.
        owner: Who does something about it.
        command: The first command.
        steps: What to do, step by step.
    """

    action: Action
    cause: str
    owner: str
    command: str
    steps: tuple[str, ...]


def verdict_guides(package: PackageData) -> list[VerdictGuide]:
    """Return what to do about each verdict, with the commands for this model."""
    tag, name = package.tag, package.manifest.name
    return [
        VerdictGuide(
            action, _CAUSES[action], OWNERS[action], _command(action, tag),
            tuple(step.format(tag=tag, name=name) for step in STEPS[action]),
        )
        for action in get_args(Action)
    ]  # fmt: skip


def _command(action: Action, tag: str) -> str:
    if action in MIN_LABELLED:
        return f'deployer {action} {tag} --traffic "$TRAFFIC"'
    return f'deployer monitor {tag} --traffic "$TRAFFIC" --html report.html'


def replacement(package: PackageData) -> str:
    """Return the commands that compare a new version with the model, put it in its place, and go back."""
    name = package.manifest.name
    return (
        f'deployer replay --traffic "$TRAFFIC" --champion {package.tag} --candidate {name}:VERSION\n'
        f"deployer promote {name}:VERSION --reason REASON\n"
        f"deployer rollback {name} --reason REASON"
    )


def triggers(package: PackageData) -> dict[str, Any]:
    """Return the content of triggers.json."""
    promise = promised_loss(package.evaluation, package.contract.output)
    limit = None if promise.value is None else promise.value + promise.tolerance
    return {
        "model": {"name": package.manifest.name, "version": package.manifest.version},
        "created": package.manifest.created.isoformat(),
        "report_format": REPORT_FORMAT,
        "oldest_report_hours": OLDEST_REPORT_HOURS,
        "promise": {"loss": promise.loss, "value": promise.value, "limit": limit},
        "labelled_rows": dict(MIN_LABELLED),
        "verdicts": {
            guide.action: {"owner": guide.owner, "command": guide.command} for guide in verdict_guides(package)
        },
    }


def promise_text(package: PackageData) -> str:
    """Return what the evaluation promises, as a sentence; empty if it promises nothing."""
    promise = promised_loss(package.evaluation, package.contract.output)
    if promise.value is None:
        return ""
    return (
        f"The evaluation promises a mean {promise.loss} of {number(promise.value)} a row; the monitor allows "
        f"{number(promise.value + promise.tolerance)}."
    )


def trigger_files(package: PackageData) -> dict[str, str]:
    """Return the files by their path in the package."""
    return {
        TRIGGERS: json.dumps(triggers(package), indent=2, ensure_ascii=False) + "\n",
        PROGRAM: Path(check_triggers.__file__).read_text(encoding="utf-8"),
        CRON_JOB: to_yaml(_cron_job(package), _about_cron_job(package)),
    }


def _about_cron_job(package: PackageData) -> str:
    return f"""An example: `deployer monitor`, once a day. Set the image (model-deployer with its extras
monitor and remote, and the model in its store) and the traffic store. The job fails if a person has to do something:
RUNBOOK.md has each verdict. As a line of cron, with TRAFFIC set in the crontab:

    {_SCHEDULE} deployer monitor {shlex.quote(package.tag)} --traffic "$TRAFFIC" --json /var/tmp/report.json
"""


def _cron_job(package: PackageData) -> dict[str, Any]:
    monitor = f'deployer monitor {package.tag} --traffic "$TRAFFIC" --json /tmp/report.json'
    container = {
        "name": "monitor",
        "image": "registry.example.com/model-deployer:latest",
        "command": ["sh", "-c", monitor],
        "env": [{"name": "TRAFFIC", "value": "s3://bucket/traffic"}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"monitor-{package.manifest.name.replace('_', '-').replace('.', '-')}"[:52]},
        "spec": {
            "schedule": _SCHEDULE,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 0,
                    "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
                }
            },
        },
    }


def program_problems(package: PackageData, folder: Path) -> Iterator[str]:
    """Yield what is wrong with the program of a package: it is run with a report of each verdict, and an old one.

    Args:
        package: The content of the package.
        folder: Its folder.
    """
    now = datetime.now(UTC).isoformat()
    cases = [(_report(package, action, now), int(action != "keep")) for action in get_args(Action)]
    cases.append((_report(package, "keep", "2000-01-01T00:00:00Z"), 2))
    with tempfile.TemporaryDirectory() as temporary:
        for report, expected in cases:
            file = Path(temporary) / "report.json"
            file.write_text(json.dumps(report), encoding="utf-8")
            completed = run([sys.executable, "-I", "-B", str(folder / PROGRAM), str(file)])
            if completed.returncode != expected:
                action = report["verdict"]["action"]
                yield f"{PROGRAM}: exit code {completed.returncode} in place of {expected} for the verdict '{action}'"


def _report(package: PackageData, action: Action, made: str) -> dict[str, Any]:
    """Return the parts of a report that the program reads."""
    promise = triggers(package)["promise"]
    risk = {"loss": promise["loss"], "state": "quiet", "promised": promise["value"], "limit": promise["limit"]}
    observed: dict[str, Any] = {
        "made": made,
        "faults": [],
        "labels": {"labelled": 1000},
        "risk": risk,
        "calibration": None,
    }
    return {
        **triggers(package)["model"],
        "format": REPORT_FORMAT,
        "verdict": {"action": action, "headline": action},
        "observed": observed,
    }
