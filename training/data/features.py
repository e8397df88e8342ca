"""The features of a table: the contract of each column, and its values in the form of the graph's inputs."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter, ValidationError

from model_deployer.adoption.tensor_column import tensor_values
from model_deployer.contract import value_form
from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.features import MAX_EXACT_INTEGER, Feature, Image, NumberArray, Tensor, Text
from model_deployer.contract.value_form import NumberForm
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.data import expression
from model_deployer.training.data.category_merging import MAX_NORMALIZED_CATEGORIES, with_known_spellings
from model_deployer.training.data.columns import (
    canonical,
    holds_strings,
    is_constant,
    is_readable,
    is_text,
    missing,
    times,
)
from model_deployer.training.data.expression import ExpressionError
from model_deployer.training.data.images import conformed_images
from model_deployer.training.data.request_rows import legal, request
from model_deployer.training.data.shaping import lags
from model_deployer.training.data.target import MAX_INTEGER_CLASSES
from model_deployer.training.data.vectors import conformed_arrays
from model_deployer.training.spec import FeatureOverride, Spec

#: A contract does not list the categories of a column that has more than this.
MAX_LISTED_CATEGORIES = 200

_STRINGS = {"categorical", "text"}
_FEATURE: TypeAdapter[Feature] = TypeAdapter(Feature)


def infer_features(train: pl.DataFrame, spec: Spec) -> tuple[Feature, ...]:
    """Return the contract of every column that is a feature, in the order of the table.

    The target, the weight and the group are not features. Under a split by time, the time column is a feature only if
    model.yaml names it under ``features``. A constant or empty column is left out, because it carries no information.

    Args:
        train: The training and validation rows. The test rows must not be among them: their ranges and categories
            are unknown when the model is trained.
        spec: The model.yaml; its ``features`` override what is inferred from the data.

    Returns:
        At least one feature; the examples of all of them come from one row.

    Raises:
        SpecError: if ``features`` names a column that cannot be a feature, or a field that its kind does not have.
        DataError: if the type of a column cannot be a feature, or no column is left.
    """
    columns = candidates(train, spec)
    _check_overrides(columns, train, spec)
    features = [infer_feature(train[name], spec) for name in columns if not is_constant(train[name])]
    if not features:
        raise DataError("no column is left to learn from: all others are constant, ignored or have a role under `data`")
    _check_expressions(features, spec)
    features = _described(features, spec)
    return with_examples_of_one_row(features, train, spec)


def _described(features: list[Feature], spec: Spec) -> list[Feature]:
    """Return the features with descriptions of lags, which callers have to send."""
    descriptions = {lag.name: lag.description for lag in lags(spec)}
    return [
        feature.model_copy(update={"description": descriptions[feature.name]})
        if feature.name in descriptions and feature.description is None
        else feature
        for feature in features
    ]


def _check_expressions(features: Sequence[Feature], spec: Spec) -> None:
    kinds = {feature.name: feature.kind for feature in features}
    errors = []
    for name, text in spec.expressions.items():
        try:
            expression.parse(text, kinds)
        except ExpressionError as error:
            errors.append(f"{spec.location('features', name, 'expression')}: {error}")
    if errors:
        raise SpecError("\n".join(errors))


def with_examples_of_one_row(features: list[Feature], train: pl.DataFrame, spec: Spec) -> tuple[Feature, ...]:
    """Take all examples from one row, so that they are consistent.

    It is a valid row with as few missing values as possible; of several such rows, the middle one.

    Args:
        features: The features.
        train: The rows, with their columns.
        spec: The model.yaml; the examples under its ``features`` stay as they are.
    """
    columns = pl.DataFrame([_with_gaps(train, feature) for feature in features])
    frame = columns.with_columns(pl.col(pl.Float64).fill_null(float("nan")), pl.col(pl.String).fill_null(""))
    many = [feature for feature in features if isinstance(feature, NumberArray | Image)]
    frame = frame.with_columns(_conformed_column(train, feature, 0) for feature in many)
    is_valid = legal(features, frame)
    if not is_valid.any():
        return tuple(features)
    gaps = columns.select(pl.sum_horizontal(pl.all().is_null())).to_series()
    fullest = (is_valid & (gaps == gaps.filter(is_valid).min())).arg_true()
    if any(isinstance(feature, Tensor) for feature in features):
        sizes = _tensor_elements(features, frame[fullest])
        fullest = fullest[sizes.arg_sort()[:1]]  # the smallest one: examples are in every document
    row = request(features, frame.row(fullest[len(fullest) // 2], named=True))
    row |= {name: as_tuples(value) for name, value in row.items()}
    overridden = {name for name, override in spec.features.items() if override.example is not None}
    examples = {name: value for name, value in row.items() if value is not None and name not in overridden}
    return tuple(
        feature.model_copy(update={"example": examples.get(feature.name, feature.example)}) for feature in features
    )


def _tensor_elements(features: Sequence[Feature], frame: pl.DataFrame) -> pl.Series:
    """Return how many numbers the tensors of each row have."""
    columns = [tensor_values(frame[feature.name]) for feature in features if isinstance(feature, Tensor)]
    return pl.Series([sum(np.size(value) for value in row if value is not None) for row in zip(*columns, strict=True)])


def as_tuples(value: Any) -> Any:
    """Return nested lists as the nested tuples of an example."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def _with_gaps(train: pl.DataFrame, feature: Feature) -> pl.Series:
    """Return the values of a column, null for missing ones."""
    if isinstance(feature, NumberArray | Image):
        return train[feature.name]
    return canonical(train[feature.name], feature.kind)


