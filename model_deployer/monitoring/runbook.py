"""monitoring/RUNBOOK.md: for each alert what it means, what to look at first, what to do, and whom to call."""

import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from jinja2 import PackageLoader

from model_deployer.contract import origin_text
from model_deployer.contract.drift import ReplayedPart
from model_deployer.contract.number_format import duration, percentage
from model_deployer.monitoring import alerts
from model_deployer.monitoring.alerts import Alert
from model_deployer.monitoring.drift import DriftMetric, drift_metrics, unwatched
from model_deployer.monitoring.prometheus import quoted
from model_deployer.monitoring.replay import UNITS, faults_found
from model_deployer.monitoring.triggers import MIN_LABELLED, promise_text, replacement, verdict_guides
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, anchor, code, code_block, markdown, table
from model_deployer.writing.templates import jinja_environment, render

#: The days of an error budget in minutes.
_BUDGET_MINUTES = alerts.BUDGET_DAYS * 24 * 60

_READY, _MODEL = 'curl -si "http://$INSTANCE/readyz"', 'curl -s "http://$INSTANCE/model"'
_LOG_END = "kubectl logs $POD --previous --tail=20   # or: docker logs --tail 20 $CONTAINER"
_LOGGED = "{{request_id, key, code, fields, problem_codes}}"
_REFUSALS = f"kubectl logs $POD | jq -Rc 'fromjson? | select(.status == {{status}}) | {_LOGGED}'"
_SOURCE_ENDS = (
    'kubectl logs $POD | jq -Rc \'fromjson? | select((.message // "") | startswith("the process of the model"))\''
)

_CAPTURE_LOG = 'kubectl logs $POD | jq -Rc \'fromjson? | select((.message // "") | contains("captured"))\''


class FirstLook(NamedTuple):
    """What to look at first when an alert fires.

    Attributes:
        queries: Expressions for Prometheus.
        commands: Commands for a shell.
    """

    queries: tuple[str, ...]
    commands: tuple[str, ...] = ()


def runbook(package: PackageData) -> str:
    """Return the text of the file."""
    looks = first_looks(package)
    return render(
        _environment,
        "RUNBOOK.md.j2",
        package=package,
        alerts=[(alert, _look(looks[alert.name])) for alert in alerts.alerts(package)],
        owner=code(package.manifest.owner) if package.manifest.owner else None,
        objectives=_objectives(package),
        made=origin_text.made(package.evaluation),
        has_latency=bool(alerts.objectives(package)),
        drift=package.reference and package.reference.drift,
        replayed=_replayed(package),
        left_out=table(["Field or prediction", "Why it has no alert"], map(tuple, _left_out(package))),
        callee=_callee,
        verdicts=[(guide, code_block(guide.command, "sh")) for guide in verdict_guides(package)],
        promise=promise_text(package),
        replacement=code_block(replacement(package), "sh"),
        min_labelled=MIN_LABELLED,
    )


def first_looks(package: PackageData) -> Mapping[str, FirstLook]:
    """Return what to look at first, by the name of the alert."""
    replicas = alerts.replica_selector(package)
    of_model = f"and on (job, instance) {replicas}"
    predict = 'route="/predict"'
    memory = f"sum by (instance) (process_resident_memory_bytes {of_model})"
    by_status = f'sum by (status) (rate(model_requests_total{{{predict},status=~"5.."}}[5m]) {of_model})'
    by_instance = f'sum by (instance) (rate(model_requests_total{{{predict},status=~"5.."}}[5m]) {of_model})'
    load = f"sum by (instance) (rate(model_rows_total[5m]) {of_model})"
    waiting = f"model_queued_rows {of_model}"
    processors = f"sum by (instance) (rate(process_cpu_seconds_total[5m]) {of_model})"
    by_rows = f"sum by (le, rows) (rate(model_request_seconds_bucket{{{predict}}}[5m]) {of_model})"
    invalid = f"topk(5, sum by (field, code) (increase(model_invalid_values_total[15m]) {of_model}))"
    worker_ends, source_ends = (
        f"sum by (instance, reason) (increase(model_{process}_ends_total[1h]) {of_model})"
        for process in ("worker", "source")
    )
    captured = f"sum by (instance, state) (increase(model_captured_rows_total[1h]) {of_model})"
    failing = FirstLook((by_status, by_instance), (_READY, _REFUSALS.format(status=500)))
    slow = FirstLook((f"histogram_quantile(0.99, {by_rows})", waiting, processors, load), (_READY,))
    versions = FirstLook((f"count by (job, version, instance) ({replicas})",), (_MODEL,))
    looks = {
        "ModelAbsent": FirstLook((f"last_over_time({replicas}[1d])", "up == 0"), (_READY, _LOG_END)),
        "ModelReplicaDown": FirstLook(("up == 0", f"last_over_time({replicas}[1h])"), (_READY, _LOG_END)),
        "ModelWorkerEnded": FirstLook((worker_ends, memory), (_LOG_END,)),
        **dict.fromkeys(("ModelFailingFast", "ModelFailingSlowly", "ModelFailingForDays"), failing),
        "ModelOverloaded": FirstLook((load, waiting, f"count({replicas})"), (_REFUSALS.format(status=503),)),
        **dict.fromkeys(("ModelSlow", "ModelSlowForHours", "ModelSlowForDays"), slow),
        "ModelQueueLong": FirstLook((waiting, load, processors), (_READY,)),
        "ModelInvalidValues": FirstLook((invalid,), (_REFUSALS.format(status=422),)),
        "ModelCaptureIncomplete": FirstLook((captured,), (_CAPTURE_LOG,)),
        **dict.fromkeys(("ModelVersionsMixed", "ModelVersionOther"), versions),
    }
    if package.runner:
        looks["ModelSourceEnded"] = FirstLook((source_ends,), (_READY, _SOURCE_ENDS))
    else:
        looks["ModelDegraded"] = FirstLook((f"model_degraded {of_model}",), (_READY,))
    return looks | {drift.alert: _drift_look(drift, package) for drift in drift_metrics(package)}


