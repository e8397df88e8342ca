"""Rows in the forms that JSON of several protocols may have: objects, lists of values, and tensors of the fields."""

from collections.abc import Sequence
from typing import Any

from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import Feature, Image, NumberArray


class RowForms:
    """Turns rows in these forms into objects by field. It validates no values.

    Args:
        features: The fields; rows that are lists have their values in this order.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._names = [feature.name for feature in features]
        #: The number of axes of each list or tensor.
        self._axes = {feature.name: len(feature.sizes) for feature in features if isinstance(feature, NumberArray)}
        self._images = [feature.name for feature in features if isinstance(feature, Image)]
        self._only_axes = self._axes.get(features[0].name, 0) if len(features) == 1 else 0

    def rows(self, value: Any, key: str) -> list[Any]:
        """Return rows as objects, from a list of objects or of lists; a model of one field also takes a list of values.

        A list of numbers is one row of a model whose only field is a vector, and nested lists one of a tensor.

        Args:
            value: The list: each row is an object by field, or a list of values in the order of the fields.
            key: The key of the list in the body, for the error.

        Raises:
            MalformedBody: if the value is not a list.
        """
        if not isinstance(value, list):
            raise MalformedBody(f"expected `{key}` to be a list of rows")
        if self._only_axes and value and _has_axes(value, self._only_axes):
            value = [value]
        if self._images and len(self._names) == 1:
            value = [_file(row) for row in value]
        if len(self._names) == 1:
            value = [row if self._is_row(row) else [row] for row in value]
        # A list of another length is passed on as it is: validation refuses it, as it is not a row.
        return self.scalars(
            [
                dict(zip(self._names, row, strict=True))
                if isinstance(row, list) and len(row) == len(self._names)
                else row
                for row in value
            ]
        )

    def scalars(self, rows: list[Any]) -> list[Any]:
        """Return rows with values in place of lists of one value: tensors of the fields may have the shape [rows, 1].

        All fields of a row other than lists and tensors have such lists, or none. An image may be an object ``{"b64":
        text}``, as TensorFlow Serving and Vertex AI take files.
        """
        for row in rows if self._images else ():
            if isinstance(row, dict):
                row |= {name: _file(row[name]) for name in self._images if name in row}
        # The first value of a row decides whether its others are searched.
        if not any(isinstance(row, dict) and isinstance(self._first_scalar(row), list) for row in rows):
            return rows
        return [
            {name: value if name in self._axes else value[0] for name, value in row.items()}
            if isinstance(row, dict) and all(name in self._axes or _is_tensor(row[name]) for name in row)
            else row
            for row in rows
        ]

    def refuse_number(self, value: Any) -> None:
        """Refuse a single number, or text, as the row of a model whose only field is a list of numbers.

        Raises:
            MalformedBody: if it is one.
        """
        if self._only_axes and not isinstance(value, list | dict):
            raise MalformedBody("expected a row, a list of rows, or the list of numbers that is the only field")

    def is_row(self, values: Sequence[Any]) -> bool:
        """Return whether a list is one row, rather than a list of rows."""
        if not self._axes:
            return not any(isinstance(value, list | dict) for value in values)
        return len(values) == len(self._names) and all(map(self._may_be, self._names, values))

    def _may_be(self, name: str, value: Any) -> bool:
        if name not in self._axes:
            return not isinstance(value, list | dict)
        return value is None or _has_axes(value, self._axes[name])

    def has_width(self, row: Sequence[Any]) -> bool:
        """Return whether a list has one value for each field, or is the value of the only field."""
        return len(row) == len(self._names) or bool(self._only_axes)

    def _by_name(self, row: list[Any]) -> Any:
        return dict(zip(self._names, row, strict=True)) if len(row) == len(self._names) else row

    def _is_row(self, row: Any) -> bool:
        """Return whether a row of a model of one field is a row, and not the value of the field."""
        if not self._only_axes:
            return isinstance(row, list | dict)
        if isinstance(row, dict):
            return True
        return isinstance(row, list) and len(row) == 1 and _has_axes(row[0], self._only_axes)

    def _first_scalar(self, row: dict[Any, Any]) -> Any:
        if not self._axes:
            return next(iter(row.values()), None)
        return next((value for name, value in row.items() if name not in self._axes), None)


def _file(value: Any) -> Any:
    """Return the base64 of an object ``{"b64": text}``, and any other value unchanged."""
    return value["b64"] if isinstance(value, dict) and value.keys() == {"b64"} else value


def _has_axes(value: Any, axes: int) -> bool:
    """Return whether a value is nested lists of this depth; the first list of each axis is looked at."""
    if axes == 1:
        return isinstance(value, list) and not any(isinstance(item, list | dict) for item in value)
    return isinstance(value, list) and bool(value) and _has_axes(value[0], axes - 1)


def _is_tensor(value: Any) -> bool:
    """Return whether a value is a row of a tensor of the shape [rows, 1]."""
    return isinstance(value, list) and len(value) == 1
