"""The requests of examples/sample_requests.json: sent to a running server, which must answer or refuse each."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np

from model_deployer.contract.artifact import Artifact, Golden
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    NumberList,
    Numeric,
    Text,
)
from model_deployer.package.samples import Sample, Samples, send_sample
from model_deployer.system.http_client import connect


def collect_samples(url: str, artifact: Artifact) -> Samples:
    """Send every golden row and every kind of wrong request to a server of the model, and return the answers.

    Raises:
        CheckFailed: If the answer to a golden row is not the expected one, or a wrong request is not refused.
    """
    manifest = artifact.manifest
    with connect(url) as client:
        answered = [(case, _send(client, case.case, {"rows": [case.row]})) for case in artifact.golden()]
        invalid = [_send(client, **request) for request in wrong_requests(artifact.contract)]
    for case, sample in answered:
        if sample.status != httpx.codes.OK or not _agrees(artifact, case, sample):
            raise CheckFailed(f"the server's answer to the golden request '{case.case}' differs from the model's")
    for sample in invalid:
        if not 400 <= sample.status < 500:
            raise CheckFailed(f"the server does not refuse '{sample.case}': it answers with {sample.status}")
    ordinary = [sample for case, sample in answered if _is_ordinary(case)]
    edge = [sample for case, sample in answered if not _is_ordinary(case)]
    return Samples(
        model={"name": manifest.name, "version": manifest.version},
        tolerance=manifest.tolerance,
        golden=tuple(ordinary),
        edge=tuple(edge),
        invalid=tuple(invalid),
    )


def _send(client: httpx.Client, case: str, request: Any = None, **fields: Any) -> Sample:
    sample = Sample(case=case, request=request, status=0, answer={}, **fields)
    status, answer = send_sample(client, sample)
    return sample.model_copy(update={"status": status, "answer": answer})


def _is_ordinary(case: Golden) -> bool:
    return case.case == "example" or case.case.startswith("test row")


def _agrees(artifact: Artifact, case: Golden, sample: Sample) -> bool:
    (prediction,) = sample.answer["predictions"]
    return artifact.contract.output.agree(case.prediction, prediction, artifact.manifest.tolerance)


def wrong_requests(contract: Contract) -> Iterator[dict[str, Any]]:
    """Yield one request of each kind that a server refuses, as the arguments of a :class:`Sample`."""
    row = contract.example()
    yield {"case": "invalid JSON", "body": '{"rows": ['}
    yield {"case": "no rows", "request": {"rows": []}}
    yield {"case": "rows that are not objects", "request": {"rows": [[1, 2, 3]]}}
    yield {"case": "an unsupported media type", "body": "a,b", "headers": {"Content-Type": "text/csv"}}
    yield {
        "case": "a timeout that is not a number",
        "request": {"rows": [row]},
        "headers": {"X-Request-Timeout-Ms": "soon"},
    }
    unknown = next(name for name in _unknown_names() if name not in contract.names)
    yield {"case": "a field that the model does not have", "request": {"rows": [row | {unknown: 1}]}}
    seen: set[str] = set()
    for feature in contract.features:
        for fault, change in _faults(feature):
            if fault not in seen:
                seen.add(fault)
                yield {"case": f"{fault}: {feature.name}", "request": {"rows": [change(row)]}}
    yield {"case": "a valid row and an invalid one", "request": {"rows": [row, row | {unknown: 1}]}}


def _unknown_names() -> Iterator[str]:
    """Yield names until one is not a field of the model."""
    yield "no_such_field"
    for number in itertools.count():
        yield f"no_such_field_{number}"


Row = dict[str, Any]


def _faults(feature: Feature) -> Iterator[tuple[str, Callable[[Row], Row]]]:
    """Yield the possible faults of a field, each with a function that puts the fault into a valid row."""

    def put(value: Any) -> Callable[[Row], Row]:
        return lambda row: row | {feature.name: value}

    if feature.required:
        yield "a required field is missing", lambda row: {name: row[name] for name in row if name != feature.name}
    if not feature.nullable:
        yield "null in a field that does not accept it", put(None)
    match feature:
        case Numeric() | Integer():
            yield "text instead of a number", put("many")
            if feature.out_of_range == "reject" and feature.maximum is not None:
                yield "a number outside its range", put(feature.maximum + 1)
    match feature:
        case Integer():
            yield "decimals instead of a whole number", put((feature.minimum or 0) + 0.5)
        case Boolean():
            yield "text instead of true or false", put("yes")
        case Categorical() | Text():
            yield "a number instead of text", put(7)
            if isinstance(feature, Categorical) and feature.unknown == "reject":
                yield "an unknown category", put("a category never seen")
            if isinstance(feature, Categorical) and feature.unknown == "accept":
                yield "an empty category", put("")
            if isinstance(feature, Text):
                yield "a text that is too long", put("x" * (feature.longest + 1))
        case Image() | NumberArray():
            yield from ((fault, put(value)) for fault, value in _wrong_arrays(feature))
        case Datetime():
            yield "text that is not a time", put("yesterday")
            wrong_zone = "" if feature.zoned else "Z"
            yield "a time with a missing or unexpected time zone", put(f"2024-01-31T12:00:00{wrong_zone}")


def _wrong_arrays(feature: Image | NumberArray) -> Iterator[tuple[str, Any]]:
    """Yield the possible faults of an image, a list of numbers or a tensor, each with a value that has it."""
    if isinstance(feature, Image):
        yield "text instead of an image", "bm8gaW1hZ2U="
        yield "an image that is not in base64", "no image"
        yield "a number instead of an image", 7
        return
    number = feature.minimum or 0
    if not isinstance(feature, NumberList):
        yield from _wrong_tensors(feature, number)
        return
    shortest, longest = feature.lengths
    yield "a list with too few numbers", [number] * (shortest - 1)
    yield "a list with too many numbers", [number] * (longest + 1)
    yield "null in a list", [*[number] * (shortest - 1), None]
    yield "text instead of a list", "many"


def _wrong_tensors(feature: NumberArray, number: float) -> Iterator[tuple[str, Any]]:
    """Yield the possible faults of a tensor, each with a value that has it; the values are as small as possible."""
    lowest = [low for low, _ in feature.sizes]
    wider = ([*lowest[:axis], high + 1, *lowest[axis + 1 :]] for axis, (_, high) in enumerate(feature.sizes))
    yield "nested lists with too many numbers", np.full(min(wider, key=math.prod), number).tolist()
    yield "a single list instead of nested lists", [number] * lowest[-1]
    with_null = np.full(lowest, number, object)
    with_null[(-1,) * len(lowest)] = None
    yield "null in nested lists", with_null.tolist()
    low, high = feature.sizes[0]
    if high > 1:
        uneven = np.full([max(2, low), *lowest[1:]], number).tolist()
        uneven[-1] = uneven[-1][:-1]
        yield "nested lists of different lengths", uneven
    yield "text instead of nested lists", "many"
