"""monitoring/alerts_test.yml: traffic during which no alert fires, and for each alert traffic during which it fires."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_deployer.monitoring.alerts import MAX_WAIT_SHARE, alerts, objective_bucket, objectives
from model_deployer.monitoring.drift import drift_metrics
from model_deployer.monitoring.rule_tests import (
    FIRST,
    JOB,
    SECOND,
    Traffic,
    firing,
    info_series,
    rising,
    rule_test,
    series_name,
    silent,
)
from model_deployer.package.package_data import PackageData

#: The duration of the traffic in minutes, longer than any condition must hold, and the number of requests per minute.
MINUTES, REQUESTS_PER_MINUTE = 80, 600

_CONSTANT = f"+0x{MINUTES}"


@dataclass(frozen=True)
class Case:
    """Traffic during which an alert fires.

    Attributes:
        alert: The name of the alert.
        traffic: Series that differ from normal traffic.
        labels: The labels of each alert that fires, in addition to those of its rule.
        missing: Series of normal traffic that do not exist.
    """

    alert: str
    traffic: Traffic
    labels: tuple[Mapping[str, str], ...]
    missing: tuple[str, ...] = ()


def alert_tests(package: PackageData) -> dict[str, Any]:
    """Return the content of the file; the alerts on drift have a file of their own."""
    on_drift = {drift.alert for drift in drift_metrics(package)}
    by_name = {alert.name: alert for alert in alerts(package) if alert.name not in on_drift}
    normal, at = _normal_traffic(package), f"{MINUTES}m"
    tests = [rule_test("no problems", "1m", normal, [silent(name, at) for name in by_name])]
    for case in _cases(package):
        series = {**normal, **case.traffic}
        traffic = {name: values for name, values in series.items() if name not in case.missing}
        expected = firing(by_name[case.alert], at, case.labels, package)
        tests.append(rule_test(case.alert, "1m", traffic, [expected]))
    return {"rule_files": ["alerts.yml"], "evaluation_interval": "5m", "tests": tests}


def _normal_traffic(package: PackageData) -> Traffic:
    """Return traffic of two replicas; only the first gets requests, and few of them fail."""
    per_status = {
        "200": REQUESTS_PER_MINUTE,
        "422": REQUESTS_PER_MINUTE / 100,
        "500": REQUESTS_PER_MINUTE / 100_000,
    }
    traffic = {_up(instance): f"1{_CONSTANT}" for instance in (FIRST, SECOND)}
    traffic |= {info_series(package, instance): f"1{_CONSTANT}" for instance in (FIRST, SECOND)}
    traffic |= {_requests(status): _rising(count) for status, count in per_status.items()}
    traffic |= {_invalid(package): _rising(REQUESTS_PER_MINUTE / 100)}
    constant = (_ends("worker"), _ends("source") if package.runner else _degraded())
    traffic |= dict.fromkeys((*constant, _captured("dropped"), _captured("lost")), f"0{_CONSTANT}")
    traffic |= {_captured("written"): _rising(REQUESTS_PER_MINUTE / 10)}
    traffic |= _request_seconds(package)
    traffic |= _queue_seconds(package, REQUESTS_PER_MINUTE)
    return traffic


def _cases(package: PackageData) -> Iterator[Case]:
    name = package.manifest.name
    first, second = info_series(package, FIRST), info_series(package, SECOND)
    first_other_version, second_other_version = (
        series_name("model_info", instance, name=name, version="another") for instance in (FIRST, SECOND)
    )
    yield Case("ModelAbsent", {}, ({"name": name},), missing=(first, second))
    yield Case("ModelReplicaDown", {_up(SECOND): f"0{_CONSTANT}"}, _job(instance=SECOND))
    killed = _job(instance=FIRST, reason="SIGKILL")
    if package.runner:
        yield Case("ModelSourceEnded", {_ends("source"): _rising(1)}, killed)
    else:
        yield Case("ModelDegraded", {_degraded(): f"1{_CONSTANT}"}, _job(instance=FIRST))
    yield Case("ModelWorkerEnded", {_ends("worker"): _rising(1)}, killed)
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
    for state in ("dropped", "lost"):
        yield Case("ModelCaptureIncomplete", {_captured(state): _rising(1)}, _job(instance=FIRST, state=state))
    constant = f"1{_CONSTANT}"
    yield Case("ModelVersionsMixed", {second_other_version: constant}, _job(), missing=(second,))
    other_version = {first_other_version: constant, second_other_version: constant}
    yield Case("ModelVersionOther", other_version, _job(), missing=(first, second))


def _job(**labels: str) -> tuple[Mapping[str, str], ...]:
    """Return the labels of one alert of the job."""
    return ({"job": JOB, **labels},)


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
    buckets = {series_name(f"{name}_bucket", **labels, le=le): _rising(count) for le, count in counts.items()}
    return buckets | {series_name(f"{name}_count", **labels): _rising(REQUESTS_PER_MINUTE)}


def _up(instance: str) -> str:
    return series_name("up", instance)


def _requests(status: str) -> str:
    return series_name("model_requests_total", protocol="native", route="/predict", status=status)


def _invalid(package: PackageData) -> str:
    return series_name("model_invalid_values_total", field=package.contract.names[0], code="wrong_type")


def _degraded() -> str:
    return series_name("model_degraded")


def _captured(state: str) -> str:
    return series_name("model_captured_rows_total", state=state)


def _ends(process: str) -> str:
    return series_name(f"model_{process}_ends_total", reason="SIGKILL")


def _rising(per_minute: float) -> str:
    return rising(per_minute, MINUTES)
