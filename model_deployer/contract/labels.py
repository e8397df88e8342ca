"""The labels of captured rows: what a caller may send, on the wire or in a file, and how it is stored."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from model_deployer.contract.errors import Problem, ProblemCode
from model_deployer.contract.outputs import Classification, Output

#: The fields of a label.
LABEL_FIELDS = frozenset({"request_id", "row", "row_id", "label", "time"})

#: The maximum number of characters of an id.
_MAX_ID_CHARACTERS = 200


def label_records(
    entries: Sequence[Any], output: Output, received: float
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return labels with the columns of the table ``labels``, and their problems; they count only if there are none.

    Args:
        entries: JSON values, one for each label.
        output: The output of the model.
        received: The time at which they came in, in seconds since 1970.
    """
    labels: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, entry in enumerate(entries):
        reader = _LabelReader(index, entry, output)
        labels.append(reader.label(received))
        problems += reader.problems
    return labels, problems


class _LabelReader:
    """Reads one label and collects its problems."""

    def __init__(self, index: int, entry: Any, output: Output) -> None:
        self._index = index
        self._entry: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        self._output = output
        self.problems: list[Problem] = []
        if not isinstance(entry, dict):
            self._problem(None, "wrong_type", "expected an object with `label` and `request_id` or `row_id`")
        elif entry.keys() - LABEL_FIELDS:
            self._problem(None, "unknown_field", f"expected only the fields {', '.join(sorted(LABEL_FIELDS))}")

    def label(self, received: float) -> dict[str, Any]:
        """Return the label, which is valid only if the reader has no problems afterwards."""
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
        text = value if isinstance(value, str) else json.dumps(value)
        return text if text in output.labels else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return repr(float(value)) if is_number else None


def _expected(output: Output) -> str:
    if isinstance(output, Classification):
        return "one of the labels of the model, as GET /model lists them"
    return "a finite number"
