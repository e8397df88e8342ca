"""DataFrames in the JSON forms of pandas, as clients of MLflow and Azure send them, become rows.

Three habits of pandas are undone: the names 0, 1, 2 of columns without names mean positions; the column of an index is
left out; and a time in milliseconds since 1970, as ``to_json()`` writes it, becomes text.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import Datetime, Feature
from model_deployer.serving.rows.row_id import RowId

#: The name of an index that became a column: in the first line of a CSV, from `read_csv`, and from `reset_index`.
_INDEX_COLUMN = re.compile(r"(Unnamed: 0(\.[0-9]+)*)?|index|level_[0-9]")

_EPOCH = datetime(1970, 1, 1)

#: The times of Python's datetime, the years 1 to 9999, in milliseconds since 1970.
MIN_MILLISECONDS, MAX_MILLISECONDS = -62_135_596_800_000, 253_402_300_799_000


class DataFrames:
    """Reads the DataFrames of one model's clients. It validates no values.

    Args:
        features: The fields of the model.
        row_id: The field with a caller's id of a row; None if rows have no id.
    """

    def __init__(self, features: Sequence[Feature], row_id: RowId | None = None) -> None:
        self._row_id = row_id.name if row_id else None
        self._names = [feature.name for feature in features]
        self._positions = {str(index): name for index, name in enumerate(self._names)}
        self._has_positions = not self._positions.keys() & set(self._names)
        self._zoned_by_time = {feature.name: feature.zoned for feature in features if isinstance(feature, Datetime)}

    def split(self, value: Any) -> list[Any]:
        """Return the rows of ``{"columns": [...], "data": [[...], ...]}``; without columns, in the model's order.

        Raises:
            MalformedBody: if it has another form.
        """
        if not isinstance(value, dict) or not isinstance(value.get("data"), list):
            raise MalformedBody("expected a table with `columns` and `data`")
        names = self.column_names(value.get("columns", self._names))
        if not all(isinstance(row, list) for row in value["data"]):
            raise MalformedBody("expected `data` to be a list of lists of values")
        if any(len(row) != len(names) for row in value["data"]):
            raise MalformedBody(f"expected {len(names)} values in every row of `data`")
        return self._finish([dict(zip(names, row, strict=True)) for row in value["data"]])

    def records(self, rows: Sequence[Any]) -> list[Any]:
        """Return the rows of ``[{"name": value, ...}, ...]``. Other values in the list are returned unchanged."""
        if rows and isinstance(rows[0], dict) and self._are_positions(list(rows[0])):
            rows = [
                {self._positions.get(key, key): value for key, value in row.items()} if isinstance(row, dict) else row
                for row in rows
            ]
        return self._finish(list(rows))

    def columns(self, value: Mapping[str, Any]) -> list[Any]:
        """Return the rows of ``{"name": [...], ...}``, or of ``{"name": {"0": value, ...}, ...}`` by index.

        Raises:
            MalformedBody: if it has another form, or columns of different lengths.
        """
        lists = {name: list(column.values()) if isinstance(column, dict) else column for name, column in value.items()}
        if not lists or not all(isinstance(column, list) for column in lists.values()):
            raise MalformedBody("expected every column of the table to be a list of values, or an object by index")
        indices = [column.keys() for column in value.values() if isinstance(column, dict)]
        if len({len(column) for column in lists.values()}) > 1 or any(keys != indices[0] for keys in indices):
            raise MalformedBody("expected all columns of the table to have the same rows")
        if indices:  # an object has no order
            lists = {
                name: [column[key] for key in indices[0]] if isinstance(column, dict) else column
                for name, column in value.items()
            }
        names = self.column_names(list(lists))
        return self._finish([dict(zip(names, row, strict=True)) for row in zip(*lists.values(), strict=True)])

    def column_names(self, columns: Any) -> list[str]:
        """Return the names of columns; 0, 1, 2 and so on, one for each field, are the fields by position.

        Raises:
            MalformedBody: if it is not a list of different names.
        """
        if not isinstance(columns, list) or not all(type(name) in (str, int) for name in columns):
            raise MalformedBody("expected `columns` to be a list of names")
        names = [str(name) for name in columns]
        if self._are_positions(names):
            return [self._positions[name] for name in names]
        if not all(isinstance(name, str) for name in columns):
            raise MalformedBody(
                f"expected `columns` to be names, or the whole numbers from 0 to {len(self._names) - 1}"
            )
        if len(set(names)) < len(names):
            raise MalformedBody("two columns have the same name")
        return names

    def is_index(self, name: str) -> bool:
        """Return whether a column is an index of pandas, and no field."""
        is_field = name in self._names or name == self._row_id
        return not is_field and _INDEX_COLUMN.fullmatch(name) is not None

    def _are_positions(self, names: Sequence[str]) -> bool:
        return self._has_positions and len(names) == len(self._names) and set(names) == self._positions.keys()

    def _finish(self, rows: list[Any]) -> list[Any]:
        """Leave the columns of an index out, and convert times in milliseconds."""
        first = rows[0] if rows and isinstance(rows[0], dict) else {}
        indices = {name for name in first if self.is_index(name)}
        if not indices and not self._zoned_by_time:
            return rows
        objects = (row for row in rows if isinstance(row, dict))
        for row in objects:
            for name in indices:
                row.pop(name, None)
            for name, is_zoned in self._zoned_by_time.items():
                if type(row.get(name)) in (int, float):
                    row[name] = _time(row[name], is_zoned)
        return rows


def _time(milliseconds: float, is_zoned: bool) -> Any:
    """Return a time as text; a number out of range is left for validation to refuse."""
    if not MIN_MILLISECONDS <= milliseconds <= MAX_MILLISECONDS:
        return milliseconds
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat() + ("Z" if is_zoned else "")
