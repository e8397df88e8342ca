"""What wakes somebody, and what it means to someone who knows no machine learning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from model_deployer.contract.number_format import duration, percentage
from model_deployer.monitoring.drift import LEAST_ROWS, MAJOR, drifts
from model_deployer.monitoring.prometheus import Rule, literal, quoted, record
from model_deployer.package.package_data import PackageData

#: The share of requests that are to be answered without a failure of the service, over thirty days: a common one for a
#: service inside a company. What is left, the error budget, may be spent.
OBJECTIVE = 0.999

#: Failures that have to be there before a share of failures means anything.
LEAST_FAILURES = 10

#: Requests in five minutes that a 99th percentile is trusted with.
LEAST_REQUESTS = 100

#: The share of refused requests, for lack of capacity and for wrong values, from which on somebody is told.
OVERLOADED, INVALID = 0.01, 0.1

#: The part of the model's time limit that a request may wait. The service refuses requests at a quarter of it.
WAIT = 0.1

#: Over what requests are counted, with its seconds.
_WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21600}

#: Where it is said what to do.
RUNBOOK = "docs/INTEGRATION_GUIDE.md#alerts"

Severity = Literal["critical", "warning", "info"]


class Burn(NamedTuple):
    """How fast the error budget is spent when somebody is told: over a long and a short window alike.

    With the short one, an alert ends soon after its cause.
    """

    rate: float
    long: str
    short: str
    lasting: str

    @property
    def ratio(self) -> float:
        """The share of failures that spends the budget so fast."""
        return round(self.rate * (1 - OBJECTIVE), 6)


#: Budgets of thirty days that are spent in two days, and in five (Beyer et al., 2018, "The Site Reliability Workbook",
#: chapter 5).
FAST, SLOW = Burn(14.4, "1h", "5m", "2m"), Burn(6, "6h", "30m", "15m")


@dataclass(frozen=True)
class Alert:
    """A rule that tells somebody.

    Attributes:
        name: Of the rule.
        severity: ``critical``: somebody has to act now; ``warning``: today; ``info``: this week.
        summary: A line for the one who is told; ``{{ $labels.x }}`` stands for a label.
        when: The condition in words.
        meaning: What it means.
        action: What to do first.
        expression: The condition in Prometheus' query language.
        lasting: How long it has to hold.
    """

    name: str
    severity: Severity
    summary: str
    when: str
    meaning: str
    action: str
    expression: str
    lasting: str


def alerts(facts: PackageData) -> list[Alert]:
    """All alerts of a model, those first that need somebody soonest."""
    return [
        *_availability(facts),
        *_failures(facts),
        *_speed(facts),
        *_requests(facts),
        *_drift(facts),
        *_versions(facts),
    ]


def rules(facts: PackageData) -> list[Rule]:
    """What the alerts are computed from, drift apart."""
    model, here = facts.manifest.name, f"and on (job, instance) {info(facts)}"
    found = []
    for window in _WINDOWS:
        rate = f'rate(model_requests_total{{route="/predict"}}[{window}])'
        found.append(
            record(f"job_status:model_requests:rate{window}", f"sum by (job, status) ({rate} {here})", model=model)
        )
        found.append(record(f"job:model_failures:ratio{window}", _ratio(facts, window, "5.."), model=model))
    slow = 'rate(model_request_seconds_bucket{route="/predict"}[5m])'
    waits = "rate(model_queue_seconds_bucket[5m])"
    for name, share, rate in (
        ("model_request_seconds:p99_5m", 0.99, slow),
        ("model_queue_seconds:p95_5m", 0.95, waits),
    ):
        found.append(
            record(f"job:{name}", f"histogram_quantile({share}, sum by (job, le) ({rate} {here}))", model=model)
        )
    return found


def alerting(alert: Alert, facts: PackageData) -> Rule:
    """The alert as Prometheus' rule."""
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity, "model": facts.manifest.name},
        "annotations": annotations(alert, facts),
    }


def annotations(alert: Alert, facts: PackageData) -> dict[str, str]:
    """What the one who is told reads."""
    owner = facts.manifest.owner
    return {
        "summary": f"{facts.manifest.name}: {alert.summary}",
        "description": f"{alert.meaning} {alert.action}",
        "runbook": RUNBOOK,
    } | ({"owner": literal(owner)} if owner else {})


