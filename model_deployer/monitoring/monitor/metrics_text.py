"""The report as metrics of Prometheus: for the textfile collector of node_exporter, or for a Pushgateway."""

from collections.abc import Sequence
from typing import get_args
from urllib.parse import quote

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.verdict import Action

#: How long a Pushgateway or webhook may take.
TIMEOUT_SECONDS = 20.0


def metrics_text(report: MonitorReport) -> str:
    """Return the metrics in the text format of Prometheus. Their names are stable; later versions may add some."""
    registry = CollectorRegistry()
    observed, risk = report.observed, report.observed.risk
    one = _Gauges(registry, report)
    one.add("verdict", "Whether this is the verdict: 1 for one of the actions.", ["action"])
    for action in get_args(Action):
        one.set("verdict", float(report.verdict.action == action), action)
    one.add("alarm", "Whether a group of tests has an alarm that is not over.", ["group"])
    current = {alarm.group for alarm in observed.alarms if not alarm.is_over}
    for group in observed.budget:
        one.set("alarm", float(group in current), group)
    one.add("data_fault_share", "The share of rows or requests that a fault affects.", ["field", "fault"])
    for fault in observed.faults:
        one.set("data_fault_share", fault.share, fault.field, fault.fault)
    one.add("drift_log10_e", "The common logarithm of the e-value of a field or prediction.", ["name"])
    for movement in (*observed.fields, *observed.predictions):
        one.set("drift_log10_e", movement.log10_e, movement.about)
    one.add("missing_share", "The share of missing values of a field in the last days.", ["field"])
    for movement in observed.fields:
        one.set("missing_share", movement.now.get("missing", 0.0), movement.name)
    separation = observed.separation
    figures = {
        "combinations_log10_e": (
            "The common logarithm of the e-value of combinations of values.",
            None if observed.combinations.reason else observed.combinations.log10_e,
        ),
        "separation_auc": (
            "The AUC of a classifier between rows of the last week and of the table.",
            separation.auc.value if separation and separation.auc else None,
        ),
        "risk_log10_e": ("The common logarithm of the e-value against the promised risk.", risk.log10_e),
        "risk_promised": ("The mean loss that the evaluation promises.", risk.promised),
        "risk_limit": ("The highest mean loss that keeps the promise.", risk.limit),
        "risk_recent": ("The mean loss of the last labelled days.", risk.recent),
        "cost_of_waiting": ("The expected excess of a day.", report.verdict.waiting.a_day),
        "rows_a_day": ("The mean number of answered rows of a complete day.", observed.traffic.rows_a_day),
        "captured_rows": ("The captured rows of the complete days.", observed.traffic.captured),
        "labelled_rows": ("The rows of these with a label.", observed.labels.labelled),
        "lost_rows": ("The captured rows that killed servers had not written.", observed.traffic.lost),
        "run_timestamp_seconds": ("The time of the run, in seconds since 1970.", observed.made.timestamp()),
    }
    for name, (about, value) in figures.items():
        if value is not None:
            one.add(name, about, [])
            one.set(name, value)
    return generate_latest(registry).decode()


def push_metrics(report: MonitorReport, url: str) -> None:
    """Send the metrics to a Pushgateway; they replace those of the last run for the model.

    Raises:
        EnvironmentFault: if it cannot be reached, or refuses them.
    """
    target = f"{url.rstrip('/')}/metrics/job/model_monitor/model/{quote(report.name, safe='')}"
    send("PUT", target, metrics_text(report).encode(), "text/plain; version=0.0.4")


def send(method: str, url: str, content: bytes, media_type: str) -> None:
    """Send a body.

    Raises:
        EnvironmentFault: if the URL cannot be reached, or does not answer with success.
    """
    try:
        answer = httpx.request(
            method, url, content=content, headers={"content-type": media_type}, timeout=TIMEOUT_SECONDS
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EnvironmentFault(f"{_host(url)} cannot be reached: {error or type(error).__name__}") from None
    if not answer.is_success:
        raise EnvironmentFault(f"{_host(url)} refused what was sent: status {answer.status_code}")


def _host(url: str) -> str:
    """Return the server of a URL: paths of webhooks are secrets."""
    try:
        return httpx.URL(url).host or "the URL"
    except httpx.InvalidURL:
        return "the URL"


class _Gauges:
    """Gauges of one model: each has the labels ``model`` and ``version``."""

    def __init__(self, registry: CollectorRegistry, report: MonitorReport) -> None:
        self._registry = registry
        self._model = (report.name, report.version)
        self._gauges: dict[str, Gauge] = {}

    def add(self, name: str, about: str, labels: Sequence[str]) -> None:
        """Add a gauge ``model_monitor_NAME``."""
        names = ("model", "version", *labels)
        self._gauges[name] = Gauge(f"model_monitor_{name}", about, names, registry=self._registry)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set its value for some labels."""
        self._gauges[name].labels(*self._model, *labels).set(value)
