"""The tables and examples of the integration guide."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.contract import origin_text
from model_deployer.contract.errors import PROBLEM_CODES, REQUEST_ERRORS, RequestError
from model_deployer.contract.features import Feature, NumberArray
from model_deployer.contract.metric_catalog import Task
from model_deployer.contract.number_format import count, milliseconds, minute, number, percent, seconds, size
from model_deployer.contract.outputs import Classification, VectorOutput
from model_deployer.contract.value_warnings import WARNING_CODES
from model_deployer.handoff.documents import origin
from model_deployer.handoff.documents.evaluation_text import MAX_LABELS
from model_deployer.handoff.documents.field_tables import treatment
from model_deployer.handoff.documents.model_card import latest_change
from model_deployer.handoff.documents.statements import statement
from model_deployer.monitoring.alerts import Alert
from model_deployer.package.measurements import MAX_OTHERS_SHARE, MAX_STEAL_SHARE, Latency, RelativeLatency
from model_deployer.package.package_data import OWN_ENDPOINTS, PackageData
from model_deployer.package.readme_commands import LOCAL
from model_deployer.package.samples import Sample
from model_deployer.package.sizing import memory_load
from model_deployer.serving.observability.metric_specs import GRAPH_METRIC_SPECS, PINNED_METRIC_SPECS
from model_deployer.writing.markdown import Markdown, code, code_block, join_list, markdown, table

#: A longer body of a request is written on several lines.
_MAX_BODY_CHARACTERS = 100


def other_endpoints(package: PackageData) -> Markdown:
    """Return a table of the endpoints for clients of other servers; empty if there are none."""
    endpoints = {f"{method} {path}": about for method, path, about in package.endpoints}
    rows = [[code(endpoint), about] for endpoint, about in endpoints.items() if endpoint not in OWN_ENDPOINTS]
    return table(["Endpoint", "What it does"], rows)


def fields(package: PackageData) -> Markdown:
    """Return a table of the fields of a row."""
    rows = [
        [
            code(feature.name),
            feature.description or "",
            feature.unit or "",
            json_type(feature),
            feature.expected(),
            "yes" if feature.required else "no",
            treatment(feature),
        ]
        for feature in package.contract.features
    ]
    head = ["Field", "Meaning", "Unit", "JSON type", "Value", "Required", "Missing or unusual values"]
    return table(head, rows)


def json_type(feature: Feature) -> str:
    """Return the JSON type of a value that is not null: number, integer, boolean or string."""
    schema = feature.value_schema()
    if isinstance(feature, NumberArray):
        while schema["type"] == "array":
            schema = schema["items"]
        return f"list of {'lists of ' * (len(feature.sizes) - 1)}{schema['type']}s"
    name: str = schema["type"]
    return name


def answer_fields(package: PackageData) -> Markdown:
    """Return a table of the keys of a prediction."""
    properties = package.contract.output.json_schema()["properties"]
    rows = [[code(name), _type(schema), schema["description"]] for name, schema in properties.items()]
    return table(["Key", "JSON type", "Meaning"], rows)


def _type(schema: dict[str, Any]) -> str:
    if schema["type"] == "array":
        return f"list of {schema['items']['type']}s"
    name: str = schema["type"]
    return {"object": "object of numbers"}.get(name, name)


def example(package: PackageData) -> Sample | None:
    """Return an ordinary request with its answer; None if the package has none."""
    return package.samples.golden[0] if package.samples.golden else None


def error_example(package: PackageData) -> Sample | None:
    """Return the shortest request with an invalid value in a field; None if the package has none."""
    samples = [sample for sample in package.samples.invalid if _has_field_error(sample)]
    return min(samples, key=lambda sample: len(json.dumps([sample.request, sample.answer])), default=None)


def _has_field_error(sample: Sample) -> bool:
    return sample.request is not None and any(error["field"] for error in sample.answer.get("errors", []))


def curl(sample: Sample) -> str:
    """Return the command that sends a request."""
    body = _json(sample.request)
    if len(body) > _MAX_BODY_CHARACTERS:
        body = json.dumps(sample.request, ensure_ascii=False, indent=2)
    body = shlex.quote(body)
    return f"curl -s {LOCAL}/predict -H 'Content-Type: application/json' \\\n  -d {body}"


def explain_answer(package: PackageData, sample: Sample) -> Markdown:
    """Return the meaning of the answer to an ordinary request, in words."""
    prediction, output = sample.answer["predictions"][0], package.contract.output
    if isinstance(output, VectorOutput):
        return _explain_values(prediction["values"], output)
    if not isinstance(output, Classification):
        value, *ends = (number(float(prediction[name])) for name in output.tensors)
        unit = f" {markdown(output.unit)}" if output.unit else ""
        interval = f", and its interval is {' to '.join(ends)}{unit}" if ends else ""
        return Markdown(f"In words: the predicted value is {value}{unit}{interval}.")
    decision = prediction["decision"]
    if output.positive:
        probability = percent(prediction["probabilities"][output.positive])
        bound = origin_text.from_threshold(percent(output.threshold or 0), package.evaluation)
        return Markdown(
            f"In words: the probability of {code(output.positive)} is {probability}. If it is {bound}, the decision is "
            f"{code(output.positive)}; here it is {code(decision)}."
        )
    probability = percent(prediction["probabilities"][decision])
    sentence = f"In words: {code(decision)} is the most probable label, with a probability of {probability}"
    if "set" not in prediction:
        return Markdown(f"{sentence}.")
    labels = [code(label) for label in prediction["set"]]
    noun = "label" if len(labels) == 1 else "labels"
    return Markdown(f"{sentence}; the {noun} to expect: {join_list(labels)}.")


def _explain_values(values: Any, output: VectorOutput) -> Markdown:
    if output.names is None:
        return Markdown(
            f"In words: the {output.length:,} numbers are one vector. Compare it with other vectors of the same "
            "version; a single number has no meaning."
        )
    shown = [
        Markdown(f"{code(name)} is {number(values[name])}{f' {markdown(unit)}' if unit else ''}")
        for name, unit in ((name, output.unit_of.get(name)) for name in output.names[:MAX_LABELS])
    ]
    return Markdown(f"In words: {join_list(shown)}.")


def change_of_answers(package: PackageData) -> str:
    """Return how the change of answers from version to version is measured, as a noun phrase."""
    return _CHANGES[package.contract.output.task]


#: By the kind of task.
_CHANGES: Mapping[Task, str] = {
    "classification": "the share of decisions that flip, or the mean change of a probability",
    **dict.fromkeys(
        ("regression", "count", "quantile"), "the mean change of a value, in standard deviations of the old ones"
    ),
    "multioutput_regression": (
        "the mean over the requests of the largest change of a value, in standard deviations of the old ones"
    ),
    "embedding": "the mean distance of a vector from the old one, in multiples of the spread of the old ones",
}


def columns_request(package: PackageData) -> Markdown:
    """Return a request with two rows as columns, one column per line."""
    row = package.contract.example()
    columns = (f"  {_json(name)}: {_json([value, value])}" for name, value in row.items())
    return code_block('{"columns": {\n' + ",\n".join(columns) + "\n}}", "json")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def error_table() -> Markdown:
    """Return a table of all errors, from their classes."""
    rows = [
        [
            str(error.status),
            code(error.code),
            error.title,
            Markdown(_first_line(error)),
            Markdown(error.remedy),
            "yes" if error.retry else "no",
        ]
        for error in _errors()
    ]
    return table(["Status", "Code", "Title", "Cause", "What to do", "Retry"], rows)


def retryable_errors() -> Markdown:
    """Return the errors after which the same request may be sent again, as a list in a sentence."""
    return join_list([Markdown(f"{error.status} {code(error.code)}") for error in _errors() if error.retry], "or")


def _errors() -> list[type[RequestError]]:
    return sorted(REQUEST_ERRORS, key=lambda error: (error.status, error.code))


def _first_line(error: type[RequestError]) -> str:
    assert error.__doc__
    return error.__doc__.strip().splitlines()[0]


def problem_codes() -> Markdown:
    """Return a table of the problems of a single value."""
    return table(["Code", "The value"], [[code(name), about] for name, about in PROBLEM_CODES.items()])


def warning_codes() -> Markdown:
    """Return a table of the warnings about a single value."""
    return table(["Code", "The value"], [[code(name), about] for name, about in WARNING_CODES.items()])


def metrics(package: PackageData) -> Markdown:
    """Return a table of the metrics of the service."""
    specs = PINNED_METRIC_SPECS if package.runner else GRAPH_METRIC_SPECS
    rows = [[code(spec.name), Markdown(", ".join(map(code, spec.labels))), spec.about] for spec in specs]
    return table(["Metric", "Labels", "Meaning"], rows)


def alerts(alerts: Sequence[Alert]) -> Markdown:
    """Return a table of the alerts, with instructions."""
    rows = [[code(alert.name), alert.severity, alert.when, alert.meaning, alert.action] for alert in alerts]
    return table(["Alert", "Severity", "Condition", "Meaning", "What to do first"], rows)


def machine(package: PackageData) -> str:
    """Return a sentence about the machine and the time of the measurements."""
    measured, host = package.measured, package.measured.machine
    parts = [
        host.processor,
        count(host.cores, "core"),
        f"{size(host.memory_bytes)} of memory" if host.memory_bytes else None,
        host.gpu,
        host.system,
        f"Python {host.python}",
    ]
    description = ", ".join(part for part in parts if part)
    return (
        f"Measured on {minute(measured.when)}: {description}; {count(measured.workers, 'worker')}, "
        f"engine {measured.engine}."
    )


def conditions(package: PackageData) -> str:
    """Return what else ran on the machine during the measurements; empty if that was not recorded."""
    measured = package.measured
    recorded = [step.conditions for step in measured.steps if step.conditions]
    if not recorded:
        return ""
    clients = max(each.client_cores for each in recorded)
    loads = [each.load_average for each in recorded if each.load_average is not None]
    average = f"; the load average before them was {_span(loads)}" if loads else ""
    megahertz = [round(each.megahertz) for each in recorded if each.megahertz is not None]
    frequency = f"; the cores ran at {_span(megahertz)} MHz" if megahertz else ""
    return (
        f"During the measurements, {measured.others}{average}{frequency}. The clients kept up to {clients:.2f} cores "
        "busy; they can use one."
    )


def _span(values: Sequence[float]) -> str:
    """Return the smallest and the largest of some numbers, or the number that they all are."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def busy(package: PackageData) -> str:
    """Return how many measurements were disturbed although they were repeated; empty if none was."""
    steps: list[Latency | RelativeLatency] = [*package.measured.steps, *package.measured.relative]
    disturbed = [step for step in steps if step.busy]
    if not disturbed:
        return ""
    return (
        f"The machine was busy during {len(disturbed)} of {count(len(steps), 'measurement')}, even after "
        f"{count(max(step.attempts for step in disturbed), 'attempt')} each: other processes used more than "
        f"{percent(MAX_OTHERS_SHARE)} of the cores, or other virtual machines more than {percent(MAX_STEAL_SHARE)}. "
        "The figures are those of the least disturbed attempts. A machine that runs nothing else is faster."
    )


