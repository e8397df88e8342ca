"""Rows in the form that a model takes: a pandas data frame, an array, or a list of texts."""

from importlib import import_module
from typing import Any

import numpy as np

from .wire import Columns


class Table:
    """Rows that a model is asked for.

    Attributes:
        columns: The columns by name.
        options: ``form``: ``frame``, ``array`` or ``texts``; None leaves it to the model. ``categories``: for columns
            that become categories of pandas, the list of them. ``missing``: ``nan`` if a missing text is NaN and not
            None.
    """

    def __init__(self, columns: Columns, options: "dict[str, Any]") -> None:
        self.columns = {name: _with_missing(column, options) for name, column in columns.items()}
        self.options = options

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def rows(self, start: int, end: int) -> "Table":
        """Return some of the rows."""
        return Table({name: column[start:end] for name, column in self.columns.items()}, self.options)

    def input(self, needs_names: bool) -> Any:
        """Return the rows as the request wants them, or as the model needs them.

        Args:
            needs_names: Whether the model was fitted on columns with names.
        """
        form = self.options.get("form")
        if form == "texts":
            return next(iter(self.columns.values())).tolist()
        if form == "frame" or (form is None and needs_names):
            return self.frame()
        return self.array()

    def frame(self) -> Any:
        """Return the rows as a data frame of pandas."""
        pandas = import_module("pandas")
        frame = pandas.DataFrame({name: _of_rows(column) for name, column in self.columns.items()})
        for name, categories in (self.options.get("categories") or {}).items():
            is_text = frame[name].dtype == object or str(frame[name].dtype).startswith("str")
            known = categories if is_text else [_number(category) for category in categories]
            frame[name] = pandas.Categorical(frame[name], categories=known)
        return frame

    def array(self) -> Any:
        """Return the rows as one array: float64 [rows, columns] of numbers, object if a column has texts."""
        return joined(list(self.columns.values()))

    def records(self) -> Any:
        """Yield each row as a dict of Python's numbers and texts, and of arrays for vectors, tensors and images."""
        lists = [column.tolist() if column.ndim == 1 else _of_rows(column) for column in self.columns.values()]
        return (dict(zip(self.columns, row)) for row in zip(*lists))


def joined(columns: "list[Any]") -> Any:
    """Return columns, [rows] or [rows, width] each, as one array [rows, all columns]."""
    kind = object if any(column.dtype == object for column in columns) else float
    return np.concatenate([column.reshape(len(column), -1).astype(kind) for column in columns], axis=1)


def _of_rows(column: Any) -> Any:
    """Return a column with one value for each row; the values of vectors, tensors and images are arrays."""
    if column.ndim > 2 and column.dtype.kind == "f":
        shapes = shapes_of(column).tolist()
        return [row[tuple(map(slice, shape))] for row, shape in zip(column, shapes)]
    return column if column.ndim == 1 else list(column)


def shapes_of(column: Any) -> Any:
    """Return the shape of each row of numbers with NaN after the ends, [rows, axes]."""
    axes = range(1, column.ndim)
    edges = [column[(slice(None), *(slice(None) if axis == other else 0 for other in axes))] for axis in axes]
    return np.stack([(~np.isnan(edge)).sum(axis=1) for edge in edges], axis=1)


def _number(text: str) -> Any:
    """Return a category that is a number: a whole one where it is, as pandas has it."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _with_missing(column: Any, options: "dict[str, Any]") -> Any:
    if column.dtype != object or options.get("missing") != "nan":
        return column
    return np.array([np.nan if text is None else text for text in column], object)