def infer_feature(column: pl.Series, spec: Spec) -> Feature:
    """Return the contract of one column.

    Args:
        column: The training and validation rows of a column that has at least one value.
        spec: The model.yaml; its ``features`` override what is inferred from the data.

    Raises:
        SpecError: if ``features`` gives a value or a field that the column's kind does not allow.
        DataError: if the column has no name or its type cannot be a feature.
    """
    if not column.name:
        raise DataError('a column of the table has no name; name it, or list "" under `data.ignore`')
    if not is_readable(column):
        raise _not_a_feature(column)
    override = spec.features.get(column.name, FeatureOverride())
    kind = override.kind or ("categorical" if override.normalize and holds_strings(column) else _kind(column))
    overrides = _of_format(spec.data.formats.get(column.name), kind) | override.model_dump(exclude_none=True)
    if isinstance(override.example, date):  # YAML parses an unquoted time
        overrides["example"] = override.example.isoformat()
    may_be_missing = override.required is False or missing(column).any()
    policy = override.missing or ("impute" if may_be_missing else "reject")
    fields = {"name": column.name, "kind": kind, "missing": policy, "required": policy == "reject"}
    try:
        feature = _FEATURE.validate_python(
            {**fields, **_inferred_fields(column, kind, bool(override.normalize)), **overrides}
        )
    except ValidationError as error:
        raise _override_error(error, column.name, spec) from None
    if unknown := [field for field in overrides if field not in type(feature).model_fields]:
        location = spec.location("features", column.name, unknown[0])
        raise SpecError(f"{location}: a feature of kind '{kind}' has no such field")
    return feature


def _of_format(form: str | None, kind: str) -> dict[str, Any]:
    """Return the fields of a contract that follow from the form of the text in the table."""
    if form is None or kind in _STRINGS:
        return {}
    parsed = value_form.parse(form)
    unit = parsed.suffix or parsed.prefix if isinstance(parsed, NumberForm) else ""
    return {"format": form} | ({"unit": unit} if unit else {})


def slice_features(train: pl.DataFrame, features: Sequence[Feature], spec: Spec) -> tuple[Feature, ...]:
    """Return the contract of every column under ``slices``.

    A column that is not a feature gets a contract of its name and kind only. If it holds integers of at most 20
    different values, it is categorical: such integers are usually codes.

    Args:
        train: The training rows, with all columns.
        features: The features of the model.
        spec: The model.yaml.

    Raises:
        DataError: if a column that is not a feature has a type that cannot be divided into slices.
    """
    by_name = {feature.name: feature for feature in features}
    slices = [
        by_name.get(name) or _slice_only_feature(train[name], spec.location("slices", index))
        for index, name in enumerate(dict.fromkeys(spec.slices))
    ]
    return tuple(slices)


def _slice_only_feature(column: pl.Series, location: str) -> Feature:
    if column.dtype == pl.Null or (column.dtype.is_integer() and column.n_unique() <= MAX_INTEGER_CLASSES):
        kind = "categorical"
    elif is_readable(column) and column.dtype != pl.Time:
        kind = _kind(column)
    else:
        raise DataError(
            f"{location}: '{column.name}' holds {column.dtype}, which cannot be divided into slices; convert it to "
            f"numbers, strings or times"
        )
    return _FEATURE.validate_python({"name": column.name, "kind": kind})


def conform(frame: pl.DataFrame, features: Sequence[Feature], offset: int = 0) -> pl.DataFrame:
    """Return the columns of the features in the form of the graph's inputs.

    Args:
        frame: Rows of the table, with the columns of the features and any others.
        features: The features.
        offset: The number of rows of the table that come before these, for the row numbers in errors.

    Returns:
        One column per feature and one row per row. Numbers, booleans (1 and 0) and times (seconds since
        1970-01-01T00:00:00) are Float64, with NaN for a missing or infinite value; categories and texts are String,
        with "" for a missing value. A vector is an Array of Float64, with NaN in all places if it is missing; a
        sequence a List of Float64, and a tensor nested Lists, empty if it is missing; an image the bytes of its file.

    Raises:
        DataError: if a column is absent, or a value cannot be read as its feature's kind; the message counts rows
            from 1.
    """
    return pl.DataFrame([_conformed_column(frame, feature, offset) for feature in features])


