"""examples/sample_requests.json: requests with the answers of the running server."""

import json
import math
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict


class Sample(BaseModel):
    """A request to ``POST /predict`` and its answer.

    Attributes:
        case: What the request shows, in a few words.
        request: The JSON document to send; None if ``body`` is set.
        body: The exact text to send, if the body is not a JSON document.
        headers: Headers to send in addition to ``Content-Type: application/json``.
        status: The HTTP status of the answer.
        answer: The JSON document of the answer; an error comes without its ``request_id``, which differs each time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    request: Any = None
    body: str | None = None
    headers: dict[str, str] = {}
    status: int
    answer: dict[str, Any]


class Samples(BaseModel):
    """The content of sample_requests.json.

    Attributes:
        model: ``name`` and ``version``.
        tolerance: How far a number may differ between two machines: by this much, or by 1e-5 of its size.
        golden: Ordinary requests.
        edge: Requests at the limits of what the contract accepts.
        invalid: Requests that the server refuses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: dict[str, str]
    tolerance: float
    golden: tuple[Sample, ...]
    edge: tuple[Sample, ...]
    invalid: tuple[Sample, ...]


def answers_match(expected: Any, actual: Any, tolerance: float) -> bool:
    """Return whether two JSON documents are equal, with numbers within the tolerance or 1e-5 of their size."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(
            answers_match(value, actual[key], tolerance) for key, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(
            answers_match(*pair, tolerance) for pair in zip(expected, actual, strict=True)
        )
    if isinstance(expected, float) and isinstance(actual, int | float):
        return math.isclose(expected, actual, rel_tol=1e-5, abs_tol=tolerance)
    return bool(expected == actual)


def send_sample(client: httpx.Client, sample: Sample) -> tuple[int, dict[str, Any]]:
    """Send a sample's request again, and return the status and the JSON document of the answer."""
    body = json.dumps(sample.request, ensure_ascii=False) if sample.body is None else sample.body
    headers = {"Content-Type": "application/json"} | sample.headers
    response = client.post("/predict", content=body.encode(), headers=headers)
    answer = response.json()
    answer.pop("request_id", None)
    return response.status_code, answer
