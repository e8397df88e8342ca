"""What the integration guide says in tables, from the facts of a package."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from model_deployer.contract.errors import PROBLEM_CODES, REQUEST_ERRORS, RequestError
from model_deployer.contract.features import Feature
from model_deployer.contract.number_format import count, milliseconds, minute, number, percent, seconds, size
from model_deployer.contract.outputs import Classification
from model_deployer.handoff.documents.field_tables import treatment
from model_deployer.monitoring.alerts import Alert
from model_deployer.package.measurements import Latency
from model_deployer.package.package_data import PackageData
from model_deployer.package.readme_commands import LOCAL
from model_deployer.package.samples import Sample
from model_deployer.serving.observability.metric_specs import METRIC_SPECS
from model_deployer.writing.markdown import Markdown, block, code, listed, markdown, table

#: The service's own endpoints, which the guide describes in full.
_OWN = frozenset({"POST /predict", "GET /", "GET /model", "GET /livez", "GET /readyz", "GET /metrics"})


def other_endpoints(facts: PackageData) -> Markdown:
    """The routes by which clients of other servers ask; nothing where the service speaks no other protocol."""
    endpoints = {f"{method} {path}": about for method, path, about in facts.endpoints}
    others = [[code(endpoint), about] for endpoint, about in endpoints.items() if endpoint not in _OWN]
    return table(["Endpoint", "What it does"], others)


def fields(facts: PackageData) -> Markdown:
    """Every field of a row."""
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
        for feature in facts.contract.features
    ]
    head = ["Field", "Meaning", "Unit", "JSON type", "Value", "Required", "Missing or odd values"]
    return table(head, rows)


def json_type(feature: Feature) -> str:
    """The type of a value that is present: number, integer, boolean or string."""
    found: str = feature.value_schema()["type"]
    return found


def answer_fields(facts: PackageData) -> Markdown:
    """What an answer holds for each row."""
    properties = facts.contract.output.json_schema()["properties"]
    rows = [[code(name), _type(schema), schema["description"]] for name, schema in properties.items()]
    return table(["Key", "JSON type", "What it is"], rows)


def _type(schema: dict[str, Any]) -> str:
    found: str = schema["type"]
    return {"array": "list of strings", "object": "object of numbers"}.get(found, found)


def example(facts: PackageData) -> Sample | None:
    """An ordinary request and its answer."""
    return facts.samples.golden[0] if facts.samples.golden else None


def refusal(facts: PackageData) -> Sample | None:
    """A request with a wrong value in a field, and the answer: the shortest one."""
    refused = [each for each in facts.samples.invalid if _has_wrong_field(each)]
    return min(refused, key=lambda each: len(json.dumps([each.request, each.answer])), default=None)


def _has_wrong_field(sample: Sample) -> bool:
    return sample.request is not None and any(error["field"] for error in sample.answer.get("errors", []))


def curl(sample: Sample) -> str:
    """The command that sends a request."""
    body = shlex.quote(_json(sample.request))
    return f"curl -s {LOCAL}/predict -H 'Content-Type: application/json' \\\n  -d {body}"


def reading(facts: PackageData, sample: Sample) -> Markdown:
    """What the answer to an ordinary request says, in words."""
    found, output = sample.answer["predictions"][0], facts.contract.output
    if isinstance(output, Classification):
        decision = found["decision"]
        likely = f"{code(decision)} has a probability of {percent(found['probabilities'][decision])}"
        if output.positive:
            chance = percent(found["probabilities"][output.positive])
            return Markdown(
                f"In words: {code(output.positive)} has a probability of {chance}; from "
                f"{percent(output.threshold or 0)} on the decision is {code(output.positive)}, so here it is "
                f"{code(decision)}."
            )
        if "set" not in found:
            return Markdown(f"In words: {likely}, more than any other label.")
        inside = listed([code(label) for label in found["set"]])
        only = "only that one is" if len(found["set"]) == 1 else f"{inside} are"
        return Markdown(f"In words: {likely}, more than any other label; {only} to be expected.")
    value, lower, upper = (number(float(found[name])) for name in ("value", "lower", "upper"))
    unit = f" {markdown(output.unit)}" if output.unit else ""
    return Markdown(
        f"In words: the answer is {value}{unit}. The truth lies inside its interval in {percent(output.coverage)} of "
        f"all cases; here it reaches from {lower} to {upper}{unit}."
    )


def columns_request(facts: PackageData) -> Markdown:
    """Two rows as columns, a column a line."""
    row = facts.contract.example()
    columns = (f"  {_json(name)}: {_json([value, value])}" for name, value in row.items())
    return block('{"columns": {\n' + ",\n".join(columns) + "\n}}", "json")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def refusals() -> Markdown:
    """The catalogue of errors, from their classes."""
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


def retried() -> Markdown:
    """The errors after which the same request may be sent again."""
    return listed([Markdown(f"{error.status} {code(error.code)}") for error in _errors() if error.retry])


def _errors() -> list[type[RequestError]]:
    return sorted(REQUEST_ERRORS, key=lambda error: (error.status, error.code))


def _first_line(error: type[RequestError]) -> str:
    assert error.__doc__
    return error.__doc__.strip().splitlines()[0]


def problem_codes() -> Markdown:
    """What may be wrong with one value."""
    return table(["Code", "The value"], [[code(name), about] for name, about in PROBLEM_CODES.items()])


def metrics() -> Markdown:
    """What the service counts."""
    rows = [[code(meter.name), Markdown(", ".join(map(code, meter.labels))), meter.about] for meter in METRIC_SPECS]
    return table(["Metric", "Labels", "What it says"], rows)


def alerts(found: Sequence[Alert]) -> Markdown:
    """What wakes somebody, and what to do then."""
    rows = [[code(alert.name), alert.severity, alert.when, alert.meaning, alert.action] for alert in found]
    return table(["Alert", "Severity", "When", "What it means", "What to do first"], rows)


def machine(facts: PackageData) -> str:
    """What was measured where, in a sentence."""
    measured, found = facts.measured, facts.measured.machine
    parts = [
        found.processor,
        count(found.cores, "core"),
        f"{size(found.memory_bytes)} of memory" if found.memory_bytes else None,
        found.gpu,
        found.system,
        f"Python {found.python}",
    ]
    where = ", ".join(part for part in parts if part)
    return (
        f"Measured on {minute(measured.when)}: {where}; {count(measured.workers, 'worker')}, engine {measured.engine}."
    )


def by_rows(facts: PackageData) -> Markdown:
    """Latency of one client by the rows of a request."""
    rows = [
        [number(one.rows), *_percentiles(one), number(round(one.rows * one.requests_per_second)), *_counts(one)]
        for one in facts.measured.by_rows
    ]
    return table(["Rows a request", "p50", "p95", "p99", "Rows a second", "Requests", "Failed"], rows)


def by_load(facts: PackageData) -> Markdown:
    """Latency of requests of one row by the clients at once."""
    rows = [
        [number(one.clients), *_percentiles(one), number(round(one.requests_per_second)), *_counts(one)]
        for one in facts.measured.by_load
    ]
    return table(["Clients at once", "p50", "p95", "p99", "Requests a second", "Requests", "Failed"], rows)


def _percentiles(one: Latency) -> list[str]:
    return [milliseconds(percentile) for percentile in (one.p50, one.p95, one.p99)]


def _counts(one: Latency) -> list[str]:
    return [number(one.requests), number(one.failures)]


def resources(facts: PackageData) -> Markdown:
    """What the server takes of a machine."""
    measured = facts.measured
    rows = [
        ("Start until ready", seconds(measured.cold_start_seconds)),
        ("Memory when ready", size(measured.memory_ready_bytes) if measured.memory_ready_bytes else ""),
        ("Memory under load, at most", size(measured.memory_loaded_bytes) if measured.memory_loaded_bytes else ""),
    ]
    return table(["What", "Measured"], [row for row in rows if row[1]])


def limits(facts: PackageData) -> Markdown:
    """The limits of one request."""
    found = facts.contract.limits
    rows = [
        ("Rows", number(found.rows), "`too_many_rows`"),
        ("Bytes of the body, unpacked", f"{found.body_bytes:,} ({size(found.body_bytes)})", "`body_too_large`"),
        ("Time until the answer", seconds(found.timeout_seconds), "`deadline_exceeded`"),
        ("Headers", "64 KiB", "`headers_too_large`"),
    ]
    return table(["What", "At most", "Else"], [[what, most, Markdown(other)] for what, most, other in rows])


def clients(facts: PackageData) -> Markdown:
    """The clients of the package, and what was run of each."""
    rows = [
        [
            client.language,
            Markdown(f"[{markdown(client.folder)}](../{client.folder}/)"),
            client.needs,
            code(client.command),
        ]
        for client in facts.clients
        if client.left_out is None
    ]
    return table(["Language", "Folder", "Needs", "Was run"], rows)


def clients_left_out(facts: PackageData) -> Iterator[Markdown]:
    """Languages that the package has no client for, and why."""
    for client in facts.clients:
        if client.left_out is not None:
            yield Markdown(f"{markdown(client.language)}: {markdown(client.left_out)}")


def retraining(facts: PackageData) -> Iterator[Markdown]:
    """What says that the model should learn again."""
    if facts.reference:
        yield Markdown(
            "Live values move away from those of training: the [alerts](#alerts) on drift compare them in the bins of "
            "`model_feature_values_total` and `model_predictions_total`."
        )
    if gates := facts.evaluation.gates:
        asked = listed([Markdown(f"{code(gate.name)} {markdown(gate.asked)}") for gate in gates])
        yield Markdown(
            f"Measured on rows whose truth has become known, it no longer meets what was asked of it: {asked}."
        )
