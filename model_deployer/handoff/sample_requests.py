"""The requests of examples/sample_requests.json: sent to a live server, which has to answer or refuse each."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from model_deployer.contract.artifact import Artifact, Golden
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Integer, Numeric, Text
from model_deployer.package.samples import Sample, Samples, send_sample
from model_deployer.system.http_client import connect


def ask(url: str, artifact: Artifact) -> Samples:
    """Send every golden row and every sort of wrong request to a server of the model, and keep what it answers.

    Raises:
        CheckFailed: A golden row is answered otherwise than expected, or a wrong request is not refused.
    """
    manifest = artifact.manifest
    with connect(url) as client:
        answered = [(case, _sent(client, case.case, {"rows": [case.row]})) for case in artifact.golden()]
        invalid = [_sent(client, **wrong) for wrong in wrong_requests(artifact.contract)]
    for case, sample in answered:
        if sample.status != httpx.codes.OK or not _agrees(artifact, case, sample):
            raise CheckFailed(f"the server answers the golden request '{case.case}' otherwise than the model does")
    for sample in invalid:
        if not 400 <= sample.status < 500:
            raise CheckFailed(f"the server does not refuse '{sample.case}': it answers {sample.status}")
    ordinary = [sample for case, sample in answered if _is_ordinary(case)]
    edge = [sample for case, sample in answered if not _is_ordinary(case)]
    return Samples(
        model={"name": manifest.name, "version": manifest.version},
        tolerance=manifest.tolerance,
        golden=tuple(ordinary),
        edge=tuple(edge),
        invalid=tuple(invalid),
    )


def _sent(client: httpx.Client, case: str, request: Any = None, **said: Any) -> Sample:
    sample = Sample(case=case, request=request, status=0, answer={}, **said)
    status, answer = send_sample(client, sample)
    return sample.model_copy(update={"status": status, "answer": answer})


def _is_ordinary(case: Golden) -> bool:
    return case.case == "example" or case.case.startswith("test row")


def _agrees(artifact: Artifact, case: Golden, sample: Sample) -> bool:
    (found,) = sample.answer["predictions"]
    return artifact.contract.output.agree(case.prediction, found, artifact.manifest.tolerance)


def wrong_requests(contract: Contract) -> Iterator[dict[str, Any]]:
    """One request of each sort that a server refuses, as the arguments of a :class:`Sample`."""
    row = contract.example()
    yield {"case": "no JSON", "body": '{"rows": ['}
    yield {"case": "no rows", "request": {"rows": []}}
    yield {"case": "rows that are no objects", "request": {"rows": [[1, 2, 3]]}}
    yield {"case": "another media type", "body": "a,b", "headers": {"Content-Type": "text/csv"}}
    yield {
        "case": "a timeout that is no number",
        "request": {"rows": [row]},
        "headers": {"X-Request-Timeout-Ms": "soon"},
    }
    unknown = next(name for name in _names() if name not in contract.names)
    yield {"case": "a field that the model does not have", "request": {"rows": [row | {unknown: 1}]}}
    seen: set[str] = set()
    for feature in contract.features:
        for what, change in _wrongs(feature):
            if what not in seen:
                seen.add(what)
                changed = change(row)
                yield {"case": f"{what}: {feature.name}", "request": {"rows": [changed]}}
    yield {"case": "a right row and a wrong one", "request": {"rows": [row, row | {unknown: 1}]}}


def _names() -> Iterator[str]:
    """Names, one of which no model has."""
    yield "no_such_field"
    for number in itertools.count():
        yield f"no_such_field_{number}"


Row = dict[str, Any]


def _wrongs(feature: Feature) -> Iterator[tuple[str, Callable[[Row], Row]]]:
    """What may be wrong with a field, and how a row with it is made of a right one."""

    def put(value: Any) -> Callable[[Row], Row]:
        return lambda row: row | {feature.name: value}

    if feature.required:
        yield "a required field is missing", lambda row: {name: row[name] for name in row if name != feature.name}
    if not feature.nullable:
        yield "null where it is refused", put(None)
    match feature:
        case Numeric() | Integer():
            yield "text for a number", put("many")
            if feature.out_of_range == "reject" and feature.maximum is not None:
                yield "a number beyond its range", put(feature.maximum + 1)
    match feature:
        case Integer():
            yield "decimals for a whole number", put((feature.minimum or 0) + 0.5)
        case Boolean():
            yield "text for true or false", put("yes")
        case Categorical() | Text():
            yield "a number for text", put(7)
            if isinstance(feature, Categorical) and feature.unknown == "reject":
                yield "an unknown category", put("a category never seen")
            if isinstance(feature, Categorical) and feature.unknown == "accept":
                yield "an empty category", put("")
            if isinstance(feature, Text):
                yield "a text that is too long", put("x" * (feature.longest + 1))
        case Datetime():
            yield "no time", put("yesterday")
            yield "a time of the wrong sort", put("2024-01-31T12:00:00" + ("" if feature.zoned else "Z"))
