"""``POST /feedback``: what really happened, by the id of a request and its row, or by the caller's own id of a row."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from typing_extensions import override

from model_deployer.contract import errors
from model_deployer.contract.errors import (
    InvalidRows,
    MalformedBody,
    Problem,
    ProblemCode,
    RequestError,
    TooManyRows,
)
from model_deployer.contract.outputs import Classification, Output
from model_deployer.serving.capture.capture import Capture
from model_deployer.serving.http import problem_details
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi, schemas
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route

#: The route.
FEEDBACK_PATH = "/feedback"

#: The maximum number of labels in a request, and of characters of an id.
_MAX_LABELS, _MAX_ID_CHARACTERS = 10_000, 200

#: The maximum number of problems that are listed.
_MAX_PROBLEMS = 100

#: The fields of a label.
_FIELDS = frozenset({"request_id", "row", "row_id", "label", "time"})


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
        body = problem_details.encode_problem(error, request_id)
        return Reply(body, error.status, problem_details.MEDIA_TYPE.encode())

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
    received = time.time()
    labels: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, entry in enumerate(entries):
        reader = _LabelReader(index, entry, output)
        labels.append(reader.label(received))
        problems += reader.problems
    if problems:
        raise InvalidRows(problems[:_MAX_PROBLEMS], len(problems))
    return labels


class _LabelReader:
    """Reads one label and collects its problems."""

    def __init__(self, index: int, entry: Any, output: Output) -> None:
        self._index = index
        self._entry: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        self._output = output
        self.problems: list[Problem] = []
        if not isinstance(entry, dict):
            self._problem(None, "wrong_type", "expected an object with `label` and `request_id` or `row_id`")
        elif entry.keys() - _FIELDS:
            self._problem(None, "unknown_field", f"expected only the fields {', '.join(sorted(_FIELDS))}")

    def label(self, received: float) -> dict[str, Any]:
        """Return the label; it counts only if there are no problems."""
        request_id, row_id = self._id("request_id"), self._id("row_id")
        if (request_id is None) == (row_id is None) and not self.problems:
            self._problem(
                "request_id",
                "missing_field",
                "expected either `request_id`, the X-Request-ID of the response, or `row_id`, your own id of the row",
            )
        row = self._row() if request_id is not None else None
        label, known = self._label(), self._time()
        return {
            "request_id": request_id,
            "row": row,
            "row_id": row_id,
            "label": label,
            "time": known,
            "received": received,
        }

    def _id(self, name: str) -> str | None:
        value = self._entry.get(name)
        if name == "row_id" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is None or (isinstance(value, str) and 0 < len(value) <= _MAX_ID_CHARACTERS):
            return value
        self._problem(name, "wrong_type", f"expected a text of 1 to {_MAX_ID_CHARACTERS} characters")
        return None

    def _row(self) -> int:
        row = self._entry.get("row", 0)
        if isinstance(row, int) and not isinstance(row, bool) and row >= 0:
            return row
        self._problem("row", "wrong_type", "expected the index of the row in its request, from 0")
        return 0

    def _label(self) -> str:
        if "label" not in self._entry:
            self._problem("label", "missing_field", f"expected {_expected(self._output)}")
            return ""
        text = label_text(self._entry["label"], self._output)
        if text is None:
            code: ProblemCode = "unknown_category" if isinstance(self._output, Classification) else "wrong_type"
            self._problem("label", code, f"expected {_expected(self._output)}")
        return text or ""

    def _time(self) -> float | None:
        value = self._entry.get("time")
        if value is None:
            return None
        try:
            time_known = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            self._problem("time", "invalid_datetime", "expected a time such as 2026-01-31T12:00:00Z")
            return None
        return (time_known if time_known.tzinfo else time_known.replace(tzinfo=UTC)).timestamp()

    def _problem(self, field: str | None, code: ProblemCode, message: str) -> None:
        self.problems.append(Problem(self._index, field, code, message))


def label_text(value: Any, output: Output) -> str | None:
    """Return a label as the text in the table ``labels``; None if the model has no such answer.

    Args:
        value: A JSON value: one of the labels of a classification, or a finite number.
        output: The output of the model.
    """
    if isinstance(output, Classification):
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return text if text in output.labels else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return repr(float(value)) if is_number else None


def _expected(output: Output) -> str:
    if isinstance(output, Classification):
        return "one of the labels of the model, as GET /model lists them"
    return "a finite number"


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
