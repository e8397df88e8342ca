"""A caller's id of a row: a field that is not an input of the model, and comes back with the prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import UsageError
from model_deployer.contract.features import Feature
from model_deployer.serving.rows.arrow import Column

#: The maximum length of an id that is a text, in characters.
MAX_ID_CHARACTERS = 200

#: The range of an id that is a number: 64 bits.
MIN_ID, MAX_ID = -(2**63), 2**63 - 1

#: The ids of rows, in their order; None for a row without an id.
Ids = Sequence[str | int | None]

#: Names that have another meaning in a body.
_RESERVED_NAMES = frozenset({"rows", "columns"})


class InvalidIds(Exception):
    """A column may have values that cannot be ids."""


@dataclass(frozen=True)
class RowId:
    """The field with the id. It has the attributes that validation reads of a feature.

    Attributes:
        name: The name of the field, in rows and in predictions.
    """

    name: str
    required: ClassVar[bool] = False
    nullable: ClassVar[bool] = True

    @classmethod
    def of_setting(cls, name: str, contract: Contract) -> "RowId":
        """Return the field that the setting ``row_id`` names.

        Raises:
            UsageError: if a row or a prediction has another field of this name.
        """
        if name in contract.names:
            reason = "is a field of the model"
        elif name in contract.output.json_schema()["properties"].keys() | contract.output.columns_schema().keys():
            reason = "is a part of a prediction"
        elif name in _RESERVED_NAMES:
            reason = "is a key of a request"
        else:
            return cls(name)
        raise UsageError(f"serving.row_id (DEPLOYER_ROW_ID): '{name}' {reason}; choose another name")

    def expected(self) -> str:
        """Return what a value must be, as the noun phrase after "expected"."""
        return f"a string of at most {MAX_ID_CHARACTERS} characters, or a whole number of 64 bits"


#: A field of a row.
Field = Feature | RowId


def with_id(features: Sequence[Feature], row_id: RowId | None) -> Sequence[Field]:
    """Return the fields of a row: the features in their order, and the id last."""
    return (*features, row_id) if row_id else features


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an id in a row."""
    return {
        "description": "Your own id of the row. It is not an input of the model, and its prediction has the same id.",
        "anyOf": [
            {"type": "string", "maxLength": MAX_ID_CHARACTERS},
            {"type": "integer", "minimum": MIN_ID, "maximum": MAX_ID},
            {"type": "null"},
        ],
    }


def present(ids: Ids) -> Ids | None:
    """Return ids; None if no row has one."""
    return None if all(value is None for value in ids) else ids


def ids_of_column(column: Column) -> Ids | None:
    """Return the ids in a column of a table; None if no row has one. NaN means missing.

    Raises:
        InvalidIds: if a value may not be an id.
    """
    if column.kind == "null":
        return None
    missing = np.zeros(len(column.values), dtype=bool) if column.missing is None else column.missing
    if column.kind == "number" and column.values.dtype.kind == "f":
        missing = missing | np.isnan(column.values)
    ids: Sequence[str | int] = _texts(column) if column.kind == "text" else _whole_numbers(column, missing)
    return present([None if is_missing else value for value, is_missing in zip(ids, missing.tolist(), strict=True)])


def _texts(column: Column) -> list[str]:
    texts: list[str] = column.values.tolist()
    if max(map(len, texts), default=0) > MAX_ID_CHARACTERS:
        raise InvalidIds
    return texts


def _whole_numbers(column: Column, missing: NDArray[np.bool_]) -> list[int]:
    if column.kind != "number":
        raise InvalidIds
    numbers = np.where(missing, 0, column.values)
    if numbers.dtype.kind == "f":
        numbers = numbers.astype(np.float64)
    if ((numbers != np.floor(numbers)) | (numbers < MIN_ID) | (numbers >= 2**63)).any():
        raise InvalidIds
    return [int(number) for number in numbers.tolist()]


def add_to_predictions(predictions: list[dict[str, Any]], name: str, ids: Ids) -> None:
    """Add the ids of the rows to their predictions, in place. A prediction of a row without an id gets none."""
    for prediction, value in zip(predictions, ids, strict=True):
        if value is not None:
            prediction[name] = value


def with_one_type(ids: Ids) -> list[Any]:
    """Return ids for a column of a table: numbers, or texts if there is a text among them; None for missing."""
    if any(isinstance(value, str) for value in ids):
        return [None if value is None else str(value) for value in ids]
    return list(ids)
