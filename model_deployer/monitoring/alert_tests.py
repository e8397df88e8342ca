"""monitoring/alerts_test.yml: traffic during which no alert fires, and for each alert traffic during which it fires."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from model_deployer.contract.drift import FaultName
from model_deployer.monitoring.alert_rules import annotations
from model_deployer.monitoring.alerts import MAX_WAIT_SHARE, Alert, alerts, objective_bucket, objectives
from model_deployer.monitoring.drift import DriftMetric, WatchedDistribution, drift_metrics
from model_deployer.monitoring.prometheus import quoted
from model_deployer.package.package_data import PackageData

#: The duration of the traffic in minutes, longer than any condition must hold, and the number of requests per minute.
MINUTES, REQUESTS_PER_MINUTE = 80, 600

#: The evaluation interval of all rules. promtool ignores the interval of a group; this is the one of the drift rules.
_INTERVAL = "5m"

#: Series with their values, in the notation of promtool.
Traffic = Mapping[str, str]

_JOB = "model"
_FIRST, _SECOND = "one:3000", "other:3000"
_CONSTANT = f"+0x{MINUTES}"


@dataclass(frozen=True)
class Case:
    """Traffic during which an alert fires.

    Attributes:
        alert: The name of the alert.
        traffic: Series that differ from normal traffic.
        labels: The labels of each alert that fires, in addition to those of its rule.
        missing: Series of normal traffic that do not exist.
        about: What distinguishes the case from others of the same alert.
    """

    alert: str
    traffic: Traffic
    labels: tuple[Mapping[str, str], ...]
    missing: tuple[str, ...] = ()
    about: str = ""


def alert_tests(package: PackageData) -> dict[str, Any]:
    """Return the content of the file."""
    normal, by_name = _normal_traffic(package), {alert.name: alert for alert in alerts(package)}
    silent = [_silent(name) for name in by_name]
    tests = [_test(name, {**normal, **values}, silent) for name, values in _normal_values(package).items()]
    for case in _cases(package):
        series = {**normal, **case.traffic}
        traffic = {name: values for name, values in series.items() if name not in case.missing}
        name = f"{case.alert}: {case.about}" if case.about else case.alert
        tests.append(_test(name, traffic, [_firing(by_name[case.alert], case.labels, package)]))
    return {"rule_files": ["alerts.yml"], "evaluation_interval": _INTERVAL, "tests": tests}


def _test(name: str, traffic: Traffic, expected: list[dict[str, Any]]) -> dict[str, Any]:
    series = [{"series": series, "values": values} for series, values in traffic.items()]
    return {"name": name, "interval": "1m", "input_series": series, "alert_rule_test": expected}


def _silent(name: str) -> dict[str, Any]:
    return {"eval_time": f"{MINUTES}m", "alertname": name, "exp_alerts": []}


def _firing(alert: Alert, labels: Sequence[Mapping[str, str]], package: PackageData) -> dict[str, Any]:
    return _silent(alert.name) | {"exp_alerts": [_expected(alert, each, package) for each in labels]}


def _expected(alert: Alert, labels: Mapping[str, str], package: PackageData) -> dict[str, Any]:
    all_labels = {"severity": alert.severity, "model": package.manifest.name, **labels}
    texts = {name: _render(text, all_labels) for name, text in annotations(alert, package).items()}
    return {"exp_labels": all_labels, "exp_annotations": texts}


def _render(text: str, labels: Mapping[str, str]) -> str:
    """Replace the labels in the template of an annotation, as Prometheus does."""
    return re.sub(r'\{\{ (?:\$labels\.(\w+)|"\{\{") \}\}', lambda match: labels[match[1]] if match[1] else "{{", text)


def _normal_traffic(package: PackageData) -> Traffic:
    """Return traffic of two replicas; only the first gets requests, and few of them fail."""
    per_status = {
        "200": REQUESTS_PER_MINUTE,
        "422": REQUESTS_PER_MINUTE / 100,
        "500": REQUESTS_PER_MINUTE / 100_000,
    }
    traffic = {_up(instance): f"1{_CONSTANT}" for instance in (_FIRST, _SECOND)}
    traffic |= {_info(package, instance): f"1{_CONSTANT}" for instance in (_FIRST, _SECOND)}
    traffic |= {_requests(status): _rising(count) for status, count in per_status.items()}
    traffic |= {_invalid(package): _rising(REQUESTS_PER_MINUTE / 100), _degraded(): f"0{_CONSTANT}"}
    traffic |= {_series("model_worker_ends_total", reason="SIGKILL"): f"0{_CONSTANT}"}
    traffic |= _request_seconds(package)
    traffic |= _queue_seconds(package, REQUESTS_PER_MINUTE)
    return traffic


def _normal_values(package: PackageData) -> Mapping[str, Traffic]:
    """Return values of every feature and output during which no alert fires, by what they are.

    In addition to the expected shares, they are those of the most unusual day of each part of the table.
    """
    distributions = [(drift, watched) for drift in drift_metrics(package) for watched in drift.watched]
    traffic: dict[str, dict[str, str]] = {"no problems": {}}
    for drift, watched in distributions:
        traffic["no problems"] |= _values(drift, watched, _with_other(watched.expected))
        days = {"training": watched.replay.training, "test": watched.replay.test}
        for part, day in days.items():
            if day:
                name = f"every distribution on its most unusual day of the {part} rows"
                traffic.setdefault(name, {}).update(_values(drift, watched, day.shares))
    return traffic


def _cases(package: PackageData) -> Iterator[Case]:
    name = package.manifest.name
    first, second = _info(package, _FIRST), _info(package, _SECOND)
    first_other_version, second_other_version = (
        _series("model_info", instance, name=name, version="another") for instance in (_FIRST, _SECOND)
    )
    yield Case("ModelAbsent", {}, ({"name": name},), missing=(first, second))
    yield Case("ModelReplicaDown", {_up(_SECOND): f"0{_CONSTANT}"}, _job(instance=_SECOND))
    yield Case("ModelDegraded", {_degraded(): f"1{_CONSTANT}"}, _job(instance=_FIRST))
    ended = {_series("model_worker_ends_total", reason="SIGKILL"): _rising(1)}
    yield Case("ModelWorkerEnded", ended, _job(instance=_FIRST, reason="SIGKILL"))
    yield Case("ModelFailingFast", {_requests("500"): _rising(REQUESTS_PER_MINUTE / 10)}, _job())
    yield Case("ModelFailingSlowly", {_requests("504"): _rising(REQUESTS_PER_MINUTE / 100)}, _job())
    yield Case("ModelFailingForDays", {_requests("504"): _rising(REQUESTS_PER_MINUTE / 500)}, _job())
    yield Case("ModelOverloaded", {_requests("503"): _rising(REQUESTS_PER_MINUTE / 10)}, _job())
    if objectives(package):
        for name, slow_share in (("ModelSlow", 0.3), ("ModelSlowForHours", 0.1), ("ModelSlowForDays", 0.02)):
            yield Case(name, _request_seconds(package, slow_share), _job())
    yield Case("ModelQueueLong", _queue_seconds(package, REQUESTS_PER_MINUTE / 2), _job())
    refused = {_requests("422"): _rising(REQUESTS_PER_MINUTE), _invalid(package): _rising(REQUESTS_PER_MINUTE)}
    yield Case("ModelInvalidValues", refused, _job(field=package.contract.names[0], code="wrong_type"))
    for drift in drift_metrics(package):
        yield from _drift_cases(drift)
    constant = f"1{_CONSTANT}"
    yield Case("ModelVersionsMixed", {second_other_version: constant}, _job(), missing=(second,))
    other_version = {first_other_version: constant, second_other_version: constant}
    yield Case("ModelVersionOther", other_version, _job(), missing=(first, second))


def _job(**labels: str) -> tuple[Mapping[str, str], ...]:
    """Return the labels of one alert of the job."""
    return ({"job": _JOB, **labels},)


def _drift_cases(drift: DriftMetric) -> Iterator[Case]:
    """Yield a day for each planted fault, with the fault in every distribution in which it is found."""
    alert = "ModelFeatureDrift" if drift.label == "feature" else "ModelPredictionDrift"
    for name in get_args(FaultName):
        faulty = [
            (watched, fault)
            for watched in drift.watched
            for fault in watched.replay.faults
            if fault.fault == name and fault.is_found
        ]
        if faulty:
            traffic: dict[str, str] = {}
            for watched, fault in faulty:
                traffic |= _values(drift, watched, fault.shares)
            labels = tuple({"job": _JOB, drift.label: watched.name, "about": watched.about} for watched, _ in faulty)
            yield Case(alert, traffic, labels, about=name)


def _with_other(expected: Mapping[str, float]) -> dict[str, float]:
    """Return bins with their shares, and the bin "other" with the rest if there is any."""
    rest = 1 - sum(expected.values())
    return dict(expected) | ({"other": rest} if rest > 1e-6 else {})


def _values(drift: DriftMetric, watched: WatchedDistribution, shares: Mapping[str, float]) -> Traffic:
    return {
        _series(drift.metric, **{drift.label: watched.name, "bin": bin}): _rising(REQUESTS_PER_MINUTE * share)
        for bin, share in shares.items()
    }


def _request_seconds(package: PackageData, slow_share: float = 0.0) -> Traffic:
    """Return the histograms of latencies, by rows; a share of the requests takes twice as long as its objective."""
    traffic: dict[str, str] = {}
    for objective in objectives(package):
        labels = {"route": "/predict", "status": "2xx", "rows": str(objective.rows)}
        bound, fast = objective_bucket(objective), REQUESTS_PER_MINUTE * (1 - slow_share)
        traffic |= _histogram("model_request_seconds", bound, fast, **labels)
    return traffic


def _queue_seconds(package: PackageData, fast: float) -> Traffic:
    """Return the histogram of waiting times; ``fast`` requests per minute wait no longer than the limit."""
    limit = MAX_WAIT_SHARE * package.contract.limits.timeout_seconds
    return _histogram("model_queue_seconds", limit, fast)


def _histogram(name: str, bound: float, fast: float, **labels: str) -> Traffic:
    """Return a histogram: ``fast`` requests per minute take up to ``bound`` seconds, the others up to twice as long."""
    counts = {f"{bound!r}": fast, f"{2 * bound!r}": REQUESTS_PER_MINUTE, "+Inf": REQUESTS_PER_MINUTE}
    buckets = {_series(f"{name}_bucket", **labels, le=le): _rising(count) for le, count in counts.items()}
    return buckets | {_series(f"{name}_count", **labels): _rising(REQUESTS_PER_MINUTE)}


def _up(instance: str) -> str:
    return _series("up", instance)


def _info(package: PackageData, instance: str) -> str:
    return _series("model_info", instance, name=package.manifest.name, version=package.manifest.version)


def _requests(status: str) -> str:
    return _series("model_requests_total", protocol="native", route="/predict", status=status)


def _invalid(package: PackageData) -> str:
    return _series("model_invalid_values_total", field=package.contract.names[0], code="wrong_type")


def _degraded() -> str:
    return _series("model_degraded")


def _series(metric: str, instance: str = _FIRST, **labels: str) -> str:
    all_labels = {"job": _JOB, "instance": instance, **labels}
    return f"{metric}{{{','.join(f'{name}={quoted(value)}' for name, value in all_labels.items())}}}"


def _rising(per_minute: float) -> str:
    return f"0+{per_minute:.6f}x{MINUTES}"
