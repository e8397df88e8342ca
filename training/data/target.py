"""Read the target column and the weights of the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.number_format import count
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.data.columns import canonical, holds_integers
from model_deployer.training.spec import Cost, Spec

#: Under ``task: auto``, an integer target with more distinct values than this is a quantity.
MAX_INTEGER_CLASSES = 20

#: The limits of a quantity, which is predicted as float32: the largest value, and the smallest scale of a column.
MAX_VALUE, MIN_SCALE = 1e30, 1e-30

#: The lowest standard deviation of a quantity as a share of its largest value; below it, the values differ by a few
#: steps of float32 only.
MIN_RELATIVE_DEVIATION = 16 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Target:
    """The values to predict, one per row.

    Attributes:
        values: For classification, indices into ``labels``, int64 [rows]; for regression, float64 [rows].
        labels: The classes in sorted order, with ``positive`` of model.yaml last; None for regression.
    """

    values: NDArray[Any]
    labels: tuple[str, ...] | None

    @property
    def classes(self) -> int | None:
        """The number of classes; None for regression."""
        return None if self.labels is None else len(self.labels)


def read_target(frame: pl.DataFrame, spec: Spec) -> Target:
    """Read the target column.

    Under ``task: auto``, strings, booleans and whole numbers of at most 20 different values are classes.

    Args:
        frame: The table.
        spec: The model.yaml.

    Raises:
        DataError: if a value is missing, infinite or out of the range of float32, if all values are the same, or if
            the values do not fit ``task``.
        SpecError: if ``positive`` is not one of two labels, or ``positive`` or ``cost`` is set for another target.
    """
    column = frame[spec.data.target]
    location = spec.location("data", "target")
    classes = spec.task == "classification" or (spec.task == "auto" and _are_classes(column, location))
    values = canonical(column, "categorical" if classes else "numeric")
    _check_present(values, column, location)
    if values.n_unique() < 2:
        raise DataError(f"{location}: '{column.name}' has the same value in every row; there is nothing to predict")
    return _classes(values, spec, location) if classes else _quantity(values, spec, location)


def read_known_target(frame: pl.DataFrame, spec: Spec, labels: tuple[str, ...] | None) -> Target:
    """Read the target column for a model that was trained elsewhere.

    Args:
        frame: The table.
        spec: The model.yaml.
        labels: The classes of the model, in its order; None for a quantity.

    Raises:
        DataError: if the column is absent, or a value is missing or is not one of the classes or a number.
    """
    location, name = spec.location("data", "target"), spec.data.target
    if name not in frame.columns:
        raise DataError(f"{location}: the table has no column '{name}'{suggestion(name, frame.columns)}")
    if labels is None:
        _check_numbers(frame[name], location)
        return read_target(frame, spec.model_copy(update={"task": "regression"}))
    values = canonical(frame[name], "categorical")
    _check_present(values, frame[name], location)
    others = values.filter(~values.is_in(labels)).unique().sort().to_list()
    if others:
        raise DataError(
            f"{location}: '{name}' has {_quoted(others)}, but the classes of the model are {_quoted(labels)}; change "
            f"the table, or list the classes in the order of the model under `adopt.labels`"
        )
    return Target(_codes(values, labels), labels)


def read_truths(frame: pl.DataFrame, spec: Spec) -> NDArray[np.float64]:
    """Read the columns of several targets of a model that was trained elsewhere, float64 [rows, targets].

    Raises:
        DataError: if a column is absent, or a value is missing or is not a number.
    """
    specs = (spec.model_copy(update={"data": spec.data.model_copy(update={"target": n})}) for n in spec.data.targets)
    return np.column_stack([read_known_target(frame, each, None).values for each in specs])


def read_weights(frame: pl.DataFrame, spec: Spec) -> NDArray[np.float64] | None:
    """Read the weight column.

    Args:
        frame: The table.
        spec: The model.yaml.

    Returns:
        The weight of each row, float64 [rows], scaled to a mean of 1; None without ``data.weight``.

    Raises:
        DataError: if a weight is missing, negative or infinite, or all are zero.
    """
    weights = streamed_weights(frame, spec, 0)
    if weights is None:
        return None
    if not (weights > 0).any():
        raise DataError(f"{spec.location('data', 'weight')}: '{spec.data.weight}' is 0 in every row")
    return _scaled_to_mean_one(weights)


def prefers_logarithm(target: NDArray[Any]) -> bool:
    """Return whether all values [rows] are positive and have a long tail that the logarithm shortens."""
    if target.min() <= 0:
        return False
    return _skewness(target) > 1 and abs(_skewness(np.log(target))) < _skewness(target) / 2


def streamed_target(frame: pl.DataFrame, spec: Spec, labels: tuple[str, ...] | None, offset: int) -> NDArray[Any]:
    """Read the target of rows that are not in memory.

    Args:
        frame: The rows.
        spec: The model.yaml.
        labels: The classes of the rows in memory; None for regression.
        offset: The number of rows of the table that come before these, for the row numbers in errors.

    Returns:
        As ``values`` of :class:`Target`.

    Raises:
        DataError: if a value is missing, cannot be read, or is not one of the classes.
    """
    location, name = spec.location("data", "target"), spec.data.target
    values = canonical(frame[name], "numeric" if labels is None else "categorical")
    if labels is None:
        is_valid, expected = values.abs() <= MAX_VALUE, f"a number with a magnitude of at most {MAX_VALUE:g}"
        if spec.task == "count":
            is_valid, expected = is_valid & _is_count(values), "a whole number of at least 0"
    else:
        is_valid, expected = values.is_in(labels), "a class of the rows in memory; raise `data.rows_in_memory`"
    if (row := _first(~is_valid.fill_null(False))) is not None:
        raise DataError(f"{location}: '{name}', row {offset + row}: expected {expected}")
    return values.to_numpy() if labels is None else _codes(values, labels)


def streamed_weights(frame: pl.DataFrame, spec: Spec, offset: int) -> NDArray[np.float64] | None:
    """Read the weights of rows that are not in memory.

    Args:
        frame: The rows.
        spec: The model.yaml.
        offset: The number of rows of the table that come before these, for the row numbers in errors.

    Returns:
        The values of the weight column, float64 [rows]; None without ``data.weight``.

    Raises:
        DataError: if a weight is missing, negative or infinite.
    """
    if spec.data.weight is None:
        return None
    weights = canonical(frame[spec.data.weight], "numeric")
    if (row := _first(~(weights.is_finite() & (weights >= 0)).fill_null(False))) is not None:
        location = spec.location("data", "weight")
        raise DataError(f"{location}: '{weights.name}', row {offset + row}: expected a number of at least 0")
    return weights.to_numpy()


def _is_count(values: pl.Series) -> pl.Series:
    return (values >= 0) & (values == values.floor())


def _scaled_to_mean_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = weights / weights.max()  # first, because the sum of large numbers may be infinite
    return np.asarray(shares / shares.mean())


def _are_classes(column: pl.Series, location: str) -> bool:
    dtype = column.dtype
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean):
        return True
    if not dtype.is_numeric():
        raise DataError(f"{location}: '{column.name}' holds {dtype}; expected numbers, strings or booleans")
    levels = column.n_unique()
    are_codes = dtype.is_integer() or (holds_integers(column) and levels <= max(2, len(column) / 2))
    return are_codes and levels <= MAX_INTEGER_CLASSES


def _check_numbers(column: pl.Series, location: str) -> None:
    """Check that the truth of a model of a quantity is not a class."""
    values = canonical(column, "numeric")
    if column.dtype == pl.String and (values.is_null() & column.is_not_null() & (column != "")).any():
        raise DataError(
            f"{location}: '{column.name}' holds texts, but the model predicts a number; name the column with the "
            f"number that it predicts"
        )


def _check_present(values: pl.Series, column: pl.Series, location: str) -> None:
    if (row := _first(values.is_null())) is None:
        return
    if column[row - 1] not in (None, "") and column.dtype == pl.String:
        raise DataError(f"{location}: '{column.name}', row {row}: expected a number; or set `task: classification`")
    raise DataError(
        f"{location}: '{column.name}' is missing in {count(values.null_count(), 'row')}, first in row {row}; set "
        f"`data.drop_missing_target: true` to leave those rows out"
    )


def _classes(values: pl.Series, spec: Spec, location: str) -> Target:
    labels = values.unique().sort().to_list()
    if len(labels) > max(2, len(values) / 2):
        raise DataError(
            f"{location}: '{values.name}' has {len(labels):,} classes in {len(values):,} rows, which is too many to "
            f"learn; it may be an identifier, or a quantity: set `task: regression`"
        )
    if len(labels) > 2:
        _refuse_two_label_keys(spec, f"has {len(labels)} labels")
    if spec.positive is not None:
        if spec.positive not in labels:
            listed = " or ".join(f"'{label}'" for label in labels)
            raise SpecError(
                f"{spec.location('positive')}: expected {listed}, but got '{spec.positive}'; put a label such as yes "
                f"or no in quotes, because YAML reads it as a boolean"
            )
        labels.sort(key=lambda label: label == spec.positive)
    return Target(_codes(values, labels), tuple(labels))


def _codes(values: pl.Series, labels: Sequence[str]) -> NDArray[np.int64]:
    codes = values.replace_strict({label: code for code, label in enumerate(labels)}, return_dtype=pl.Int64)
    return codes.to_numpy()


def _quantity(values: pl.Series, spec: Spec, location: str) -> Target:
    _refuse_two_label_keys(spec, "is a number")
    if spec.task == "count" and (row := _first(~_is_count(values))) is not None:
        raise DataError(
            f"{location}: '{values.name}', row {row}: expected a whole number of at least 0; or set `task: regression`"
        )
    if (row := _first(~(values.abs() <= MAX_VALUE))) is not None:
        expected = f"a finite number with a magnitude of at most {MAX_VALUE:g}"
        raise DataError(f"{location}: '{values.name}', row {row}: expected {expected}")
    quantities = values.to_numpy()
    min_deviation = MIN_RELATIVE_DEVIATION * max(np.abs(quantities).max(), MIN_SCALE)
    if quantities.std() < min_deviation:
        raise DataError(
            f"{location}: the values of '{values.name}' are too close to each other, relative to their size, for "
            f"float32 to distinguish them; subtract the smallest value, or use a smaller unit"
        )
    return Target(quantities, None)


def _refuse_two_label_keys(spec: Spec, actual: str) -> None:
    """Refuse the keys of a two-label target for another target, instead of ignoring them."""
    for key, default in (("positive", None), ("cost", Cost())):
        if getattr(spec, key) != default:
            raise SpecError(f"{spec.location(key)}: only for a target with two labels; this target {actual}")


def _quoted(labels: Sequence[str]) -> str:
    listed = ", ".join(f"'{label}'" for label in labels[:MAX_INTEGER_CLASSES])
    return listed if len(labels) <= MAX_INTEGER_CLASSES else f"{listed} and {len(labels) - MAX_INTEGER_CLASSES} more"


def _first(mask: pl.Series) -> int | None:
    """Return the first row, counted from 1, whose mask is true; None if there is none."""
    row = mask.arg_max()
    return row + 1 if row is not None and mask[row] else None


def _skewness(values: NDArray[Any]) -> float:
    standard = (values - values.mean()) / values.std()
    return float((standard**3).mean())