def by_rows(package: PackageData) -> Markdown:
    """Return a table of the latency of one client by the number of rows per request."""
    rows = [
        [
            number(latency.rows),
            *_percentiles(latency),
            number(round(latency.rows * latency.requests_per_second)),
            *_counts(latency),
        ]
        for latency in package.measured.by_rows
    ]
    return table(["Rows per request", *_PERCENTILES, "Rows per second", "Requests", "Failed"], rows)


def by_load(package: PackageData) -> Markdown:
    """Return a table of the latency of one-row requests by the number of concurrent clients."""
    rows = [
        [
            number(latency.clients),
            *_percentiles(latency),
            number(round(latency.requests_per_second)),
            "" if latency.cores is None else f"{latency.cores:.2f}",
            "" if latency.conditions is None else f"{latency.conditions.client_cores:.2f}",
            *_counts(latency),
        ]
        for latency in package.measured.by_load
    ]
    rates = ["Requests per second", "Cores of the server", "Cores of the clients"]
    return table(["Concurrent clients", *_PERCENTILES, *rates, "Requests", "Failed"], rows)


def blocks(package: PackageData) -> str:
    """Return what the range of the blocks means; empty if it was not measured."""
    if all(step.p50_low is None for step in package.measured.steps):
        return ""
    return (
        "Each load was measured in short blocks, each with new connections. The range of their p50 shows how much it "
        "varies by itself: clients that wait for their answers fall into step, in one rhythm or another."
    )