def candidates(frame: pl.DataFrame, spec: Spec) -> list[str]:
    """Return the names of the columns that may become features: all columns without another role."""
    data = spec.data
    roles = {data.target, *data.targets, data.weight, data.group}
    if spec.by_time and data.time not in spec.features:
        roles.add(data.time)
    return [name for name in frame.columns if name not in roles and name not in data.ignore]


def _conformed_column(frame: pl.DataFrame, feature: Feature, offset: int) -> pl.Series:
    if feature.name not in frame.columns:
        raise DataError(f"the table has no column '{feature.name}'{suggestion(feature.name, frame.columns)}")
    column = frame[feature.name]
    if isinstance(feature, NumberArray):
        return conformed_arrays(column, feature, offset)
    if isinstance(feature, Image):
        return conformed_images(column, feature, offset)
    values = canonical(column, feature.kind)
    unreadable = values.is_null() & ~missing(column)
    if feature.kind == "integer":
        unreadable |= (values != values.round()).fill_null(False)
    if (row := unreadable.arg_max()) is not None and unreadable[row]:
        raise DataError(
            f"column '{feature.name}', row {offset + row + 1}: expected {feature.expected()}; correct the value, or "
            f"set another `kind` for the column under `features` in model.yaml"
        )
    if feature.dtype == "string":
        return with_known_spellings(values, feature).fill_null("")
    return values.set(~values.is_finite(), None).fill_null(float("nan"))


def _kind(column: pl.Series) -> str:
    """Infer the kind of a column from its type and, if it holds strings, from what they look like."""
    dtype = column.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "numeric"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "datetime"
    if holds_strings(column):
        return "text" if is_text(column.cast(pl.String)) else "categorical"
    raise _not_a_feature(column)


def _not_a_feature(column: pl.Series) -> DataError:
    return DataError(
        f"column '{column.name}' holds {column.dtype}, which cannot be a feature; convert it to numbers, strings or "
        f"times, or list it under `data.ignore`"
    )


def _override_error(error: ValidationError, name: str, spec: Spec) -> SpecError:
    detail = error.errors(include_url=False)[0]
    location = spec.location("features", name, *detail["loc"][1:])
    reason = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return SpecError(f"{location}: {reason}")


def _inferred_fields(column: pl.Series, kind: str, has_normal_forms: bool) -> dict[str, Any]:
    """Infer the fields of a contract that this kind has: range, categories, length, example."""
    values = canonical(column, kind).drop_nulls()
    if kind in _STRINGS:
        max_categories = MAX_NORMALIZED_CATEGORIES if has_normal_forms else MAX_LISTED_CATEGORIES
        return _inferred_string_fields(values, kind, max_categories)
    if kind == "datetime":
        return _inferred_datetime_fields(column, values)
    finite = values.filter(values.is_finite())
    median = finite.quantile(0.5, "nearest")
    if median is None:
        return {}
    if kind == "boolean":
        return {"example": bool(median)}
    cast = int if kind == "integer" else float
    low, high = finite.min(), finite.max()
    assert isinstance(low, float) and isinstance(high, float)
    if kind == "integer" and max(-low, high) > MAX_EXACT_INTEGER:
        raise DataError(
            f"column '{column.name}' has integers beyond 2**53, which a model cannot tell apart; list it under "
            f"`data.ignore`, or set `kind: categorical` for it under `features`"
        )
    return {"minimum": cast(low), "maximum": cast(high), "example": cast(median)}


def _inferred_string_fields(values: pl.Series, kind: str, max_categories: int) -> dict[str, Any]:
    if values.is_empty():
        return {}
    example = values.mode().sort()[0]
    if kind == "text":
        longest = values.str.len_chars().to_numpy().max()
        return {"example": example, "longest": max(int(longest), Text.model_fields["longest"].default)}
    categories = values.unique().sort().to_list()
    return {"example": example, "categories": tuple(categories) if len(categories) <= max_categories else None}


def _inferred_datetime_fields(column: pl.Series, seconds: pl.Series) -> dict[str, Any]:
    median = seconds.quantile(0.5, "nearest")
    if median is None:
        return {}
    text = pl.Series([round(median * 1e6)]).cast(pl.Datetime("us"))[0].isoformat()
    zoned = getattr(times(column).dtype, "time_zone", None) is not None
    return {"example": text + ("Z" if zoned else ""), "zoned": zoned}


def _check_overrides(columns: list[str], train: pl.DataFrame, spec: Spec) -> None:
    errors = []
    for name, override in spec.features.items():
        if override.expression is not None:
            if name in train.columns:
                errors.append(
                    f"{spec.location('features', name, 'expression')}: the table has a column '{name}'; name the "
                    "feature differently"
                )
            continue
        if name in columns:
            continue
        if name in train.columns or name in spec.data.ignore:
            reason = "the column has another role under `data`; it is not a feature"
        else:
            reason = f"the table has no column '{name}'{suggestion(name, columns)}"
        errors.append(f"{spec.location('features', name)}: {reason}")
    if errors:
        raise SpecError("\n".join(errors))