def runbook_annotations(alert: Alert, package: PackageData) -> dict[str, str]:
    """Return the annotations of an alert that lead to its instructions.

    With a URL, they have the absolute address of the section. In any case they have the first query, so that the
    receiver of a page can begin without the file.
    """
    section = f"#{anchor(alert.name)}"
    look = first_looks(package)[alert.name]
    link = {"runbook_url": f"{package.runbook_url}{section}"} if package.runbook_url else {}
    return link | {
        "runbook": f"{RUNBOOK}{section} in the package of {package.tag}",
        "first_query": look.queries[0],
    }


RUNBOOK = "monitoring/RUNBOOK.md"


def _drift_look(drift: DriftMetric, package: PackageData) -> FirstLook:
    """Return how far each distribution is from its threshold, and the shares of the bins of one."""
    model = f"model={quoted(package.manifest.name)}"
    first = f"{{{model},{drift.label}={quoted(drift.watched[0].name)}}}"
    by = f"on (model, {drift.label})"
    relative = f"{drift.index}{{{model}}} / {by} group_left (about) {drift.threshold}{{{model}}}"
    return FirstLook((f"sort_desc({relative})", f"{drift.share}{first}", f"{drift.expected}{first}"))


def _look(look: FirstLook) -> Markdown:
    query = 'curl -sG "$PROMETHEUS/api/v1/query" --data-urlencode {}'
    lines = [*(query.format(shlex.quote(f"query={expression}")) for expression in look.queries), *look.commands]
    return code_block("\n".join(lines), "sh")


def _objectives(package: PackageData) -> Markdown:
    """Return a table of the objectives with their error budgets."""
    unavailable = 1 - alerts.AVAILABILITY_OBJECTIVE
    rows = [
        (
            "Requests without a 5xx status",
            percentage(alerts.AVAILABILITY_OBJECTIVE),
            f"{percentage(unavailable)} of the requests: {unavailable * _BUDGET_MINUTES:.0f} minutes without answers",
        ),
        *(
            (
                f"Answers within {duration(alerts.objective_bucket(each))}, {_rows(each.rows)}",
                percentage(alerts.LATENCY_OBJECTIVE),
                f"{percentage(1 - alerts.LATENCY_OBJECTIVE)} of the answers, of all numbers of rows together",
            )
            for each in alerts.objectives(package)
        ),
    ]
    return table(["What", "Objective", f"Error budget of {alerts.BUDGET_DAYS} days"], rows)


def _rows(rows: int) -> str:
    return "one row" if rows == 1 else f"up to {rows:,} rows"


def _replayed(package: PackageData) -> Markdown:
    """Return a table of the watched distributions with their thresholds and the faults that they find."""
    rows = [
        (
            code(watched.about),
            f"{watched.replay.threshold:g}",
            *(f"{day.index:.2f}" if day else "" for day in (watched.replay.training, watched.replay.test)),
            faults_found(watched),
        )
        for drift in drift_metrics(package)
        for watched in drift.watched
    ]
    highest = f"Highest {origin_text.in_reference(package.evaluation)}"
    return table(["Field or prediction", "Threshold", highest, "Highest in the test", "Planted faults"], rows)


def _left_out(package: PackageData) -> Iterator[tuple[str, str]]:
    for each in unwatched(package):
        yield code(each.about), each.reason


def _days(part: ReplayedPart) -> str:
    return f"{part.days_with_alerts} of {part.days:,} days of the"


def _unit(part: ReplayedPart) -> str:
    return UNITS[part.unit]


def _callee(alert: Alert, owner: str | None) -> Markdown:
    """Return whom to call: the owner of the model about its values, else the operators of the service."""
    if alert.name not in ("ModelFeatureDrift", "ModelPredictionDrift"):
        return Markdown(
            "the operators of the service; the owner of the model only if the log shows a fault of the model"
        )
    named = owner or "which model.yaml does not name (`owner:`)"
    return Markdown(f"the owner of the model, {named}; for a changed unit or default, the team of the caller")


_environment = jinja_environment(PackageLoader("model_deployer.monitoring"), finalize=markdown)
_environment.globals |= {"anchor": anchor, "code": code, "commands": Markdown, "days": _days, "unit": _unit}
