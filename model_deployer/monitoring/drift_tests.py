"""monitoring/drift_test.yml: days on which no alert on drift fires, and a day with each planted fault that is found."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from model_deployer.contract import origin_text
from model_deployer.contract.drift import FaultName
from model_deployer.monitoring.alerts import alerts
from model_deployer.monitoring.drift import DriftMetric, WatchedDistribution, drift_metrics
from model_deployer.monitoring.replay import FAULTS
from model_deployer.monitoring.rule_tests import (
    JOB,
    Traffic,
    firing,
    info_series,
    rising,
    rule_test,
    series_name,
    silent,
)
from model_deployer.package.package_data import PackageData

#: The hours of traffic: a day, and as long as an alert waits. The rules are evaluated every hour, which gives the same
#: shares as every five minutes, in a twelfth of the time.
_HOURS, _EVALUATION_INTERVAL = 26, "1h"

#: The time between two values of a series: an increase over five minutes needs two of them.
_INTERVAL, _INTERVALS = "2m", _HOURS * 30


def drift_tests(package: PackageData) -> dict[str, Any]:
    """Return the content of the file."""
    by_name = {alert.name: alert for alert in alerts(package)}
    metrics = drift_metrics(package)
    groups = [drift.group(package) for drift in metrics]
    replica, at = {info_series(package): f"1+0x{_INTERVALS}"}, f"{_HOURS}h"
    tests = [
        rule_test(name, _INTERVAL, replica | day, [silent(drift.alert, at) for drift in metrics])
        for name, day in _normal_days(metrics, origin_text.reference_rows(package.evaluation)).items()
    ]
    for drift in metrics:
        for about, day, labels in _faults(drift):
            name = f"{drift.alert}: {about}"
            expected = firing(by_name[drift.alert], at, labels, package)
            tests.append(rule_test(name, _INTERVAL, replica | day, [expected]))
    return {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": _EVALUATION_INTERVAL,
        "group_eval_order": [*groups, package.tag],
        "tests": tests,
    }


def _normal_days(metrics: list[DriftMetric], reference: str) -> Mapping[str, dict[str, str]]:
    """Return the expected day, and for each part of the table the most unusual day of every distribution.

    Args:
        metrics: The metrics with their distributions.
        reference: The rows that live values are compared with, in words.
    """
    days: dict[str, dict[str, str]] = {}
    for drift in metrics:
        for watched in drift.watched:
            shares = {
                "every distribution as expected": _with_other(watched.expected),
                **{
                    f"every distribution on its most unusual day of {rows}": day.shares
                    for rows, day in ((reference, watched.replay.training), ("the test rows", watched.replay.test))
                    if day
                },
            }
            for name, day in shares.items():
                days.setdefault(name, {}).update(_values(drift, watched, day))
    return days


def _faults(drift: DriftMetric) -> Iterator[tuple[str, dict[str, str], list[Mapping[str, str]]]]:
    """Yield a day for each fault, with the fault in every distribution in which it is found.

    Yields:
        The fault in words, the series, and the labels of the alerts that fire.
    """
    for name in get_args(FaultName):
        faulty = [
            (watched, fault)
            for watched in drift.watched
            for fault in watched.replay.faults
            if fault.fault == name and fault.is_found
        ]
        day: dict[str, str] = {}
        for watched, fault in faulty:
            day |= _values(drift, watched, fault.shares)
        if faulty:
            yield FAULTS[name], day, [{"job": JOB, drift.label: each.name, "about": each.about} for each, _ in faulty]


def _with_other(expected: Mapping[str, float]) -> dict[str, float]:
    """Return bins with their shares, and the bin "other" with the rest if there is any."""
    rest = 1 - sum(expected.values())
    return dict(expected) | ({"other": rest} if rest > 1e-6 else {})


def _values(drift: DriftMetric, watched: WatchedDistribution, shares: Mapping[str, float]) -> Traffic:
    return {
        series_name(drift.metric, **{drift.label: watched.name, "bin": bin}): rising(drift.min_rows * share, _INTERVALS)
        for bin, share in shares.items()
    }
