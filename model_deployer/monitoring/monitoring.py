"""monitoring/: alert rules for Prometheus, tests of the rules, and a dashboard for Grafana."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model_deployer.contract import origin_text
from model_deployer.monitoring.alert_rules import alert_rule
from model_deployer.monitoring.alert_tests import alert_tests
from model_deployer.monitoring.alerts import alerts, rules
from model_deployer.monitoring.dashboard import dashboard
from model_deployer.monitoring.drift import drift_metrics
from model_deployer.monitoring.drift_tests import drift_tests
from model_deployer.monitoring.prometheus import query
from model_deployer.monitoring.replay import replay, replay_problems
from model_deployer.monitoring.runbook import RUNBOOK, first_looks, runbook
from model_deployer.monitoring.triggers import program_problems, trigger_files
from model_deployer.package.package_data import SAMPLES, PackageData
from model_deployer.package.samples import Samples
from model_deployer.system.command import run
from model_deployer.system.http_client import connect
from model_deployer.writing.yaml_text import to_yaml

ALERTS, TESTS, DASHBOARD = "monitoring/alerts.yml", "monitoring/alerts_test.yml", "monitoring/dashboard.json"
DRIFT_TESTS, REPLAY = "monitoring/drift_test.yml", "monitoring/replay.json"

_ABOUT_ALERTS = """Alert rules of {tag} for Prometheus: list this file under `rule_files`, and let Prometheus scrape
GET /metrics of every replica at least once a minute. All rules select the model by its name, so the rules of several
models can be loaded together. For each model, load the rules of the version that answers.
"""

_ABOUT_TESTS = """Tests of alerts.yml: each alert is silent during normal traffic, and fires in the case that it is for.

    promtool test rules alerts_test.yml
"""

_ABOUT_DRIFT_TESTS = """Tests of alerts.yml: the alerts on drift are silent on the most unusual days of the table, and
fire with each planted fault that they find.

    promtool test rules drift_test.yml
"""


def monitoring(package: PackageData) -> dict[str, str]:
    """Return the files of monitoring/ by their path in the package; they depend on its data only."""
    tests = {TESTS: to_yaml(alert_tests(package), _ABOUT_TESTS)}
    if drift_metrics(package):
        tests[DRIFT_TESTS] = to_yaml(drift_tests(package), _ABOUT_DRIFT_TESTS)
    return (
        tests
        | trigger_files(package)
        | {
            ALERTS: to_yaml({"groups": groups(package)}, _ABOUT_ALERTS.format(tag=package.tag)),
            DASHBOARD: _json(dashboard(package)),
            REPLAY: _json(replay(package)),
            RUNBOOK: runbook(package),
        }
    )


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def groups(package: PackageData) -> list[Mapping[str, Any]]:
    """Return the groups of rules, in the format of Prometheus."""
    return [
        {"name": package.tag, "rules": [*rules(package), *(alert_rule(alert, package) for alert in alerts(package))]},
        *(
            {"name": drift.group(package), "interval": "5m", "rules": list(drift.rules(package))}
            for drift in drift_metrics(package)
        ),
    ]


def write_monitoring(package: PackageData, folder: Path) -> None:
    """Write the files of monitoring/ into the package ``folder``."""
    (folder / "monitoring").mkdir(exist_ok=True)
    for name, text in monitoring(package).items():
        (folder / name).write_text(text, encoding="utf-8")


def promtool() -> str | None:
    """Return the path of promtool, Prometheus' tool for rules; None if it is not installed."""
    return shutil.which("promtool")


