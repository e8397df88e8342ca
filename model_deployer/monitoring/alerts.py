"""The alerts of a model, explained to operators who do not know machine learning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from model_deployer.contract import origin_text
from model_deployer.contract.number_format import duration, percentage
from model_deployer.monitoring.drift import drift_metrics
from model_deployer.monitoring.prometheus import Rule, quoted, record
from model_deployer.package.package_data import PackageData
from model_deployer.package.sizing import Objective
from model_deployer.serving.observability.metric_specs import ROW_CLASSES, SECONDS_BUCKETS

#: The share of requests that should be answered without a failure of the service, over 30 days: a common objective for
#: an internal service. The rest is the error budget.
AVAILABILITY_OBJECTIVE = 0.999

#: The share of answers that should meet the latency objective of their number of rows, over 30 days.
LATENCY_OBJECTIVE = 0.99

#: The days in which an error budget may be spent.
BUDGET_DAYS = 30

#: The number of failures, or of slow answers, below which their share is not meaningful.
MIN_FAILURES = 10

#: The shares of requests that are refused, for overload and for invalid values, above which an alert fires.
MAX_OVERLOADED_SHARE, MAX_INVALID_SHARE = 0.01, 0.1

#: The share of the model's time limit that a request may wait. At a quarter of the limit, the service refuses requests.
MAX_WAIT_SHARE = 0.1

#: The windows in which requests are counted, with their seconds.
_WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21600, "3d": 259200}

Severity = Literal["critical", "warning", "info"]


class BurnRate(NamedTuple):
    """The speed at which the error budget is spent when an alert fires, measured in a long and in a short window.

    Because of the short window, the alert ends soon after its cause.
    """

    rate: float
    long: str
    short: str
    for_duration: str

    def ratio(self, objective: float) -> float:
        """Return the share of failures that spends the error budget of an objective at this rate."""
        return round(self.rate * (1 - objective), 6)


#: Rates that spend 2 % of the budget of 30 days in an hour, 5 % in six hours, and 10 % in three days (Beyer et al.,
#: 2018, "The Site Reliability Workbook", chapter 5, table 5-8).
FAST, SLOW, STEADY = (
    BurnRate(14.4, "1h", "5m", "2m"),
    BurnRate(6, "6h", "30m", "15m"),
    BurnRate(1, "3d", "6h", "1h"),
)


@dataclass(frozen=True)
class Alert:
    """An alert rule.

    Attributes:
        name: The name of the rule.
        severity: ``critical``: an operator must act now; ``warning``: today; ``info``: this week.
        summary: A line for the operator; Prometheus replaces ``{{ $labels.x }}`` by a label.
        when: The condition in words.
        meaning: What the condition means.
        action: What to do first.
        expression: The condition in Prometheus' query language.
        for_duration: How long the condition must hold before the alert fires.
    """

    name: str
    severity: Severity
    summary: str
    when: str
    meaning: str
    action: str
    expression: str
    for_duration: str


def alerts(package: PackageData) -> list[Alert]:
    """Return all alerts of a model, the most urgent ones first."""
    return [
        *_availability(package),
        *_failures(package),
        *_speed(package),
        *_requests(package),
        *_drift(package),
        *_capture(package),
        *_versions(package),
    ]


def rules(package: PackageData) -> list[Rule]:
    """Return the recording rules that the alerts need, except those for drift."""
    model, of_model = package.manifest.name, _of_replicas(package)
    result = []
    for window in _WINDOWS:
        rate = f'rate(model_requests_total{{route="/predict"}}[{window}])'
        result.append(
            record(f"job_status:model_requests:rate{window}", f"sum by (job, status) ({rate} {of_model})", model=model)
        )
        result.append(record(f"job:model_failures:ratio{window}", _ratio(package, window, "5.."), model=model))
        if objectives(package):
            result += [
                record(f"job:model_slow:rate{window}", _slow_rate(package, window), model=model),
                record(f"job:model_slow:ratio{window}", _slow_ratio(package, window), model=model),
            ]
    queue_seconds = f"sum by (job, le) (rate(model_queue_seconds_bucket[5m]) {of_model})"
    result.append(record("job:model_queue_seconds:p95_5m", f"histogram_quantile(0.95, {queue_seconds})", model=model))
    return result


def _availability(package: PackageData) -> Iterator[Alert]:
    replicas = replica_selector(package)
    yield Alert(
        name="ModelAbsent",
        severity="critical",
        summary="no replica answers",
        when="No replica of the model has reported metrics for 5 minutes.",
        meaning="No caller gets predictions.",
        action="Check whether the replicas run, and whether GET /readyz answers with 200. If a server fails at its "
        "start, the last line of its log has the reason.",
        expression=f"absent({replicas})",
        for_duration="5m",
    )
    yield Alert(
        name="ModelReplicaDown",
        severity="warning",
        summary="{{ $labels.instance }} does not answer",
        when="A replica of a job that served the model in the last hour has reported no metrics for 5 minutes.",
        meaning="The other replicas carry its load.",
        action="Read the end of its log, and start it again. Check whether it was killed because of its memory limit.",
        expression=f"up == 0 and on (job) last_over_time({replicas}[1h])",
        for_duration="5m",
    )
    yield _source_ended(replicas) if package.runner else _degraded(replicas)
    yield Alert(
        name="ModelWorkerEnded",
        severity="warning",
        summary="a worker of {{ $labels.instance }} ended unexpectedly: {{ $labels.reason }}",
        when="A worker of a replica ended in the last 15 minutes without being asked to.",
        meaning="The requests that the worker was answering are lost. Outside a container it is started again; in a "
        "container with several workers it is not, and the replica answers fewer requests until it is restarted.",
        action="SIGKILL is usually the memory limit: compare process_resident_memory_bytes with it. For other reasons, "
        "read the log before the line that says how the worker ended.",
        expression="sum by (job, instance, reason) "
        f"(increase(model_worker_ends_total[15m]) and on (job, instance) {replicas}) > 0",
        for_duration="1m",
    )


def _degraded(replicas: str) -> Alert:
    return Alert(
        name="ModelDegraded",
        severity="warning",
        summary="{{ $labels.instance }} answers with the fallback engine",
        when="model_degraded has been 1 for 5 minutes.",
        meaning="The configured engine does not answer, so the fallback engine on the CPU does. The predictions are "
        "the same, but they take longer.",
        action="Read the text of GET /readyz, which has the reason, and repair the process on the GPU.",
        expression=f"max by (job, instance) (model_degraded and on (job, instance) {replicas}) == 1",
        for_duration="5m",
    )


def _source_ended(replicas: str) -> Alert:
    """Return the alert on the process of a source: nothing answers in its place."""
    return Alert(
        name="ModelSourceEnded",
        severity="warning",
        summary="the process of the model on {{ $labels.instance }} ended unexpectedly: {{ $labels.reason }}",
        when="The process in which the source of the model answers ended in the last 15 minutes without being asked "
        "to, on a replica.",
        meaning="Until it was started again, the replica answered with 503 and Retry-After, and GET /readyz with 503. "
        "It is started again within a second, and after a longer pause if it keeps ending. Nothing else can answer in "
        "its place.",
        action="Read in the log how it ended. SIGKILL is usually the memory limit, which the server and this process "
        "share. SIGALRM: a batch took longer than the time limit of a request, so find the request, or allow more "
        "time. With an exit code, the code of the model ended itself: inform the owner of the model.",
        expression="sum by (job, instance, reason) "
        f"(increase(model_source_ends_total[15m]) and on (job, instance) {replicas}) > 0",
        for_duration="1m",
    )


def _failures(package: PackageData) -> Iterator[Alert]:
    meaning = (
        "Callers get no predictions, and the cause is the service: an internal error, overload, or no answer in time."
    )
    action = (
        "Check which status the failures have (model_requests_total). 500: the log has the error with the request id. "
        f"503 and 504: add replicas.{_source_first(package)}"
    )
    tiers: tuple[tuple[str, Severity, str, BurnRate, str], ...] = (
        ("ModelFailingFast", "critical", "many requests fail", FAST, action),
        ("ModelFailingSlowly", "critical", "requests keep failing", SLOW, action),
        ("ModelFailingForDays", "warning", "requests have been failing for days", STEADY, action),
    )
    for name, severity, summary, burn, first in tiers:
        yield Alert(
            name=name,
            severity=severity,
            summary=summary,
            when=_burn_condition(burn, AVAILABILITY_OBJECTIVE, "requests", "got a 5xx status"),
            meaning=meaning,
            action=first,
            expression=_burn_expression(package, burn, "failures", AVAILABILITY_OBJECTIVE),
            for_duration=burn.for_duration,
        )
    yield Alert(
        name="ModelOverloaded",
        severity="warning",
        summary="requests are refused because too many are waiting",
        when=f"For 5 minutes, more than {percentage(MAX_OVERLOADED_SHARE)} of the requests, and at least "
        f"{MIN_FAILURES}, got 503.",
        meaning=f"The load is higher than the replicas can handle{_or_source(package)}. The refused requests had no "
        "effect, and the callers can send them again.",
        action="Add replicas. If their number already matches the sizing, check whether a caller sends requests in a "
        f"loop.{_source_first(package)}",
        expression=f"{_ratio(package, '5m', '503')} > {MAX_OVERLOADED_SHARE}\n"
        f"  and on (job) {_count(package, '5m', '503')} >= {MIN_FAILURES}",
        for_duration="5m",
    )


def _or_source(package: PackageData) -> str:
    return ", or the process of the model ended" if package.runner else ""


def _source_first(package: PackageData) -> str:
    return " If ModelSourceEnded fires, begin with it." if package.runner else ""


def _speed(package: PackageData) -> Iterator[Alert]:
    model = _model(package)
    limit = package.contract.limits.timeout_seconds
    tiers: tuple[tuple[str, Severity, str, BurnRate], ...] = (
        ("ModelSlow", "warning", "many answers are slow", FAST),
        ("ModelSlowForHours", "warning", "answers have been slow for hours", SLOW),
        ("ModelSlowForDays", "info", "answers have been slow for days", STEADY),
    )
    for name, severity, summary, burn in tiers if objectives(package) else ():
        yield Alert(
            name=name,
            severity=severity,
            summary=summary,
            when=_burn_condition(burn, LATENCY_OBJECTIVE, "answers", "took longer than the objective of their rows")
            + f" The objectives: {_objectives_in_words(package)}.",
            meaning="Answers take longer than they did in the measurements of the package, with as many rows.",
            action="Compare the load with the safe load of a replica, and add replicas. If the load is normal, check "
            "whether the processors are throttled or shared.",
            expression=_burn_expression(package, burn, "slow", LATENCY_OBJECTIVE),
            for_duration=burn.for_duration,
        )
    yield Alert(
        name="ModelQueueLong",
        severity="warning",
        summary=f"requests wait longer than {duration(MAX_WAIT_SHARE * limit)}",
        when=f"1 of 20 requests waits longer than {duration(MAX_WAIT_SHARE * limit)}, for 5 minutes.",
        meaning=f"Requests wait for more than {percentage(MAX_WAIT_SHARE)} of their time limit. At 25 %, the service "
        "refuses requests.",
        action="Add replicas.",
        expression=f"job:model_queue_seconds:p95_5m{model} > {MAX_WAIT_SHARE * limit:g}",
        for_duration="5m",
    )


def _requests(package: PackageData) -> Iterator[Alert]:
    increase = f"increase(model_invalid_values_total[15m]) and on (job, instance) {replica_selector(package)}"
    values = f"sum by (job, field, code) ({increase})"
    yield Alert(
        name="ModelInvalidValues",
        severity="warning",
        summary="a caller sends invalid values: {{ $labels.field }}, {{ $labels.code }}",
        when=f"For 15 minutes, more than {percentage(MAX_INVALID_SHARE)} of the requests of the last 30 minutes, and "
        f"at least {MIN_FAILURES}, got 422. There is one alert for each field and code with more than "
        f"{percentage(MAX_INVALID_SHARE)} of the invalid values.",
        meaning="A calling program sends rows that the model does not accept, and gets no predictions for them.",
        action="Find the caller in the log of the gateway, and report the field and the code to its owner. The table "
        "of fields lists the expected values. The usual cause is a recent change of the caller.",
        expression=f"{values}\n"
        f"  / on (job) group_left () sum by (job) (\n    {values}\n  ) > {MAX_INVALID_SHARE}\n"
        f"  and on (job) {_ratio(package, '30m', '422')} > {MAX_INVALID_SHARE}\n"
        f"  and on (job) {_count(package, '30m', '422')} >= {MIN_FAILURES}",
        for_duration="15m",
    )


def _drift(package: PackageData) -> Iterator[Alert]:
    for drift in drift_metrics(package):
        severity, origin, meaning, action = _drift_text(drift.label, package)
        yield Alert(
            name=drift.alert,
            severity=severity,
            summary=f"the distribution of {{{{ $labels.about }}}} differs from that {origin}",
            when=f"For an hour, the distribution over the last day, with at least {drift.min_rows:,} rows, differs "
            f"from that {origin} more than on a normal day: the population stability index is above the threshold of "
            f"the {drift.label}, which a replay of the table gave. The version has answered for 23 hours at least.",
            meaning=meaning,
            action=action,
            expression=drift.alert_expression(package.manifest.name),
            for_duration="1h",
        )


def _drift_text(label: str, package: PackageData) -> tuple[Severity, str, str, str]:
    """Return the severity of a drift, the origin of the expected distribution, the meaning and the action."""
    severity, origin, meaning, action = _DRIFT[label]
    place, rows = origin_text.in_reference(package.evaluation), _reference_rows(package)
    return severity, origin.format(place=place), meaning.format(rows=rows), action


def _reference_rows(package: PackageData) -> str:
    return "of the reference rows" if package.evaluation.adoption else "that the model was trained on"


#: By the label of the metric: severity, origin of the expected distribution, meaning and action.
_DRIFT: Mapping[str, tuple[Severity, str, str, str]] = {
    "feature": (
        "info",
        "{place}",
        "The values that callers send in this field differ from those {rows}. Its predictions may be worse, without "
        "any error.",
        "Check in the dashboard which values are more or less frequent. If a caller changed a unit or a default, fix "
        "the caller. If reality changed, inform the owner of the model: it may need new training.",
    ),
    "output": (
        "warning",
        "on the test rows",
        "The predictions differ from those on the rows that the model was tested with. Whether they are wrong can be "
        "checked only when the true values are known.",
        "Check whether the distribution of a field has changed as well (ModelFeatureDrift), and inform the owner of "
        "the model, who can compare the predictions with the true values.",
    ),
}


def _capture(package: PackageData) -> Iterator[Alert]:
    increase = 'increase(model_captured_rows_total{state=~"dropped|lost"}[1h])'
    yield Alert(
        name="ModelCaptureIncomplete",
        severity="warning",
        summary="captured rows of {{ $labels.instance }} were {{ $labels.state }}",
        when="Captured rows of a replica were dropped, or lost with a killed worker, in the last hour. A replica that "
        "captures nothing never fires it.",
        meaning="Answers are not affected. Captured traffic lacks rows, so the monitor of the model has less evidence.",
        action="If rows were dropped, memory or the disk for captured traffic was full: check whether the traffic "
        "store can be reached and has free space, or capture a smaller share. If rows were lost, find out why the "
        "worker was killed (ModelWorkerEnded).",
        expression=f"sum by (job, instance, state) ({increase} and on (job, instance) {replica_selector(package)}) > 0",
        for_duration="1m",
    )


def _versions(package: PackageData) -> Iterator[Alert]:
    replicas, version = replica_selector(package), package.manifest.version
    yield Alert(
        name="ModelVersionsMixed",
        severity="warning",
        summary="replicas answer with different versions",
        when="Replicas of a job have answered with different versions for 30 minutes.",
        meaning="The answer to a request depends on the replica that answers it.",
        action="A rollout is incomplete: finish it, or roll it back.",
        expression=f"count by (job) (count by (job, version) ({replicas})) > 1",
        for_duration="30m",
    )
    yield Alert(
        name="ModelVersionOther",
        severity="info",
        summary=f"no replica answers with version {version}",
        when=f"For 30 minutes, all replicas of a job have answered with versions other than {version}.",
        meaning=f"These rules are for version {version}; their figures may not fit the version that answers.",
        action="Use the rules in the package of the version that answers.",
        expression=f"count by (job) ({replicas}) unless on (job) {replica_selector(package, version)}",
        for_duration="30m",
    )


def objectives(package: PackageData) -> list[Objective]:
    """Return the latency objectives that the buckets of /metrics can measure, by the rows of a request."""
    measurable = [each for each in package.sizing.objectives if each.rows in ROW_CLASSES]
    return [each for each in measurable if each.seconds <= SECONDS_BUCKETS[-1]]


def objective_bucket(objective: Objective) -> float:
    """Return the upper bound in seconds of the bucket that measures a latency objective."""
    return next(bound for bound in SECONDS_BUCKETS if bound >= objective.seconds)


def _objectives_in_words(package: PackageData) -> str:
    return ", ".join(
        f"{duration(objective_bucket(each))} for {'one row' if each.rows == 1 else f'up to {each.rows:,} rows'}"
        for each in objectives(package)
    )


def _burn_condition(burn: BurnRate, objective: float, what: str, fault: str) -> str:
    return (
        f"More than {percentage(burn.ratio(objective))} of the {what} of the last {burn.long}, and of the last "
        f"{burn.short}, {fault}, and at least {MIN_FAILURES} did. The objective of {percentage(objective)} allows "
        f"{percentage(1 - objective)} in {BUDGET_DAYS} days; at this rate, that is used up in "
        f"{BUDGET_DAYS / burn.rate:.0f} days."
    )


def _burn_expression(package: PackageData, burn: BurnRate, kind: Literal["failures", "slow"], objective: float) -> str:
    model, ratio = _model(package), burn.ratio(objective)
    count = {
        "failures": _count(package, burn.long, "5.."),
        "slow": f"{_WINDOWS[burn.long]} * job:model_slow:rate{burn.long}{model}",
    }
    return (
        f"job:model_{kind}:ratio{burn.long}{model} > {ratio:g}\n"
        f"  and on (job) job:model_{kind}:ratio{burn.short}{model} > {ratio:g}\n"
        f"  and on (job) {count[kind]} >= {MIN_FAILURES}"
    )


def _slow_rate(package: PackageData, window: str) -> str:
    """Return the rate of answers that take longer than the objective of their rows."""
    in_time = [f'rows="{each.rows}",le="{objective_bucket(each)!r}"' for each in objectives(package)]
    fast = " or ".join(_answer_rate("bucket", matchers, window) for matchers in in_time)
    return f"{_timed_rate(package, window)}\n- sum by (job) (({fast}) {_of_replicas(package)})"


def _slow_ratio(package: PackageData, window: str) -> str:
    return f"job:model_slow:rate{window}{_model(package)}\n  / on (job) {_timed_rate(package, window)}"


def _timed_rate(package: PackageData, window: str) -> str:
    """Return the rate of answers with an objective for their rows."""
    classes = "|".join(str(each.rows) for each in objectives(package))
    rate = _answer_rate("count", f'rows=~"{classes}"', window)
    return f"sum by (job) ({rate} {_of_replicas(package)})"


def _answer_rate(suffix: str, matchers: str, window: str) -> str:
    return f'rate(model_request_seconds_{suffix}{{route="/predict",status="2xx",{matchers}}}[{window}])'


def _of_replicas(package: PackageData) -> str:
    return f"and on (job, instance) {replica_selector(package)}"


def _ratio(package: PackageData, window: str, status: str) -> str:
    """Return the share of requests whose status matches a regular expression."""
    return f"{_rate(package, window, status)}\n  / {_rate(package, window)}"


def _count(package: PackageData, window: str, status: str | None = None) -> str:
    """Return the number of requests in a window."""
    return f"{_WINDOWS[window]} * {_rate(package, window, status)}"


def _rate(package: PackageData, window: str, status: str | None = None) -> str:
    return f"sum by (job) (job_status:model_requests:rate{window}{_model(package, status)})"


def _model(package: PackageData, status: str | None = None) -> str:
    """Return the selector of the series that the rules record for this model."""
    status_matcher = f",status=~{quoted(status)}" if status else ""
    return f"{{model={quoted(package.manifest.name)}{status_matcher}}}"


def replica_selector(package: PackageData, version: str | None = None) -> str:
    """Return the selector of the replicas that serve the model, in one version or in any."""
    version_matcher = f",version={quoted(version)}" if version else ""
    return f"model_info{{name={quoted(package.manifest.name)}{version_matcher}}}"
