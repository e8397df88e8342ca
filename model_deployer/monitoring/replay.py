"""monitoring/replay.json: what a replay of the table found with the rules for drift, and a check of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from model_deployer.contract import origin_text
from model_deployer.contract.drift import FaultName, PlantedFault, ReplayedDistribution, Unit, stability_index
from model_deployer.monitoring.drift import WatchedDistribution, drift_metrics, unwatched
from model_deployer.package.package_data import PackageData

#: What a day is, in words.
UNITS: Mapping[Unit, str] = {
    "day": "a day of the table",
    "rows": "1,000 rows in a row, because the table has few rows a day",
    "group": "1,000 rows of whole groups",
    "random": "1,000 rows drawn at random, because the table does not say which rows belong to a day",
}

#: The planted faults in words.
FAULTS: Mapping[FaultName, str] = {
    "constant": "always the same value",
    "missing": "no value",
    "thousandfold": "values times 1,000",
    "kilometres": "values times 1.609 (kilometres for miles)",
    "vanished": "without the commonest category",
}


def replay(package: PackageData) -> dict[str, Any]:
    """Return the content of the file."""
    drift = package.reference and package.reference.drift
    return {
        "min_rows": drift.min_rows if drift else None,
        "training": drift.training.to_json() if drift else None,
        "test": drift.test.to_json() if drift else None,
        "watched": [
            {
                "metric": metric.metric,
                "name": watched.name,
                "threshold": watched.replay.threshold,
                "most_unusual_day": _indices(watched.replay),
                "faults": [fault.model_dump(exclude={"shares"}) for fault in watched.replay.faults],
            }
            for metric in drift_metrics(package)
            for watched in metric.watched
        ],
        "not_watched": [{"about": each.about, "reason": each.reason} for each in unwatched(package)],
    }


def faults_found(watched: WatchedDistribution) -> str:
    """Return which planted faults are found after how many rows, in words."""
    return "; ".join(f"{FAULTS[fault.fault]}: {_found(fault)}" for fault in watched.replay.faults)


def replay_problems(package: PackageData) -> Iterator[str]:
    """Evaluate the index of every replayed day again, and yield a sentence per threshold that does not hold."""
    for metric in drift_metrics(package):
        for watched in metric.watched:
            threshold = watched.replay.threshold
            reference = origin_text.reference_rows(package.evaluation)
            for rows, day in ((reference, watched.replay.training), ("the test rows", watched.replay.test)):
                if day and _index(watched, day.shares) > threshold:
                    yield f"{watched.about}: an alert on drift fires on a day of {rows}"
            for fault in watched.replay.faults:
                if fault.is_found and _index(watched, fault.shares) <= threshold:
                    yield f"{watched.about}: no alert on drift fires with {FAULTS[fault.fault]}"


def _found(fault: PlantedFault) -> str:
    if fault.is_refused:
        return "refused with 422 (ModelInvalidValues)"
    return "not found" if fault.rows is None else f"after {fault.rows:,} rows"


def _indices(replayed: ReplayedDistribution) -> dict[str, float | None]:
    return {
        "training": replayed.training.index if replayed.training else None,
        "test": replayed.test.index if replayed.test else None,
    }


def _index(watched: WatchedDistribution, shares: Mapping[str, float]) -> float:
    live = np.array([[shares[bin] for bin in watched.expected]])
    return float(stability_index(live, list(watched.expected.values()))[0])
