"""monitoring/: alert rules for Prometheus, the tests of these, and a dashboard for Grafana."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model_deployer.monitoring.alert_tests import alert_tests
from model_deployer.monitoring.alerts import alerting, alerts, rules
from model_deployer.monitoring.dashboard import dashboard
from model_deployer.monitoring.drift import drifts
from model_deployer.monitoring.prometheus import query
from model_deployer.package.package_data import SAMPLES, PackageData
from model_deployer.package.samples import Samples
from model_deployer.system.command import run
from model_deployer.system.http_client import connect
from model_deployer.writing.yaml_text import to_yaml

ALERTS, TESTS, DASHBOARD = "monitoring/alerts.yml", "monitoring/alerts_test.yml", "monitoring/dashboard.json"

_ABOUT_ALERTS = """Alert rules of {tag} for Prometheus: name this file under `rule_files`. Scrape GET /metrics of every
replica at least once a minute. All rules go by the name of the model, so that those of several models may be loaded
together; of each model, load those of the version that answers.
"""

_ABOUT_TESTS = """Tests of alerts.yml: each alert is silent while all is well, and tells of what it is for.

    promtool test rules alerts_test.yml
"""


def monitoring(facts: PackageData) -> dict[str, str]:
    """The files of monitoring/, by their path in the package: a function of its facts and of nothing else."""
    return {
        ALERTS: to_yaml({"groups": groups(facts)}, _ABOUT_ALERTS.format(tag=facts.tag)),
        TESTS: to_yaml(alert_tests(facts), _ABOUT_TESTS),
        DASHBOARD: json.dumps(dashboard(facts), indent=2, ensure_ascii=False) + "\n",
    }


def groups(facts: PackageData) -> list[Mapping[str, Any]]:
    """The groups of rules, as Prometheus reads them."""
    return [
        {"name": facts.tag, "rules": [*rules(facts), *(alerting(alert, facts) for alert in alerts(facts))]},
        *(
            {"name": f"{facts.tag} {drift.metric}", "interval": "5m", "rules": list(drift.rules(facts))}
            for drift in drifts(facts)
        ),
    ]


def write_monitoring(facts: PackageData, folder: Path) -> None:
    """Write the files of monitoring/ into the package ``folder``."""
    (folder / "monitoring").mkdir(exist_ok=True)
    for name, text in monitoring(facts).items():
        (folder / name).write_text(text, encoding="utf-8")


def promtool() -> str | None:
    """Where Prometheus' tool for rules is, if it is installed; check_monitoring does without it else."""
    return shutil.which("promtool")


def check_monitoring(folder: Path, url: str) -> list[str]:
    """What is wrong with monitoring/ of the package ``folder``, held against a running server of its model.

    Every metric and label that rules and dashboard speak of has to be in the server's /metrics, or be recorded by the
    rules; every bin of drift has to be one that the server counts; and promtool, where it is installed, has to find the
    rules right and their tests passed.
    """
    try:
        groups = yaml.safe_load((folder / ALERTS).read_bytes())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        panels = json.loads((folder / DASHBOARD).read_bytes())["panels"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        return [f"monitoring/ cannot be read: {type(error).__name__}; write the package again"]
    exported = _exported(folder, url)
    found = [*_strangers(rules, panels, exported), *_lost_bins(rules, exported), *_refused_by_promtool(folder)]
    return list(dict.fromkeys(found))


def _exported(folder: Path, url: str) -> list[Sample]:
    """What /metrics tells after a request of every kind: a counter with labels is there once it has counted."""
    samples = Samples.model_validate_json((folder / SAMPLES).read_bytes())
    with connect(url) as client:
        for sample in (*samples.golden[:1], *samples.invalid):
            if sample.body is None:
                client.post("/predict", json=sample.request)
        text = client.get("/metrics").raise_for_status().text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _strangers(rules: list[Any], panels: list[Any], exported: list[Sample]) -> Iterator[str]:
    """Metrics and labels that neither the server nor a rule makes."""
    labels: dict[str, set[str]] = {"up": {"job", "instance"}}
    for sample in exported:
        labels.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    known = {label for each in labels.values() for label in each} | {name for rule in rules for name in rule["labels"]}
    labels |= {rule["record"]: known for rule in rules if "record" in rule}
    spoken = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules]
    spoken += [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]
    for place, expression in spoken:
        asked = query(expression)
        for metric, selected in asked.metrics.items():
            if metric not in labels:
                yield f"{place}: there is no metric {metric}"
            for label in selected - labels.get(metric, selected):
                yield f"{place}: {metric} has no label {label}"
        for label in asked.labels - known:
            yield f"{place}: no metric has a label {label}"


def _lost_bins(rules: list[Any], exported: list[Sample]) -> Iterator[str]:
    """Bins of drift that the server does not count."""
    counted = [(sample.name, sample.labels) for sample in exported if "bin" in sample.labels]
    bins = {(name, frozenset(labels.items())) for name, labels in counted}
    for rule in rules:
        wanted = {name: value for name, value in rule["labels"].items() if name in ("feature", "output", "bin")}
        metric = rule.get("record", "").partition(":")[0]
        if "bin" in wanted and (metric, frozenset(wanted.items())) not in bins:
            yield f"{metric} has no bin {wanted}"


def _refused_by_promtool(folder: Path) -> Iterator[str]:
    """What promtool finds wrong, where it is installed."""
    program = promtool()
    for command in (["check", "rules", ALERTS], ["test", "rules", TESTS]) if program else ():
        done = run([str(program), *command], folder)
        if done.returncode:
            said = (done.stdout + done.stderr).split()
            yield f"promtool {' '.join(command)}: {' '.join(said)[:500]}"
