"""monitoring/dashboard.json: a Grafana dashboard of a model."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from model_deployer.contract.number_format import percentage
from model_deployer.monitoring.alerts import (
    AVAILABILITY_OBJECTIVE,
    BUDGET_DAYS,
    LATENCY_OBJECTIVE,
    objectives,
    replica_selector,
)
from model_deployer.monitoring.drift import DriftMetric, drift_metrics
from model_deployer.monitoring.prometheus import quoted
from model_deployer.package.package_data import PackageData

#: The version of the dashboard format of Grafana 10, which later releases read.
SCHEMA = 38

#: The columns of Grafana's grid, the height of a panel, and the height of a panel with one number.
_WIDTH, _HEIGHT, _LOW_HEIGHT = 24, 8, 4

Panel = dict[str, Any]

#: What may end unexpectedly: a worker, or the process in which the source of a model answers.
Process = Literal["worker", "source"]

_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard(package: PackageData) -> dict[str, Any]:
    """Return a dashboard that can be imported; its variables select the data source and the jobs."""
    rows = [
        ("Now", _LOW_HEIGHT, list(_now(package))),
        ("Traffic", _HEIGHT, list(_traffic(package))),
        ("Failures and refusals", _HEIGHT, list(_failures(package))),
        ("Error budgets", _HEIGHT, list(_budgets(package))),
        ("Latency", _HEIGHT, list(_latency(package))),
        ("Processes", _HEIGHT, list(_processes(package))),
        *((f"Drift: {drift.label}s", _HEIGHT, list(_drift(drift, package))) for drift in drift_metrics(package)),
        ("Versions", _HEIGHT, list(_versions(package))),
    ]
    return {
        "uid": hashlib.sha256(package.manifest.name.encode()).hexdigest()[:16],
        "title": f"Model {package.manifest.name}",
        "description": package.manifest.description or "",
        "tags": ["model", package.manifest.name],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables(package))},
        "annotations": {"list": []},
        "panels": list(_layout(rows)),
    }


def _variables(package: PackageData) -> Iterator[dict[str, Any]]:
    yield {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    multiple = {"multi": True, "includeAll": True, "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]}}
    yield _variable("job", f"label_values({replica_selector(package)}, job)") | {"label": "Job"} | multiple
    for drift in drift_metrics(package):
        yield _variable(drift.label, f"label_values({drift.expected}{_recorded(package)}, {drift.label})")


def _variable(name: str, query: str) -> dict[str, Any]:
    """Return a variable with the values of a label."""
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _now(package: PackageData) -> Iterator[Panel]:
    failed, total = (
        f"sum({_rate('model_requests_total', package, *matchers)})" for matchers in ((_PREDICT, _FAILED), (_PREDICT,))
    )
    latency = _quantile(0.99, "model_request_seconds_bucket", package, _PREDICT)
    yield _stat("Replicas that answer", f"count({_replicas(package)})", "short")
    yield _stat("Requests per second", total, "reqps")
    yield _stat("Share of failed requests", f"({failed} or vector(0)) / {total}", "percentunit")
    yield _stat("99 of 100 requests are answered within", latency, "s")
    if package.runner:
        yield _stat("Ends of the model's process in a day", f"sum({_increase('source', '1d', package)})", "short")
    else:
        yield _stat("Replicas on the fallback engine", f"sum({_of_model('model_degraded', package)})", "short")
    yield _stat("Versions that answer", f"count(count by (version) ({_replicas(package)}))", "short")


def _traffic(package: PackageData) -> Iterator[Panel]:
    requests = _rate("model_requests_total", package, _PREDICT)
    rows = f"sum({_rate('model_rows_total', package)})"
    yield _graph("Requests by status", {"{{status}}": f"sum by (status) ({requests})"}, "reqps")
    yield _graph("Rows predicted", {"rows": rows}, "rowsps")
    answered = _rate("model_requests_total", package, _PREDICT, 'status="200"')
    yield _graph("Average rows per request", {"rows": f"{rows} / sum({answered})"}, "short")


def _failures(package: PackageData) -> Iterator[Panel]:
    refused = _rate("model_requests_total", package, _PREDICT, 'status=~"4.."')
    failed = _rate("model_requests_total", package, _PREDICT, _FAILED)
    invalid = _rate("model_invalid_values_total", package)
    yield _graph("Failures of the service", {"{{status}}": f"sum by (status) ({failed})"}, "reqps")
    yield _graph("Invalid requests", {"{{status}}": f"sum by (status) ({refused})"}, "reqps")
    yield _graph("Invalid values", {"{{field}}: {{code}}": f"sum by (field, code) ({invalid})"}, "cps")


def _budgets(package: PackageData) -> Iterator[Panel]:
    """Yield how fast each error budget is spent: at 1, that of 30 days is spent in 30 days."""
    budgets = {"failures": ("Failures", AVAILABILITY_OBJECTIVE)}
    if objectives(package):
        budgets["slow"] = ("Slow answers", LATENCY_OBJECTIVE)
    for kind, (title, objective) in budgets.items():
        rates = {
            window: f"job:model_{kind}:ratio{window}{_recorded(package, _JOB)} / {1 - objective:g}"
            for window in ("1h", "6h", "3d")
        }
        budget = f"{title}: spent budget of {BUDGET_DAYS} days ({percentage(1 - objective)}), as a multiple of its rate"
        yield _with_line(_graph(budget, rates, "short"), 1)


def _latency(package: PackageData) -> Iterator[Panel]:
    shares = {"50 of 100": 0.5, "95 of 100": 0.95, "99 of 100": 0.99}

    def quantiles(metric: str, *matchers: str) -> Mapping[str, str]:
        return {legend: _quantile(share, metric, package, *matchers) for legend, share in shares.items()}

    by_rows = _rate("model_request_seconds_bucket", package, _PREDICT)
    p99 = f"histogram_quantile(0.99, sum by (le, rows) ({by_rows}))"
    yield _graph("99 of 100 requests, by rows up to", {"{{rows}}": p99}, "s")
    yield _graph("Latency", quantiles("model_request_seconds_bucket", _PREDICT), "s")
    yield _graph("Waiting time", quantiles("model_queue_seconds_bucket"), "s")
    yield _graph("Rows per batch", quantiles("model_batch_rows_bucket"), "short")
    if not package.runner:
        yield _graph("On the fallback engine", {"{{instance}}": _of_model("model_degraded", package)}, "short")


def _processes(package: PackageData) -> Iterator[Panel]:
    legend = "{{instance}} {{process}}"
    cpu = _rate("process_cpu_seconds_total", package)
    yield _graph("Requests in progress", {"{{instance}}": _of_model("model_requests_in_progress", package)}, "short")
    yield _graph("Rows that wait", {"{{instance}}": _of_model("model_queued_rows", package)}, "short")
    yield _graph("Memory of the processes", {legend: _of_model("process_resident_memory_bytes", package)}, "bytes")
    yield _graph("CPU of the processes", {legend: cpu}, "short")
    yield _graph("Workers that ended unexpectedly", _ends("worker", package), "short")
    if package.runner:
        yield _graph("Ends of the model's process", _ends("source", package), "short")
    yield _graph("Captured rows, by what became of them", {"{{state}}": _captured(package)}, "short")


def _captured(package: PackageData) -> str:
    return f"sum by (state) ({_rate('model_captured_rows_total', package)})"


def _ends(process: Process, package: PackageData) -> Mapping[str, str]:
    """Return the unexpected ends of workers, or of the process of a source, by their legend."""
    return {"{{instance}} {{reason}}": f"sum by (instance, reason) ({_increase(process, '$__rate_interval', package)})"}


def _increase(process: Process, window: str, package: PackageData) -> str:
    increase = f"increase(model_{process}_ends_total{{{_JOB}}}[{window}])"
    return f"{increase} and on (job, instance) {replica_selector(package)}"


def _drift(drift: DriftMetric, package: PackageData) -> Iterator[Panel]:
    recorded, selected = _recorded(package, _JOB), f"{drift.label}=${{{drift.label}:doublequote}}"
    threshold = f"on (model, {drift.label}) group_left (about) {drift.threshold}{_recorded(package)}"
    drift_graph = _graph(
        "Drift; an alert fires above 1", {"{{about}}": f"{drift.index}{recorded} / {threshold}"}, "short"
    )
    yield _with_line(drift_graph, 1)
    live = f"avg by (bin) ({drift.share}{_recorded(package, _JOB, selected)})"
    yield _bars(f"${drift.label}, over the last day", live)
    yield _bars(f"${drift.label}, as expected", f"sum by (bin) ({drift.expected}{_recorded(package, selected)})")


def _versions(package: PackageData) -> Iterator[Panel]:
    yield _graph("Replicas by version", {"{{version}}": f"count by (version) ({_replicas(package)})"}, "short")


_JOB, _PREDICT, _FAILED = 'job=~"$job"', 'route="/predict"', 'status=~"5.."'


def _replicas(package: PackageData) -> str:
    return f"model_info{{name={quoted(package.manifest.name)},{_JOB}}}"


def _of_model(metric: str, package: PackageData) -> str:
    """Return the series of a metric from the replicas of the model."""
    return f"{metric}{{{_JOB}}} and on (job, instance) {replica_selector(package)}"


def _rate(metric: str, package: PackageData, *matchers: str) -> str:
    """Return the rate of a metric from the replicas of the model."""
    rate = f"rate({metric}{{{','.join((_JOB, *matchers))}}}[$__rate_interval])"
    return f"{rate} and on (job, instance) {replica_selector(package)}"


def _quantile(share: float, metric: str, package: PackageData, *matchers: str) -> str:
    return f"histogram_quantile({share}, sum by (le) ({_rate(metric, package, *matchers)}))"


def _recorded(package: PackageData, *matchers: str) -> str:
    """Return the selector of the series that the rules record for the model."""
    return f"{{{','.join((f'model={quoted(package.manifest.name)}', *matchers))}}}"


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
    """Add a line to a panel, at the value that should not be exceeded."""
    steps = [{"color": "green", "value": None}, {"color": "red", "value": value}]
    panel["fieldConfig"]["defaults"] |= {
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": {"thresholdsStyle": {"mode": "line"}},
    }
    return panel


def _layout(rows: Sequence[tuple[str, int, list[Panel]]]) -> Iterator[Panel]:
    """Yield the panels with their positions: the rows below each other, the panels of a row side by side."""
    ids, top = itertools.count(1), 0
    for title, height, panels in rows:
        position = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        yield {"id": next(ids), "type": "row", "title": title, "collapsed": False, "gridPos": position, "panels": []}
        width = _WIDTH // len(panels)
        for index, panel in enumerate(panels):
            yield {"id": next(ids), "gridPos": {"h": height, "w": width, "x": index * width, "y": top + 1}} | panel
        top += 1 + height
