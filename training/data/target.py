"""The column to predict, and how much each of its rows counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.columns import canonical
from model_deployer.training.spec import Cost, Spec

#: With more distinct integers than this, an integer target is a quantity.
MOST_INTEGER_CLASSES = 20

#: Quantities are answered as float32: none may be larger, nor all of them smaller.
LARGEST, SMALLEST = 1e30, 1e-30

#: Standard deviation, as a share of the largest value, below which a quantity varies within a few steps of float32.
FINEST = 16 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Target:
    """What is to be predicted, row by row.

    Attributes:
        values: Indices into ``labels`` as int64 for classification, float64 for regression.
        labels: The classes in sorted order, but ``positive`` of model.yaml last; None for regression.
    """

    values: NDArray[Any]
    labels: tuple[str, ...] | None

    @property
    def classes(self) -> int | None:
        """How many classes there are; None for regression."""
        return None if self.labels is None else len(self.labels)


def read_target(frame: pl.DataFrame, spec: Spec) -> Target:
    """Read the target column.

    Under ``task: auto``, strings, booleans and integers of at most 20 different values are classes.

    Raises:
        DataError: A value is missing or infinite, all are the same, they cannot be what ``task`` says, or are beyond
            what float32 can answer.
        SpecError: ``positive`` is none of two labels, or ``positive`` or ``cost`` is said of another target.
    """
    column = frame[spec.data.target]
    place = spec.place("data", "target")
    classes = spec.task == "classification" or (spec.task == "auto" and _are_classes(column, place))
    values = canonical(column, "categorical" if classes else "numeric")
    _check_present(values, column, place)
    if values.n_unique() < 2:
        raise DataError(f"{place}: '{column.name}' has the same value in every row; there is nothing to predict")
    return _classes(values, spec, place) if classes else _quantity(values, spec, place)


def read_weights(frame: pl.DataFrame, spec: Spec) -> NDArray[np.float64] | None:
    """How much each row counts, 1 on average, or None without ``data.weight``: only the ratios matter.

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
    return _averaging_one(weights.to_numpy())


def prefers_logarithm(target: NDArray[Any]) -> bool:
    """Whether a target is positive throughout, with a long tail that the logarithm shortens."""
    if target.min() <= 0:
        return False
    return _skewness(target) > 1 and abs(_skewness(np.log(target))) < _skewness(target) / 2


def further_target(frame: pl.DataFrame, spec: Spec, labels: tuple[str, ...] | None, first: int) -> NDArray[Any]:
    """The target of further rows of a table, as :class:`Target` has it of those that ``labels`` come from.

    Args:
        frame: The rows.
        spec: The model.yaml.
        labels: The classes; None for regression.
        first: How many rows of the table come before these.

    Raises:
        DataError: A value is missing, cannot be read, or is of a class that is not there.
    """
    place, name = spec.place("data", "target"), spec.data.target
    values = canonical(frame[name], "numeric" if labels is None else "categorical")
    if labels is None:
        known, expected = values.abs() <= LARGEST, f"a number of at most {LARGEST:g} in size"
        if spec.task == "count":
            known, expected = known & _is_count(values), "a whole number of at least 0"
    else:
        known, expected = values.is_in(labels), "a class that is among the rows in memory; raise `data.rows_in_memory`"
    if (row := _first(~known.fill_null(False))) is not None:
        raise DataError(f"{place}: '{name}', row {first + row}: expected {expected}")
    return values.to_numpy() if labels is None else _coded(values, labels)


def further_weights(frame: pl.DataFrame, spec: Spec, first: int) -> NDArray[np.float64] | None:
    """How much further rows of a table count, on the scale of their column, or None without ``data.weight``.

    Raises:
        DataError: A weight is missing, negative or infinite; ``first`` rows come before these.
    """
    if spec.data.weight is None:
        return None
    weights = canonical(frame[spec.data.weight], "numeric")
    if (row := _first(~(weights.is_finite() & (weights >= 0)).fill_null(False))) is not None:
        place = spec.place("data", "weight")
        raise DataError(f"{place}: '{weights.name}', row {first + row}: expected a number of at least 0")
    return weights.to_numpy()


def _is_count(values: pl.Series) -> pl.Series:
    return (values >= 0) & (values == values.floor())


def _averaging_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = weights / weights.max()  # first, as a sum of large numbers may be infinite
    return np.asarray(shares / shares.mean())


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
    if len(labels) > 2:
        _refuse_two_label_fields(spec, f"{len(labels)} labels")
    if spec.positive is not None:
        if spec.positive not in labels:
            listed = " or ".join(f"'{label}'" for label in labels)
            said = f"'{spec.positive}'; a label such as yes or no needs quotes in YAML"
            raise SpecError(f"{spec.place('positive')}: expected {listed}, but this says {said}")
        labels.sort(key=lambda label: label == spec.positive)
    return Target(_coded(values, labels), tuple(labels))


def _coded(values: pl.Series, labels: Sequence[str]) -> NDArray[np.int64]:
    codes = values.replace_strict({label: code for code, label in enumerate(labels)}, return_dtype=pl.Int64)
    return codes.to_numpy()


def _quantity(values: pl.Series, spec: Spec, place: str) -> Target:
    _refuse_two_label_fields(spec, "a number")
    if spec.task == "count" and (row := _first(~_is_count(values))) is not None:
        raise DataError(
            f"{place}: '{values.name}', row {row}: expected a whole number of at least 0; or say `task: regression`"
        )
    if (row := _first(~(values.abs() <= LARGEST))) is not None:
        raise DataError(f"{place}: '{values.name}', row {row}: expected a finite number of at most {LARGEST:g} in size")
    quantities = values.to_numpy()
    finest = FINEST * max(np.abs(quantities).max(), SMALLEST)
    if quantities.std() < finest:
        raise DataError(
            f"{place}: the values of '{values.name}' lie too near to each other, for their size, to be told apart in "
            f"float32; subtract the smallest of them, or use a smaller unit"
        )
    return Target(quantities, None)


def _refuse_two_label_fields(spec: Spec, found: str) -> None:
    """What is said of two labels must not be passed over in silence where there are none."""
    for field, default in (("positive", None), ("cost", Cost())):
        if getattr(spec, field) != default:
            raise SpecError(f"{spec.place(field)}: only for a target of two labels; this one is {found}")


def _first(mask: pl.Series) -> int | None:
    """The first row, counted from 1, where a mask holds."""
    row = mask.arg_max()
    return row + 1 if row is not None and mask[row] else None


def _skewness(values: NDArray[Any]) -> float:
    standard = (values - values.mean()) / values.std()
    return float((standard**3).mean())
