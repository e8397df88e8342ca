"""Ask a model for the answers to rows, and go on when it refuses some of them."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from .table import Table
from .wire import Columns

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|-?\d[\d.e+-]*")


def ask(model: Any, table: Table) -> "tuple[Columns, dict[str, str]]":
    """Return the answers of a model.

    A batch that raises an error is halved until each row that the model refuses is on its own. A variable that the code
    of the model lacks is an error of the model.

    Args:
        model: A model of :mod:`cell_worker.models`.
        table: The rows.

    Returns:
        The answers by name, NaN or None in refused rows; and by the index of each refused row, the kind of its error.

    Raises:
        NameError: if the code of the model lacks a variable.
    """
    parts = list(_answered(model, table, 0, len(table)))
    answered = [(start, end, answer) for start, end, answer, _ in parts if answer is not None]
    refused = {str(start): error for start, _, _, error in parts if error is not None}
    if len(answered) == len(parts) == 1:
        return answered[0][2], {}
    columns: Columns = {}
    for start, end, answer in answered:
        for name, values in answer.items():
            if name not in columns:
                columns[name] = _empty(len(table), values)
            columns[name][start:end] = values
    return columns, refused


def _answered(model: Any, table: Table, start: int, end: int) -> "Iterator[tuple[int, int, Any, Any]]":
    """Yield ranges of rows with their answers, or a single row with the error that refuses it."""
    try:
        yield start, end, checked(model.predict(table.rows(start, end)), end - start), None
    except Exception as error:  # what a model raises is its answer
        if type(error) is NameError:
            raise
        if end - start <= 1:
            yield start, end, None, error_class(error)
        else:
            middle = (start + end) // 2
            yield from _answered(model, table, start, middle)
            yield from _answered(model, table, middle, end)


def error_class(error: BaseException) -> str:
    """Return the type of an error and its message without the values in it."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {_QUOTED.sub('…', lines[0])[:160]}".rstrip(": ")


def checked(answer: Any, rows: int) -> Columns:
    """Return answers as arrays that can be sent, with one entry for each row."""
    columns = {}
    for name, values in answer.items():
        array = _plain(values)
        if array.ndim == 0 or len(array) != rows:
            raise ValueError("the model does not give one answer for each row")
        columns[str(name)] = array
    return columns


def _plain(values: Any) -> Any:
    array = np.asarray(values)
    if array.dtype.kind in "OUS" and array.ndim > 1:
        if array.shape[1:] != (1,):
            raise ValueError("the model answers several texts for each row")
        array = array[:, 0]
    if array.dtype.kind == "O" and all(isinstance(value, (int, float, bool)) for value in array.tolist()):
        array = np.array(array.tolist())
    if array.dtype.kind not in "OUSbiuf":
        raise ValueError(f"the model answers values of the type {array.dtype}")
    return array.astype(object) if array.dtype.kind in "US" else array


def _empty(rows: int, values: Any) -> Any:
    if values.dtype.kind == "O":
        return np.full(rows, None, object)
    return np.full((rows, *values.shape[1:]), np.nan)
