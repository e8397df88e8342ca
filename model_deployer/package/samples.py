"""examples/sample_requests.json: requests with the answers that the live server gave to them."""

import json
import math
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict


class Sample(BaseModel):
    """A request to ``POST /predict`` and its answer.

    Attributes:
        case: What it stands for, in a few words.
        request: The JSON document to send; None where ``body`` stands for it.
        body: The exact text to send, where that is no JSON document.
        headers: What to send beside ``Content-Type: application/json``.
        status: The status that was answered.
        answer: The document that was answered; of a refusal without its ``request_id``, which is another each time.
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
        tolerance: How far a number may differ from machine to machine: this much, or 1e-5 of itself.
        golden: Ordinary requests.
        edge: Requests at the edges of what the contract accepts.
        invalid: Requests that are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: dict[str, str]
    tolerance: float
    golden: tuple[Sample, ...]
    edge: tuple[Sample, ...]
    invalid: tuple[Sample, ...]


def answers_match(expected: Any, found: Any, tolerance: float) -> bool:
    """Whether two answers are the same, numbers within the tolerance or 1e-5 of their size."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(
            answers_match(each, found[key], tolerance) for key, each in expected.items()
        )
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(
            answers_match(one, other, tolerance) for one, other in zip(expected, found, strict=True)
        )
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=1e-5, abs_tol=tolerance)
    return bool(expected == found)


def send_sample(client: httpx.Client, sample: Sample) -> tuple[int, dict[str, Any]]:
    """Send a sample's request once more: the status and the document that are answered."""
    body = json.dumps(sample.request, ensure_ascii=False) if sample.body is None else sample.body
    headers = {"Content-Type": "application/json"} | sample.headers
    response = client.post("/predict", content=body.encode(), headers=headers)
    answer = response.json()
    answer.pop("request_id", None)
    return response.status_code, answer