def _availability(facts: PackageData) -> Iterator[Alert]:
    replicas = info(facts)
    yield Alert(
        name="ModelAbsent",
        severity="critical",
        summary="no replica answers",
        when="No replica of the model has told its metrics for 5 minutes.",
        meaning="Nobody gets predictions.",
        action="See whether the replicas run and whether GET /readyz answers 200. A server that ends at its start "
        "says why in the last line of its log.",
        expression=f"absent({replicas})",
        lasting="5m",
    )
    yield Alert(
        name="ModelReplicaDown",
        severity="warning",
        summary="{{ $labels.instance }} does not answer",
        when="A replica, of a job that served the model within the last hour, has not told its metrics for 5 minutes.",
        meaning="The other replicas carry its load.",
        action="Read the end of its log, and start it again. See whether it was ended for lack of memory.",
        expression=f"up == 0 and on (job) last_over_time({replicas}[1h])",
        lasting="5m",
    )
    yield Alert(
        name="ModelDegraded",
        severity="warning",
        summary="{{ $labels.instance }} answers with the engine that stands in",
        when="model_degraded is 1 for 5 minutes.",
        meaning="The engine that was configured does not answer, and another one, on the CPU, does in its place. The "
        "predictions are the same; they take longer.",
        action="Read the text of GET /readyz, which says why, and see to the process on the GPU.",
        expression=f"max by (job, instance) (model_degraded and on (job, instance) {replicas}) == 1",
        lasting="5m",
    )


def _failures(facts: PackageData) -> Iterator[Alert]:
    meaning = "Callers get no prediction by the fault of the service: an error, too much work, or no answer in time."
    yield Alert(
        name="ModelFailingFast",
        severity="critical",
        summary="many requests fail",
        when=_burning(FAST),
        meaning=meaning,
        action="See by status what fails (model_requests_total). 500: the log names the fault beside the request "
        "id. 503 and 504: add replicas.",
        expression=_burns(facts, FAST),
        lasting=FAST.lasting,
    )
    yield Alert(
        name="ModelFailingSlowly",
        severity="warning",
        summary="requests keep failing",
        when=_burning(SLOW),
        meaning=meaning,
        action="As for ModelFailingFast; there is a day for it.",
        expression=_burns(facts, SLOW),
        lasting=SLOW.lasting,
    )
    yield Alert(
        name="ModelOverloaded",
        severity="warning",
        summary="requests are refused, since too much waits",
        when=f"More than {percentage(OVERLOADED)} of the requests got 503 for 5 minutes, at least {LEAST_FAILURES} of "
        "them.",
        meaning="More is asked than the replicas can do. Nothing was done for these requests; their callers may ask "
        "again.",
        action="Add replicas. If there are enough by the sizing, see whether a caller asks in a loop.",
        expression=f"{_ratio(facts, '5m', '503')} > {OVERLOADED}\n"
        f"  and on (job) {_count(facts, '5m', '503')} >= {LEAST_FAILURES}",
        lasting="5m",
    )


def _speed(facts: PackageData) -> Iterator[Alert]:
    model = _model(facts)
    limit = facts.contract.limits.timeout_seconds
    objective = facts.sizing.objective_seconds
    yield Alert(
        name="ModelSlow",
        severity="warning",
        summary=f"the slowest requests take longer than {duration(objective)}",
        when=f"1 of 100 requests takes longer than {duration(objective)}, for 10 minutes with {LEAST_REQUESTS} "
        "requests in 5.",
        meaning="Answers take longer than the latency objective, which was derived from measurements with requests of "
        "one row.",
        action="Compare the load with the safe load of a replica, and add replicas. If callers send many rows at once, "
        "slow answers are in order: then write the figure that suits them into the rule.",
        expression=f"job:model_request_seconds:p99_5m{model} > {objective:g}\n"
        f"  and on (job) {_count(facts, '5m')} >= {LEAST_REQUESTS}",
        lasting="10m",
    )
    yield Alert(
        name="ModelQueueLong",
        severity="warning",
        summary=f"requests wait longer than {duration(WAIT * limit)}",
        when=f"1 of 20 requests waits longer than {duration(WAIT * limit)}, for 5 minutes.",
        meaning=f"Requests wait for {percentage(WAIT)} of the time that they have; where it is 25 %, the service "
        "refuses them.",
        action="Add replicas.",
        expression=f"job:model_queue_seconds:p95_5m{model} > {WAIT * limit:g}",
        lasting="5m",
    )


def _requests(facts: PackageData) -> Iterator[Alert]:
    values = (
        f"sum by (job, field, code) (increase(model_invalid_values_total[15m]) and on (job, instance) {info(facts)})"
    )
    yield Alert(
        name="ModelInvalidValues",
        severity="warning",
        summary="a caller sends values that are refused: {{ $labels.field }}, {{ $labels.code }}",
        when=f"More than {percentage(INVALID)} of the requests of 30 minutes got 422, at least {LEAST_FAILURES} of "
        "them, for 15 minutes; one alert for each field and code "
        f"that makes up more than {percentage(INVALID)} of the wrong values.",
        meaning="A program that calls the model sends rows that break its contract. It gets no predictions for them.",
        action="Find the caller by the gateway's log, and give it the field and the code; the table of fields says "
        "what is expected. Most often it was changed just before.",
        expression=f"{values}\n"
        f"  / on (job) group_left () sum by (job) (\n    {values}\n  ) > {INVALID}\n"
        f"  and on (job) {_ratio(facts, '30m', '422')} > {INVALID}\n"
        f"  and on (job) {_count(facts, '30m', '422')} >= {LEAST_FAILURES}",
        lasting="15m",
    )


