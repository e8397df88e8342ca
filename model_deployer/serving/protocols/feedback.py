"""``POST /feedback``: what really happened, by the id of a request and its row, or by the caller's own id of a row."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from model_deployer.contract import errors
from model_deployer.contract.errors import (
    InvalidRows,
    MalformedBody,
    RequestError,
    TooManyRows,
)
from model_deployer.contract.labels import label_records
from model_deployer.contract.outputs import Classification, Output
from model_deployer.serving.capture.capture import Capture
from model_deployer.serving.http import problem_details
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi, schemas
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route, problem_reply

#: The route.
FEEDBACK_PATH = "/feedback"

#: The maximum number of labels in a request.
_MAX_LABELS = 10_000

#: The maximum number of problems that are listed.
_MAX_PROBLEMS = 100


class Feedback(Protocol):
    """Takes labels for captured rows. They are on the disk before the response.

    Args:
        predictor: The predictor of the model.
        capture: Stores the labels.
    """

    name = "native"
    error_media_type = problem_details.MEDIA_TYPE

    def __init__(self, predictor: Predictor, capture: Capture) -> None:
        super().__init__(predictor)
        self._capture = capture
        self._output = predictor.artifact.contract.output

    @property
    @override
    def routes(self) -> Sequence[Route]:
        return [Route(FEEDBACK_PATH, self._store, {"post": _operation(self._output)})]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        return problem_reply(error, request_id)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {"FeedbackError": problem_details.json_schema()}

    async def _store(self, request: Request) -> Reply:
        labels = read_labels(request.body, self._output)
        await asyncio.to_thread(self._capture.add_labels, labels)
        return Reply(msgspec.json.encode({"accepted": len(labels)}), 202)


def read_labels(body: bytes, output: Output) -> list[dict[str, Any]]:
    """Return the labels of a body, with the columns of the table ``labels``.

    Raises:
        MalformedBody: if the body is not ``{"labels": [...]}``.
        TooManyRows: if there are more than 10,000.
        InvalidRows: if a label cannot be used; none of them counts then.
    """
    document = bodies.document(body)
    entries = document.get("labels")
    if not isinstance(entries, list) or not entries or document.keys() != {"labels"}:
        raise MalformedBody('expected `{"labels": [{"request_id": ..., "row": 0, "label": ...}, ...]}`')
    if len(entries) > _MAX_LABELS:
        raise TooManyRows(f"{len(entries):,} labels; send at most {_MAX_LABELS:,} in one request")
    labels, problems = label_records(entries, output, time.time())
    if problems:
        raise InvalidRows(problems[:_MAX_PROBLEMS], len(problems))
    return labels


def _operation(output: Output) -> dict[str, Any]:
    label = (
        {"type": "string", "enum": list(output.labels)} if isinstance(output, Classification) else {"type": "number"}
    )
    entry = {
        "type": "object",
        "required": ["label"],
        "additionalProperties": False,
        "properties": {
            "request_id": {"type": "string", "description": "The X-Request-ID of the response with the prediction."},
            "row": {
                "type": "integer",
                "minimum": 0,
                "description": "The index of the row in that request; 0 by default.",
            },
            "row_id": {"type": ["string", "integer"], "description": "Instead of both: your own id of the row."},
            "label": label | {"description": "What really happened. A later label for the same row replaces it."},
            "time": {"type": "string", "format": "date-time", "description": "When it came to be known."},
        },
    }
    labels = {"type": "array", "minItems": 1, "maxItems": _MAX_LABELS, "items": entry}
    summary = "Report what really happened, for captured rows"
    accepted = bodies.record({"accepted": {"type": "integer"}})
    problem = {problem_details.MEDIA_TYPE: {"schema": schemas.reference("Problem")}}
    refusals: tuple[type[RequestError], ...] = (
        *openapi.CONNECTION_ERRORS,
        MalformedBody,
        TooManyRows,
        InvalidRows,
        errors.Unavailable,
    )
    return {
        "operationId": "feedback",
        "summary": summary,
        "tags": ["native"],
        "requestBody": bodies.request(bodies.record({"labels": labels})),
        "responses": {"202": {"description": "They are stored.", "content": {"application/json": {"schema": accepted}}}}
        | {str(refusal.status): {"description": refusal.title, "content": problem} for refusal in refusals},
    }