def relative(package: PackageData) -> str:
    """Return the latencies as multiples of those of the reference server; empty if they were not measured."""
    loads = [
        f"{number(load.ratio)} times as long with {count(load.clients, 'client')} "
        f"({number(load.low)} to {number(load.high)})"
        for load in package.measured.relative
    ]
    if not loads:
        return ""
    return (
        "A reference server, which does the same work in every package, was measured in turn: an answer of the service "
        f"takes {join_list(loads)}. A verification measures these ratios again."
    )


#: The columns of the percentiles.
_PERCENTILES = ("p50", "p50 of blocks", "p95", "p99")


def _percentiles(latency: Latency) -> list[str]:
    ends = [milliseconds(end) for end in (latency.p50_low, latency.p50_high) if end is not None]
    return [milliseconds(latency.p50), " to ".join(ends), milliseconds(latency.p95), milliseconds(latency.p99)]


def _counts(latency: Latency) -> list[str]:
    return [number(latency.requests), number(latency.failures)]


def resources(package: PackageData) -> Markdown:
    """Return a table of the start time and the memory of the server."""
    measured = package.measured
    rows = [
        ("Start time until ready", seconds(measured.cold_start_seconds)),
        ("Memory when ready", size(measured.memory_ready_bytes) if measured.memory_ready_bytes else ""),
        (f"Memory, peak {memory_load(measured)}",
         size(measured.memory_loaded_bytes) if measured.memory_loaded_bytes else ""),
    ]  # fmt: skip
    return table(["Figure", "Measured"], [row for row in rows if row[1]])


