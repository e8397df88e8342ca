"""The rows that a database returns, as a frame."""

from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from model_deployer.contract.errors import DataError

#: Values that polars does not join with those of other types, or takes for numbers.
_TIMES = (date, time, timedelta)


def frame_of(names: Sequence[str], rows: list[Any]) -> pl.DataFrame:
    """Return the rows of a result with the types of its values; decimals are floats.

    Args:
        names: The names of the columns.
        rows: The rows, as sequences of values.

    Raises:
        DataError: if the query returns no columns, a name is repeated, or a column has times and other values.
    """
    if not names:
        raise no_rows()
    refuse_repeated(names)
    columns = list(zip(*rows, strict=True))
    kinds = [{type(value) for value in column} - {type(None)} for column in columns]
    for name, column, types in zip(names, columns, kinds, strict=bool(rows)):
        if len(types) > 1 and any(issubclass(kind, _TIMES) for kind in types):
            raise _mixed(name, column)
    if any(Decimal in types for types in kinds):  # polars would drop some of those that differ in their places
        floats = [_floats(column) if Decimal in types else column for column, types in zip(columns, kinds, strict=True)]
        rows = list(zip(*floats, strict=True))
    return pl.DataFrame(rows, schema=list(names), orient="row", infer_schema_length=None, strict=False)


def no_rows() -> DataError:
    """Return the error to raise for a query such as DELETE."""
    return DataError("data.query: expected a query that returns rows, such as SELECT")


def refuse_repeated(names: Sequence[str]) -> None:
    """Refuse a result that has a name twice.

    Raises:
        DataError: if it has.
    """
    if repeated := sorted({name for name in names if list(names).count(name) > 1}):
        listed = ", ".join(f"'{name}'" for name in repeated)
        raise DataError(f"data.query: the result names {listed} more than once; rename all but one with AS")


def _floats(column: Sequence[Any]) -> list[Any]:
    return [float(value) if isinstance(value, Decimal) else value for value in column]


def _mixed(name: str, column: Sequence[Any]) -> DataError:
    types = [type(value) for value in column]
    first = next(kind for kind in types if kind is not type(None))
    row, other = next((row, kind) for row, kind in enumerate(types, 1) if kind not in (first, type(None)))
    return DataError(
        f"data.query: column '{name}', row {row} of the result: expected {first.__name__}, as before, and this is "
        f"{other.__name__}; convert such values in the query, or replace them by NULL"
    )
