"""monitoring/alerts_test.yml: traffic in which every alert is silent, and for each alert some in which it is not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_deployer.monitoring.alerts import WAIT, Alert, alerts, annotations
from model_deployer.monitoring.drift import DriftMetric, WatchedDistribution, drifts
from model_deployer.monitoring.prometheus import quoted
from model_deployer.package.package_data import PackageData

#: Minutes of traffic, a little more than the longest that a condition has to hold, and requests in each.
MINUTES, REQUESTS = 80, 600

#: How often rules are evaluated: promtool does not heed the interval of a group, and that of drift is this.
_INTERVAL = "5m"

#: Series with what they hold, in the notation of promtool.
Traffic = Mapping[str, str]

_JOB = "model"
_ONE, _OTHER = "one:3000", "other:3000"
_STEADY = f"+0x{MINUTES}"


@dataclass(frozen=True)
class Case:
    """What makes an alert tell.

    Attributes:
        alert: Its name.
        gone: Series that are not there.
        traffic: Series that are otherwise than usual.
        labels: What the alert carries, beside its own labels.
    """

    alert: str
    traffic: Traffic
    labels: Mapping[str, str]
    gone: tuple[str, ...] = ()


def alert_tests(facts: PackageData) -> dict[str, Any]:
    """The content of the file."""
    usual, by_name = _usual(facts), {alert.name: alert for alert in alerts(facts)}
    tests = [_test("all is well", {**usual, **_as_in_training(facts)}, [_silent(name) for name in by_name])]
    for case in _cases(facts):
        traffic = {series: values for series, values in {**usual, **case.traffic}.items() if series not in case.gone}
        tests.append(_test(case.alert, traffic, [_told(by_name[case.alert], case.labels, facts)]))
    return {"rule_files": ["alerts.yml"], "evaluation_interval": _INTERVAL, "tests": tests}


def _test(name: str, traffic: Traffic, expected: list[dict[str, Any]]) -> dict[str, Any]:
    series = [{"series": series, "values": values} for series, values in traffic.items()]
    return {"name": name, "interval": "1m", "input_series": series, "alert_rule_test": expected}


def _silent(name: str) -> dict[str, Any]:
    return {"eval_time": f"{MINUTES}m", "alertname": name, "exp_alerts": []}


def _told(alert: Alert, labels: Mapping[str, str], facts: PackageData) -> dict[str, Any]:
    carried = {"severity": alert.severity, "model": facts.manifest.name, **labels}
    read = {name: _rendered(text, carried) for name, text in annotations(alert, facts).items()}
    return _silent(alert.name) | {"exp_alerts": [{"exp_labels": carried, "exp_annotations": read}]}


def _rendered(text: str, labels: Mapping[str, str]) -> str:
    """A template of an alert, as Prometheus fills it."""
    return re.sub(r'\{\{ (?:\$labels\.(\w+)|"\{\{") \}\}', lambda found: labels[found[1]] if found[1] else "{{", text)


def _usual(facts: PackageData) -> Traffic:
    """Two replicas, of which one is asked: few requests fail."""
    answered = {"200": REQUESTS, "422": REQUESTS / 100, "500": REQUESTS / 100_000}
    slow, late = _objective(facts), _wait(facts)
    traffic = {_up(instance): f"1{_STEADY}" for instance in (_ONE, _OTHER)}
    traffic |= {_info(facts, instance): f"1{_STEADY}" for instance in (_ONE, _OTHER)}
    traffic |= {_requests(status): _rising(count) for status, count in answered.items()}
    traffic |= {_invalid(facts): _rising(REQUESTS / 100), _degraded(): f"0{_STEADY}"}
    traffic |= _histogram("model_request_seconds_bucket", slow, REQUESTS, route="/predict")
    traffic |= _histogram("model_queue_seconds_bucket", late, REQUESTS)
    return traffic


def _as_in_training(facts: PackageData) -> Traffic:
    """Values of every feature and output, with the shares that are expected."""
    traffic: dict[str, str] = {}
    for drift in drifts(facts):
        for watched in drift.watched:
            traffic |= _values(drift, watched, _with_others(watched.expected))
    return traffic


def _cases(facts: PackageData) -> Iterator[Case]:
    job, one, other = {"job": _JOB}, _info(facts, _ONE), _info(facts, _OTHER)
    name = facts.manifest.name
    new_one, new_other = (_series("model_info", at, name=name, version="another") for at in (_ONE, _OTHER))
    yield Case("ModelAbsent", {}, {"name": name}, gone=(one, other))
    yield Case("ModelReplicaDown", {_up(_OTHER): f"0{_STEADY}"}, job | {"instance": _OTHER})
    yield Case("ModelDegraded", {_degraded(): f"1{_STEADY}"}, job | {"instance": _ONE})
    yield Case("ModelFailingFast", {_requests("500"): _rising(REQUESTS / 10)}, job)
    yield Case("ModelFailingSlowly", {_requests("504"): _rising(REQUESTS / 100)}, job)
    yield Case("ModelOverloaded", {_requests("503"): _rising(REQUESTS / 10)}, job)
    slow = _histogram("model_request_seconds_bucket", _objective(facts), REQUESTS / 2, route="/predict")
    yield Case("ModelSlow", slow, job)
    yield Case("ModelQueueLong", _histogram("model_queue_seconds_bucket", _wait(facts), REQUESTS / 2), job)
    refused = {_requests("422"): _rising(REQUESTS), _invalid(facts): _rising(REQUESTS)}
    yield Case("ModelInvalidValues", refused, job | {"field": facts.contract.names[0], "code": "wrong_type"})
    for drift in drifts(facts):
        yield _moved(drift)
    yield Case("ModelVersionsMixed", {new_other: f"1{_STEADY}"}, job, gone=(other,))
    yield Case("ModelVersionOther", {new_one: f"1{_STEADY}", new_other: f"1{_STEADY}"}, job, gone=(one, other))


def _moved(drift: DriftMetric) -> Case:
    """Of the first that is watched, all values are in the bin that was the rarest."""
    first = drift.watched[0]
    rarest = min(first.expected, key=lambda bin: first.expected[bin])
    traffic = _values(drift, first, dict.fromkeys(_with_others(first.expected), 0.0) | {rarest: 1.0})
    name = "ModelFeatureDrift" if drift.label == "feature" else "ModelPredictionDrift"
    return Case(name, traffic, {"job": _JOB, drift.label: first.name, "about": first.about})


def _with_others(expected: Mapping[str, float]) -> dict[str, float]:
    """Bins with their shares; what is expected of others, in one more."""
    others = 1 - sum(expected.values())
    return dict(expected) | ({"other": others} if others > 1e-6 else {})


def _values(drift: DriftMetric, watched: WatchedDistribution, live: Mapping[str, float]) -> Traffic:
    return {
        _series(drift.metric, **{drift.label: watched.name, "bin": bin}): _rising(REQUESTS * share)
        for bin, share in live.items()
    }


def _histogram(name: str, bound: float, within: float, **labels: str) -> Traffic:
    """Of the requests of a minute, ``within`` take up to ``bound`` seconds, and the others up to twice as long."""
    counts = {f"{bound:g}": within, f"{2 * bound:g}": REQUESTS, "+Inf": REQUESTS}
    return {_series(name, **labels, le=le): _rising(count) for le, count in counts.items()}


def _objective(facts: PackageData) -> float:
    return facts.sizing.objective_seconds


def _wait(facts: PackageData) -> float:
    return WAIT * facts.contract.limits.timeout_seconds


def _up(instance: str) -> str:
    return _series("up", instance)


def _info(facts: PackageData, instance: str) -> str:
    return _series("model_info", instance, name=facts.manifest.name, version=facts.manifest.version)


def _requests(status: str) -> str:
    return _series("model_requests_total", protocol="native", route="/predict", status=status)


def _invalid(facts: PackageData) -> str:
    return _series("model_invalid_values_total", field=facts.contract.names[0], code="wrong_type")


def _degraded() -> str:
    return _series("model_degraded")


def _series(metric: str, instance: str = _ONE, **labels: str) -> str:
    carried = {"job": _JOB, "instance": instance, **labels}
    return f"{metric}{{{','.join(f'{name}={quoted(value)}' for name, value in carried.items())}}}"


def _rising(each_minute: float) -> str:
    return f"0+{each_minute:.6f}x{MINUTES}"
