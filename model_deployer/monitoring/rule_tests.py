"""Tests of rules in the format of promtool: series, and the alerts that must or must not fire at a time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.monitoring.alert_rules import annotations
from model_deployer.monitoring.alerts import Alert
from model_deployer.monitoring.prometheus import quoted
from model_deployer.package.package_data import PackageData

#: Series with their values, in the notation of promtool.
Traffic = Mapping[str, str]

#: The labels of the series: the job, and its two replicas.
JOB = "model"
FIRST, SECOND = "one:3000", "other:3000"


def rule_test(name: str, interval: str, traffic: Traffic, expected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a test: series with a value per interval, and what is expected of alerts."""
    series = [{"series": series, "values": values} for series, values in traffic.items()]
    return {"name": name, "interval": interval, "input_series": series, "alert_rule_test": list(expected)}


def silent(alert: str, at: str) -> dict[str, Any]:
    """Return the expectation that an alert does not fire at a time."""
    return {"eval_time": at, "alertname": alert, "exp_alerts": []}


def firing(alert: Alert, at: str, labels: Sequence[Mapping[str, str]], package: PackageData) -> dict[str, Any]:
    """Return the expectation that an alert fires at a time, once for each of these labels."""
    return silent(alert.name, at) | {"exp_alerts": [_expected(alert, each, package) for each in labels]}


def series_name(metric: str, instance: str = FIRST, **labels: str) -> str:
    """Return the name of a series of a replica."""
    all_labels = {"job": JOB, "instance": instance, **labels}
    return f"{metric}{{{','.join(f'{name}={quoted(value)}' for name, value in all_labels.items())}}}"


def info_series(package: PackageData, instance: str = FIRST) -> str:
    """Return the name of the series that says which model a replica serves."""
    return series_name("model_info", instance, name=package.manifest.name, version=package.manifest.version)


def rising(per_interval: float, intervals: int) -> str:
    """Return the values of a counter."""
    return f"0+{per_interval:.6f}x{intervals}"


def _expected(alert: Alert, labels: Mapping[str, str], package: PackageData) -> dict[str, Any]:
    all_labels = {"severity": alert.severity, "model": package.manifest.name, **labels}
    texts = {name: _render(text, all_labels) for name, text in annotations(alert, package).items()}
    return {"exp_labels": all_labels, "exp_annotations": texts}


def _render(text: str, labels: Mapping[str, str]) -> str:
    """Replace the labels in the template of an annotation, as Prometheus does."""
    return re.sub(r'\{\{ (?:\$labels\.(\w+)|"\{\{") \}\}', lambda match: labels[match[1]] if match[1] else "{{", text)
