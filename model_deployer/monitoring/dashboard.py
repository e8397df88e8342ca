"""monitoring/dashboard.json: what happens to a model, in Grafana."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.monitoring.alerts import info
from model_deployer.monitoring.drift import DriftMetric, drifts
from model_deployer.monitoring.prometheus import quoted
from model_deployer.package.package_data import PackageData

#: The version of the form in which Grafana 10 writes dashboards; later ones read it.
SCHEMA = 38

#: Columns of Grafana's grid, and lines that a panel takes.
_WIDTH, _HEIGHT, _LOW = 24, 8, 4

Panel = dict[str, Any]

_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard(facts: PackageData) -> dict[str, Any]:
    """The dashboard, ready to be imported: it asks for its data source, and for the jobs that it shows."""
    rows = [
        ("Now", _LOW, list(_now(facts))),
        ("Traffic", _HEIGHT, list(_traffic(facts))),
        ("Failures and refusals", _HEIGHT, list(_failures(facts))),
        ("Latency", _HEIGHT, list(_latency(facts))),
        *((f"Drift: {drift.label}s", _HEIGHT, list(_drift(drift, facts))) for drift in drifts(facts)),
        ("Versions", _HEIGHT, list(_versions(facts))),
    ]
    return {
        "uid": hashlib.sha256(facts.manifest.name.encode()).hexdigest()[:16],
        "title": f"Model {facts.manifest.name}",
        "description": facts.manifest.description or "",
        "tags": ["model", facts.manifest.name],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables(facts))},
        "annotations": {"list": []},
        "panels": list(_laid_out(rows)),
    }


def _variables(facts: PackageData) -> Iterator[dict[str, Any]]:
    yield {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    several = {"multi": True, "includeAll": True, "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]}}
    yield _variable("job", f"label_values({info(facts)}, job)") | {"label": "Job"} | several
    for drift in drifts(facts):
        yield _variable(drift.label, f"label_values({drift.expected}{_of(facts)}, {drift.label})")


def _variable(name: str, query: str) -> dict[str, Any]:
    """A variable that lists the values of a label."""
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
    }


def _now(facts: PackageData) -> Iterator[Panel]:
    failed, all_of_them = (
        f"sum({_rate('model_requests_total', facts, *of)})" for of in ((_PREDICT, _FAILED), (_PREDICT,))
    )
    yield _stat("Replicas that answer", f"count({_replicas(facts)})", "short")
    yield _stat("Requests a second", all_of_them, "reqps")
    yield _stat("Failed, of all", f"({failed} or vector(0)) / {all_of_them}", "percentunit")
    yield _stat("99 of 100 are answered within", _quantile(0.99, "model_request_seconds_bucket", facts, _PREDICT), "s")
    yield _stat("Answered by a stand-in", f"sum({_here('model_degraded', facts)})", "short")
    yield _stat("Versions that answer", f"count(count by (version) ({_replicas(facts)}))", "short")


def _traffic(facts: PackageData) -> Iterator[Panel]:
    requests = _rate("model_requests_total", facts, _PREDICT)
    rows = f"sum({_rate('model_rows_total', facts)})"
    yield _graph("Requests by status", {"{{status}}": f"sum by (status) ({requests})"}, "reqps")
    yield _graph("Rows predicted", {"rows": rows}, "rowsps")
    answered = _rate("model_requests_total", facts, _PREDICT, 'status="200"')
    yield _graph("Rows of a request, on average", {"rows": f"{rows} / sum({answered})"}, "short")


def _failures(facts: PackageData) -> Iterator[Panel]:
    refused = _rate("model_requests_total", facts, _PREDICT, 'status=~"4.."')
    failed = _rate("model_requests_total", facts, _PREDICT, _FAILED)
    invalid = _rate("model_invalid_values_total", facts)
    yield _graph("The service failed", {"{{status}}": f"sum by (status) ({failed})"}, "reqps")
    yield _graph("The request was wrong", {"{{status}}": f"sum by (status) ({refused})"}, "reqps")
    yield _graph("Wrong values", {"{{field}}: {{code}}": f"sum by (field, code) ({invalid})"}, "cps")


def _latency(facts: PackageData) -> Iterator[Panel]:
    shares = {"half of them": 0.5, "95 of 100": 0.95, "99 of 100": 0.99}

    def quantiles(metric: str, *of: str) -> Mapping[str, str]:
        return {legend: _quantile(share, metric, facts, *of) for legend, share in shares.items()}

    objective = facts.sizing.objective_seconds
    answered = _graph(
        "From a request to its answer, with the objective", quantiles("model_request_seconds_bucket", _PREDICT), "s"
    )
    yield _with_line(answered, objective)
    yield _graph("Wait for a batch", quantiles("model_queue_seconds_bucket"), "s")
    yield _graph("Rows of a batch", quantiles("model_batch_rows_bucket"), "short")
    yield _graph("Answered by a stand-in", {"{{instance}}": _here("model_degraded", facts)}, "short")


def _drift(drift: DriftMetric, facts: PackageData) -> Iterator[Panel]:
    of, one = _of(facts, _JOB), f"{drift.label}=${{{drift.label}:doublequote}}"
    distance = f"{drift.index}{of} / on (model, {drift.label}) group_left (about) {drift.threshold}{_of(facts)}"
    yield _with_line(
        _graph("Distance from what is expected; from 1 on, an alert tells", {"{{about}}": distance}, "short"), 1
    )
    live = f"avg by (bin) ({drift.share}{_of(facts, _JOB, one)})"
    yield _bars(f"${drift.label}, over a day", live)
    yield _bars(f"${drift.label}, as expected", f"sum by (bin) ({drift.expected}{_of(facts, one)})")


def _versions(facts: PackageData) -> Iterator[Panel]:
    yield _graph("Replicas by version", {"{{version}}": f"count by (version) ({_replicas(facts)})"}, "short")


_JOB, _PREDICT, _FAILED = 'job=~"$job"', 'route="/predict"', 'status=~"5.."'


def _replicas(facts: PackageData) -> str:
    return f"model_info{{name={quoted(facts.manifest.name)},{_JOB}}}"


def _here(metric: str, facts: PackageData) -> str:
    """The series of a metric that come from replicas of the model."""
    return f"{metric}{{{_JOB}}} and on (job, instance) {info(facts)}"


def _rate(metric: str, facts: PackageData, *of: str) -> str:
    """The same, as a rate."""
    return f"rate({metric}{{{','.join((_JOB, *of))}}}[$__rate_interval]) and on (job, instance) {info(facts)}"


def _quantile(share: float, metric: str, facts: PackageData, *of: str) -> str:
    return f"histogram_quantile({share}, sum by (le) ({_rate(metric, facts, *of)}))"


def _of(facts: PackageData, *also: str) -> str:
    """The selector of what the rules record of the model."""
    return f"{{{','.join((f'model={quoted(facts.manifest.name)}', *also))}}}"


def _stat(title: str, expression: str, unit: str) -> Panel:
    return _panel("stat", title, {"": expression}, unit)


def _graph(title: str, expressions: Mapping[str, str], unit: str) -> Panel:
    return _panel("timeseries", title, expressions, unit)


def _bars(title: str, expression: str) -> Panel:
    panel = _panel("bargauge", title, {"{{bin}}": expression}, "percentunit")
    panel["targets"][0]["instant"] = True
    panel["options"] = {"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return panel


def _panel(kind: str, title: str, expressions: Mapping[str, str], unit: str) -> Panel:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
        for index, (legend, expression) in enumerate(expressions.items())
    ]
    defaults = {"unit": unit, "min": 0}
    return {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def _with_line(panel: Panel, value: float) -> Panel:
    """With a line where it becomes too much."""
    steps = [{"color": "green", "value": None}, {"color": "red", "value": value}]
    panel["fieldConfig"]["defaults"] |= {
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": {"thresholdsStyle": {"mode": "line"}},
    }
    return panel


def _laid_out(rows: Sequence[tuple[str, int, list[Panel]]]) -> Iterator[Panel]:
    """The panels in rows one below the other, those of a row side by side."""
    numbers, top = itertools.count(1), 0
    for title, height, panels in rows:
        place = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        yield {"id": next(numbers), "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        width = _WIDTH // len(panels)
        for index, panel in enumerate(panels):
            yield {"id": next(numbers), "gridPos": {"h": height, "w": width, "x": index * width, "y": top + 1}} | panel
        top += 1 + height
