"""Warnings about values of a request that the service accepts, and that the reference rows do not have.

The reference rows are those that live values are compared with: the training and validation rows of a model that was
trained here, and the train and validation parts of the table of one that was trained elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: The reason of a warning. Later versions may add codes.
WarningCode = Literal["unknown_category", "outside_training_range"]

#: The meaning of each code, as the rest of a sentence that begins with "The value".
WARNING_CODES: Mapping[WarningCode, str] = {
    "unknown_category": "is not one of the categories that the model knows",
    "outside_training_range": "is below or above all numbers of the reference rows",
}

#: The maximum number of warnings that an answer lists; the others are counted.
MAX_LISTED_WARNINGS = 100


@dataclass(frozen=True, slots=True)
class ValueWarning:
    """A warning about one value of one row.

    Attributes:
        row: The index of the row, from 0.
        field: The feature's name.
        code: The reason.
    """

    row: int
    field: str
    code: WarningCode


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a warning."""
    meanings = "; ".join(f"`{code}`: the value {meaning}" for code, meaning in WARNING_CODES.items())
    return {
        "type": "object",
        "description": "A value that was accepted, and that the reference rows do not have.",
        "required": ["row", "field", "code"],
        "additionalProperties": False,
        "properties": {
            "row": {"type": "integer", "minimum": 0, "description": "The row, counted from 0."},
            "field": {"type": "string", "description": "The field."},
            "code": {"type": "string", "enum": list(WARNING_CODES), "description": f"{meanings}."},
        },
    }