def check_monitoring(package: PackageData, folder: Path, url: str) -> list[str]:
    """Check monitoring/ of a package against a running server of its model, and return the problems.

    Every metric and label in the rules, the dashboard and the runbook must be in the server's /metrics or be recorded
    by the rules. The server must count every bin of the drift rules. The alerts on drift must be silent on the most
    unusual days of the table, and fire with the planted faults: by evaluation of their index here, and by promtool, if
    it is installed, which must accept the rules and pass all their tests.

    Args:
        package: The content of the package.
        folder: The folder of the package.
        url: The URL of the server.
    """
    try:
        groups = yaml.safe_load((folder / ALERTS).read_bytes())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        panels = json.loads((folder / DASHBOARD).read_bytes())["panels"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        return [f"monitoring/ cannot be read: {type(error).__name__}; write the package again"]
    exported = _exported(folder, url)
    problems = [
        *_unknown_names(package, rules, panels, exported),
        *_missing_bins(rules, exported),
        *replay_problems(package),
        *_promtool_errors(folder),
        *program_problems(package, folder),
    ]
    return list(dict.fromkeys(problems))


def replay_verdict(package: PackageData) -> str:
    """Return what :func:`check_monitoring` found of the rules if it found no problem, and the program."""
    program = "promtool accepts the rules" if promtool() else "promtool is not installed on this machine"
    drift = package.reference and package.reference.drift
    if not drift:
        return f"{program}; without a replay of the table, there are no alerts on drift"
    reference = origin_text.reference_rows(package.evaluation)
    evaluation = "promtool" if promtool() else "an evaluation of the index by this program"
    fired = " and ".join(
        f"{replayed.days_with_alerts} of {replayed.days} days of {rows}"
        for rows, replayed in ((reference, drift.training), ("the test rows", drift.test))
    )
    return (
        f"{program}; by {evaluation}, the alerts on drift are silent on the most unusual days and fire with the "
        f"planted faults; by the replay of the table, they fire on {fired}"
    )


def _exported(folder: Path, url: str) -> list[Sample]:
    """Return the samples of /metrics after a request of every kind: counters with labels appear on their first use."""
    samples = Samples.model_validate_json((folder / SAMPLES).read_bytes())
    with connect(url) as client:
        for sample in (*samples.golden[:1], *samples.invalid):
            if sample.body is None:
                client.post("/predict", json=sample.request)
        text = client.get("/metrics").raise_for_status().text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _unknown_names(package: PackageData, rules: list[Any], panels: list[Any], exported: list[Sample]) -> Iterator[str]:
    """Yield a sentence per metric or label that neither the server exports nor a rule records."""
    labels: dict[str, set[str]] = {"up": {"job", "instance"}}
    for sample in exported:
        labels.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    known: set[str] = set().union(*labels.values(), *(rule["labels"] for rule in rules))
    labels |= {rule["record"]: known for rule in rules if "record" in rule}
    expressions = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules]
    expressions += [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]
    expressions += [
        (f"{RUNBOOK}: {name}", text) for name, look in first_looks(package).items() for text in look.queries
    ]
    for name, expression in expressions:
        names = query(expression)
        for metric, selected in names.metrics.items():
            if metric not in labels:
                yield f"{name}: there is no metric {metric}"
            for label in selected - labels.get(metric, selected):
                yield f"{name}: {metric} has no label {label}"
        for label in names.labels - known:
            yield f"{name}: no metric has a label {label}"


def _missing_bins(rules: list[Any], exported: list[Sample]) -> Iterator[str]:
    """Yield a sentence per bin of the drift rules that the server does not count."""
    counted = [(sample.name, sample.labels) for sample in exported if "bin" in sample.labels]
    bins = {(name, frozenset(labels.items())) for name, labels in counted}
    for rule in rules:
        expected = {name: value for name, value in rule["labels"].items() if name in ("feature", "output", "bin")}
        metric = rule.get("record", "").partition(":")[0]
        if "bin" in expected and (metric, frozenset(expected.items())) not in bins:
            yield f"{metric} has no bin {expected}"


def _promtool_errors(folder: Path) -> Iterator[str]:
    """Yield the errors of promtool, if it is installed."""
    program = promtool()
    tests = [["test", "rules", name] for name in (TESTS, DRIFT_TESTS) if (folder / name).exists()]
    for command in (["check", "rules", ALERTS], *tests) if program else ():
        completed = run([str(program), *command], folder)
        if completed.returncode:
            words = (completed.stdout + completed.stderr).split()
            yield f"promtool {' '.join(command)}: {' '.join(words)[:500]}"