def limits(package: PackageData) -> Markdown:
    """Return a table of the limits of one request."""
    limits = package.contract.limits
    rows = [
        ("Rows", number(limits.rows), "`too_many_rows`"),
        ("Size of the body, uncompressed", f"{limits.body_bytes:,} bytes ({size(limits.body_bytes)})",
         "`body_too_large`"),
        ("Time until the answer", seconds(limits.timeout_seconds), "`deadline_exceeded`"),
        ("Size of the headers", "64 KiB", "`headers_too_large`"),
    ]  # fmt: skip
    return table(["Limit", "Maximum", "Error"], [[name, maximum, Markdown(error)] for name, maximum, error in rows])


def clients(package: PackageData) -> Markdown:
    """Return a table of the clients in the package, with the commands that were run."""
    rows = [
        [
            client.language,
            Markdown(f"[{markdown(client.folder)}](../{client.folder}/)"),
            client.needs,
            client.ran_with or "",
            code(client.command),
        ]
        for client in package.clients
        if client.left_out is None
    ]
    return table(["Language", "Folder", "Written for", "Checked with", "Command of the check"], rows)


def clients_left_out(package: PackageData) -> Iterator[Markdown]:
    """Yield the languages without a client in the package, with the reason."""
    for client in package.clients:
        if client.left_out is not None:
            yield Markdown(f"{markdown(client.language)}: {markdown(client.left_out)}")


def service_difference(package: PackageData) -> str:
    """Return a sentence on the measured difference between the service and the graph; empty if not measured."""
    service = next((format_ for format_ in package.formats if format_.name == "service"), None)
    agreement = service and (service.test or service.golden)
    if not agreement:
        return ""
    rows = count(agreement.rows, "row")
    if not agreement.largest:
        return f"In {rows}, the service and the model alone gave the same numbers."
    return f"In {rows}, the service and the model alone differed by at most {agreement.largest:.2g}."


def service_level(package: PackageData) -> str:
    """Return a sentence on the load that the objectives hold for; it is not known if the machine was busy."""
    sizing = package.sizing
    about = "These are objectives to start with, not promises"
    if sizing.is_withheld:
        return (
            f"{about}. The load that a replica carries is not known, because the machine was busy when it was measured."
        )
    replica = count(round(sizing.safe_load), "one-row request")
    return (
        f"{about}: they follow from the measurements of one machine and hold for a load of up to {replica} per second "
        "and replica."
    )


def latency_objective(package: PackageData) -> Markdown:
    """Return the latency objectives by the number of rows as a sentence, or why none is stated."""
    objectives = package.sizing.objectives
    if not objectives:
        return Markdown(
            "none is stated, because the machine was busy during the [measurements](#latency-and-resources)."
        )
    times = [f"{milliseconds(1000 * each.seconds)} for {_up_to(each.rows)}" for each in objectives]
    return Markdown(f"99 of 100 requests are answered within {join_list(times)} ([sizing](#sizing) has the formulas).")


def _up_to(rows: int) -> str:
    return "one row" if rows == 1 else f"up to {rows:,} rows"


def owner_says(package: PackageData, name: str) -> Markdown:
    """Return the owner's statement on a subject, or a sentence that it was not made.

    Args:
        package: The data of the package.
        name: The name of an attribute of :class:`contract.card.CardStatements`.
    """
    value = statement(package, name)
    return (
        markdown(value)
        if value
        else Markdown(f"The owner of the model has not said more (`card.{name}` in model.yaml).")
    )


def rollback_losses(package: PackageData) -> Iterator[Markdown]:
    """Yield what a rollback to the previous version undoes."""
    change = latest_change(package)
    if change is None:
        return
    for item in change["contract"]:
        field = f"{code(item['field'])} " if item["field"] else ""
        yield Markdown(f"{field}{markdown(item['message'])}: this no longer holds after a rollback.")
    if not change["contract"]:
        yield Markdown("Fields, answers and limits are the same in both versions: no caller has to change.")
    if change["behaviour"]:
        yield Markdown(f"Answers change back. When this version came, {markdown(change['behaviour']['sentence'])}.")


def retraining(package: PackageData) -> Iterator[Markdown]:
    """Yield the signs that the model should be trained again."""
    if package.reference:
        place = origin_text.in_reference(package.evaluation)
        yield Markdown(
            f"Live values differ from those {place}: the [alerts](#alerts) on drift compare the bins of "
            "`model_feature_values_total` and `model_predictions_total`."
        )
    if gates := package.evaluation.gates:
        requirements = join_list([Markdown(f"{code(gate.name)} {markdown(gate.asked)}") for gate in gates])
        yield Markdown(
            f"On new rows with known true values, the model no longer meets {origin.requirements(package)}: "
            f"{requirements}."
        )
