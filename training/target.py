"""The column to predict, and how much each of its rows counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contract.errors import DataError, SpecError
from training.columns import canonical
from training.spec import Spec

#: With more distinct integers than this, an integer target is a quantity.
MOST_INTEGER_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """What is to be predicted, row by row.

    Attributes:
        values: Indices into ``labels`` as int64 for classification, float64 for regression.
        labels: The classes in sorted order, but ``positive`` of model.yaml last; None for regression.
    """

    values: NDArray[Any]
    labels: tuple[str, ...] | None


def read_target(frame: pl.DataFrame, spec: Spec) -> Target:
    """Read the target column.

    Under ``task: auto``, strings, booleans and integers of at most 20 different values are classes.

    Raises:
        DataError: A value is missing or infinite, all are the same, or they cannot be what ``task`` says.
        SpecError: ``positive`` is none of two labels.
    """
    column = frame[spec.data.target]
    place = spec.place("data", "target")
    classes = spec.task == "classification" or (spec.task == "auto" and _are_classes(column, place))
    values = canonical(column, "categorical" if classes else "numeric")
    _check_present(values, column, place)
    if values.n_unique() < 2:
        raise DataError(f"{place}: '{column.name}' has the same value in every row; there is nothing to predict")
    return _classes(values, spec, place) if classes else _quantity(values, place)


def read_weights(frame: pl.DataFrame, spec: Spec) -> NDArray[np.float64] | None:
    """How much each row counts, or None without ``data.weight``.

    Raises:
        DataError: A weight is missing, negative or infinite, or all are zero.
    """
    if spec.data.weight is None:
        return None
    weights = canonical(frame[spec.data.weight], "numeric")
    place = spec.place("data", "weight")
    if (row := _first(~(weights.is_finite() & (weights >= 0)).fill_null(False))) is not None:
        raise DataError(f"{place}: '{weights.name}', row {row}: expected a number of at least 0")
    if not (weights > 0).any():
        raise DataError(f"{place}: '{weights.name}' is 0 in every row")
    return weights.to_numpy()


def _are_classes(column: pl.Series, place: str) -> bool:
    dtype = column.dtype
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean):
        return True
    if not dtype.is_numeric():
        raise DataError(f"{place}: '{column.name}' holds {dtype}; expected numbers, strings or booleans")
    return dtype.is_integer() and column.n_unique() <= MOST_INTEGER_CLASSES


def _check_present(values: pl.Series, column: pl.Series, place: str) -> None:
    if (row := _first(values.is_null())) is None:
        return
    if column[row - 1] not in (None, "") and column.dtype == pl.String:
        raise DataError(f"{place}: '{column.name}', row {row}: expected a number; or say `task: classification`")
    count = values.null_count()
    raise DataError(f"{place}: '{column.name}' is missing in {count:,} rows, first in row {row}; remove those rows")


def _classes(values: pl.Series, spec: Spec, place: str) -> Target:
    labels = values.unique().sort().to_list()
    if len(labels) > max(2, len(values) / 2):
        raise DataError(
            f"{place}: '{values.name}' has {len(labels):,} classes in {len(values):,} rows, too many to learn; it may "
            f"be an identifier, or a quantity: say `task: regression`"
        )
    if spec.positive is not None:
        if len(labels) != 2 or spec.positive not in labels:
            listed = ", ".join(f"'{label}'" for label in labels[:20])
            raise SpecError(f"{spec.place('positive')}: expected one of two labels; '{values.name}' has {listed}")
        labels.sort(key=lambda label: label == spec.positive)
    codes = values.replace_strict({label: code for code, label in enumerate(labels)}, return_dtype=pl.Int64)
    return Target(codes.to_numpy(), tuple(labels))


def _quantity(values: pl.Series, place: str) -> Target:
    if (row := _first(~values.is_finite())) is not None:
        raise DataError(f"{place}: '{values.name}', row {row}: expected a finite number")
    return Target(values.to_numpy(), None)


def _first(mask: pl.Series) -> int | None:
    """The first row, counted from 1, where a mask holds."""
    row = mask.arg_max()
    return row + 1 if row is not None and mask[row] else None