def _drift(facts: PackageData) -> Iterator[Alert]:
    for drift in drifts(facts):
        name, severity, before, meaning, action = _DRIFT[drift.label]
        yield Alert(
            name=name,
            severity=severity,
            summary=f"{{{{ $labels.about }}}} is distributed otherwise than {before}",
            when=f"Over a day with at least {LEAST_ROWS:,} rows, the distribution differs from that {before} by a "
            f"population stability index above {MAJOR:g}, or above what chance explains where that is more; for an "
            "hour.",
            meaning=meaning,
            action=action,
            expression=drift.moved(facts.manifest.name),
            lasting="1h",
        )


#: By what is watched: name, severity, where the expected distribution comes from, meaning and action.
_DRIFT: Mapping[str, tuple[str, Severity, str, str, str]] = {
    "feature": (
        "ModelFeatureDrift",
        "info",
        "in training",
        "What callers send in this field is no longer what the model learnt from. Its predictions may be worse, and "
        "nothing else shows it.",
        "See in the dashboard which values became more or fewer. If a caller changed a unit or a default, mend that. "
        "If the world changed, tell the owner of the model: it may have to be trained again.",
    ),
    "output": (
        "ModelPredictionDrift",
        "warning",
        "on the rows of the test",
        "The model predicts otherwise than it did on the rows that it was tested with. Whether it is wrong, only the "
        "truth shows, once that is known.",
        "See whether a field has moved as well (ModelFeatureDrift), and tell the owner of the model, who can compare "
        "predictions with what came true.",
    ),
}


def _versions(facts: PackageData) -> Iterator[Alert]:
    replicas, version = info(facts), facts.manifest.version
    yield Alert(
        name="ModelVersionsMixed",
        severity="warning",
        summary="replicas answer with different versions",
        when="Replicas of a job have answered with different versions for 30 minutes.",
        meaning="The same request gets one answer or another, depending on the replica.",
        action="A rollout has stopped half-way: finish it, or take it back.",
        expression=f"count by (job) (count by (job, version) ({replicas})) > 1",
        lasting="30m",
    )
    yield Alert(
        name="ModelVersionOther",
        severity="info",
        summary=f"no replica answers with version {version}",
        when=f"All replicas of a job have answered with other versions than {version} for 30 minutes.",
        meaning="These rules belong to another version than the one that answers: their figures may not fit it.",
        action="Take the rules from the package of the version that answers.",
        expression=f"count by (job) ({replicas}) unless on (job) {info(facts, version)}",
        lasting="30m",
    )


def _burning(burn: Burn) -> str:
    return (
        f"More than {percentage(burn.ratio)} of the requests of the last {burn.long}, and of the last {burn.short}, "
        f"got a 5xx, at least {LEAST_FAILURES} of them. At this rate, what {percentage(OBJECTIVE)} leaves for 30 days "
        f"is gone in {30 / burn.rate:.0f} days."
    )


def _burns(facts: PackageData, burn: Burn) -> str:
    model = _model(facts)
    return (
        f"job:model_failures:ratio{burn.long}{model} > {burn.ratio:g}\n"
        f"  and on (job) job:model_failures:ratio{burn.short}{model} > {burn.ratio:g}\n"
        f"  and on (job) {_count(facts, burn.long, '5..')} >= {LEAST_FAILURES}"
    )


def _ratio(facts: PackageData, window: str, status: str) -> str:
    """The share of requests with a status, or several as a regular expression."""
    return f"{_rate(facts, window, status)}\n  / {_rate(facts, window)}"


def _count(facts: PackageData, window: str, status: str | None = None) -> str:
    """How many requests there were in a window."""
    return f"{_WINDOWS[window]} * {_rate(facts, window, status)}"


def _rate(facts: PackageData, window: str, status: str | None = None) -> str:
    return f"sum by (job) (job_status:model_requests:rate{window}{_model(facts, status)})"


def _model(facts: PackageData, status: str | None = None) -> str:
    """The selector of what the rules record of this model."""
    also = f",status=~{quoted(status)}" if status else ""
    return f"{{model={quoted(facts.manifest.name)}{also}}}"


def info(facts: PackageData, version: str | None = None) -> str:
    """The selector of the replicas that answer with the model, of one version or any."""
    also = f",version={quoted(version)}" if version else ""
    return f"model_info{{name={quoted(facts.manifest.name)}{also}}}"
