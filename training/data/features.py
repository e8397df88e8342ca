"""The features of a table: what each column is, and its values as the arrays that the model's graph takes."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from pydantic import TypeAdapter, ValidationError

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.features import MAX_EXACT_INTEGER, Feature, Text
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.data.columns import canonical, is_constant, is_readable, is_text, missing, times
from model_deployer.training.data.request_rows import legal, request
from model_deployer.training.data.target import MOST_INTEGER_CLASSES
from model_deployer.training.spec import FeatureOverride, Spec

#: More levels than this are not listed in a contract.
LISTED_CATEGORIES = 200

_STRINGS = {"categorical", "text"}
_FEATURE: TypeAdapter[Feature] = TypeAdapter(Feature)


def infer_features(train: pl.DataFrame, spec: Spec) -> tuple[Feature, ...]:
    """The contract of every column that can be learnt from, in the order of the table.

    The target, weight and group are no features, nor is the time column under a split by time unless model.yaml names
    it under ``features``. A column with a single value, or none, is left out: nothing can be learnt from it.

    Args:
        train: The rows to learn from only, so that no range or category is learnt from rows that are to be predicted.
        spec: Its ``features`` overrule what the data say.

    Raises:
        SpecError: ``features`` names a column that is none, or gives a field that its kind does not have.
        DataError: A column has a type that no feature can have, or no column is left.
    """
    columns = candidates(train, spec)
    _check_overrides(columns, train, spec)
    features = [infer_feature(train[name], spec) for name in columns if not is_constant(train[name])]
    if not features:
        raise DataError("no column is left to learn from: all others are constant, ignored or have a role under `data`")
    return _with_examples_of_one_row(features, train, spec)


def _with_examples_of_one_row(features: list[Feature], train: pl.DataFrame, spec: Spec) -> tuple[Feature, ...]:
    """Examples that fit each other: from the middle one of those legal rows in which the fewest values are missing."""
    columns = pl.DataFrame([canonical(train[feature.name], feature.kind) for feature in features])
    frame = columns.with_columns(pl.col(pl.Float64).fill_null(float("nan")), pl.col(pl.String).fill_null(""))
    possible = legal(features, frame)
    if not possible.any():
        return tuple(features)
    gaps = columns.select(pl.sum_horizontal(pl.all().is_null())).to_series()
    fullest = (possible & (gaps == gaps.filter(possible).min())).arg_true()
    row = request(features, frame.row(fullest[len(fullest) // 2], named=True))
    said = {name for name, override in spec.features.items() if override.example is not None}
    examples = {name: value for name, value in row.items() if value is not None and name not in said}
    return tuple(
        feature.model_copy(update={"example": examples.get(feature.name, feature.example)}) for feature in features
    )


def infer_feature(column: pl.Series, spec: Spec) -> Feature:
    """The contract of one column of the rows to learn from; raises as infer_features."""
    if not column.name:
        raise DataError('a column of the table has no name; name it, or list "" under `data.ignore`')
    if not is_readable(column):
        raise _no_feature(column)
    override = spec.features.get(column.name, FeatureOverride())
    kind = override.kind or _kind(column)
    said = override.model_dump(exclude_none=True)
    if isinstance(override.example, date):  # YAML reads an unquoted time as one
        said["example"] = override.example.isoformat()
    absent = override.required is False or missing(column).any()
    policy = override.missing or ("impute" if absent else "reject")
    facts = {"name": column.name, "kind": kind, "missing": policy, "required": policy == "reject"}
    try:
        feature = _FEATURE.validate_python({**facts, **_facts(column, kind), **said})
    except ValidationError as error:
        raise _override_fault(error, column.name, spec) from None
    if foreign := [field for field in said if field not in type(feature).model_fields]:
        place = spec.place("features", column.name, foreign[0])
        raise SpecError(f"{place}: a feature of kind '{kind}' has no such field")
    return feature


def slice_features(train: pl.DataFrame, features: Sequence[Feature], spec: Spec) -> tuple[Feature, ...]:
    """What is known of the columns under ``slices``: the features among them, and of the others only the kind.

    Of those, integers of at most 20 different values are categories: more often than not they are codes.

    Raises:
        DataError: A column that is no feature holds what cannot be divided into slices.
    """
    learnt = {feature.name: feature for feature in features}
    found = [
        learnt.get(name) or _of_kind(train[name], spec.place("slices", place))
        for place, name in enumerate(dict.fromkeys(spec.slices))
    ]
    return tuple(found)


def _of_kind(column: pl.Series, place: str) -> Feature:
    if column.dtype == pl.Null or (column.dtype.is_integer() and column.n_unique() <= MOST_INTEGER_CLASSES):
        kind = "categorical"
    elif is_readable(column) and column.dtype != pl.Time:
        kind = _kind(column)
    else:
        raise DataError(
            f"{place}: '{column.name}' holds {column.dtype}, which cannot be divided into slices; turn it into "
            f"numbers, strings or times"
        )
    return _FEATURE.validate_python({"name": column.name, "kind": kind})


def conform(frame: pl.DataFrame, features: Sequence[Feature], first: int = 0) -> pl.DataFrame:
    """The columns of ``features`` as the graph takes them.

    Numbers, booleans (1 and 0) and times (seconds since 1970-01-01T00:00:00) become Float64 with NaN for a missing or
    infinite value; categories and texts become String with "" for a missing one.

    Args:
        frame: Rows of the table.
        features: What the columns are.
        first: How many rows of the table come before these.

    Raises:
        DataError: A column is absent, or a value cannot be read as its feature's kind; rows count from 1.
    """
    return pl.DataFrame([_conformed(frame, feature, first) for feature in features])


def candidates(frame: pl.DataFrame, spec: Spec) -> list[str]:
    """The columns that may become features: all without another role."""
    data = spec.data
    roles = {data.target, data.weight, data.group}
    if spec.by_time and data.time not in spec.features:
        roles.add(data.time)
    return [name for name in frame.columns if name not in roles and name not in data.ignore]


def _conformed(frame: pl.DataFrame, feature: Feature, first: int) -> pl.Series:
    if feature.name not in frame.columns:
        raise DataError(f"the table has no column '{feature.name}'{suggestion(feature.name, frame.columns)}")
    column = frame[feature.name]
    values = canonical(column, feature.kind)
    lost = values.is_null() & ~missing(column)
    if feature.kind == "integer":
        lost |= (values != values.round()).fill_null(False)
    if (row := lost.arg_max()) is not None and lost[row]:
        raise DataError(
            f"column '{feature.name}', row {first + row + 1}: expected {feature.expected()}; correct the value, or say "
            f"another `kind` under `features` in model.yaml"
        )
    if feature.dtype == "string":
        return values.fill_null("")
    return values.set(~values.is_finite(), None).fill_null(float("nan"))


def _kind(column: pl.Series) -> str:
    """What a column is, by its type and, if it holds strings, by what they look like."""
    dtype = column.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "numeric"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "datetime"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text" if is_text(column.cast(pl.String)) else "categorical"
    raise _no_feature(column)


def _no_feature(column: pl.Series) -> DataError:
    return DataError(
        f"column '{column.name}' holds {column.dtype}, which no feature can be; turn it into numbers, strings or "
        f"times, or list it under `data.ignore`"
    )


def _override_fault(error: ValidationError, name: str, spec: Spec) -> SpecError:
    detail = error.errors(include_url=False)[0]
    place = spec.place("features", name, *detail["loc"][1:])
    return SpecError(f"{place}: {detail['msg'].removeprefix('Value error, ').replace('Input should be', 'expected')}")


def _facts(column: pl.Series, kind: str) -> dict[str, Any]:
    """What the rows to learn from say of a column of this kind."""
    values = canonical(column, kind).drop_nulls()
    if kind in _STRINGS:
        return _string_facts(values, kind)
    if kind == "datetime":
        return _datetime_facts(column, values)
    finite = values.filter(values.is_finite())
    middle = finite.quantile(0.5, "nearest")
    if middle is None:
        return {}
    if kind == "boolean":
        return {"example": bool(middle)}
    cast = int if kind == "integer" else float
    low, high = finite.min(), finite.max()
    assert isinstance(low, float) and isinstance(high, float)
    if kind == "integer" and max(-low, high) > MAX_EXACT_INTEGER:
        raise DataError(
            f"column '{column.name}' has integers beyond 2**53, which a model cannot tell apart; list it under "
            f"`data.ignore`, or say `kind: categorical` for it under `features`"
        )
    return {"minimum": cast(low), "maximum": cast(high), "example": cast(middle)}


def _string_facts(values: pl.Series, kind: str) -> dict[str, Any]:
    if values.is_empty():
        return {}
    example = values.mode().sort()[0]
    if kind == "text":
        longest = values.str.len_chars().to_numpy().max()
        return {"example": example, "longest": max(int(longest), Text.model_fields["longest"].default)}
    levels = values.unique().sort().to_list()
    return {"example": example, "categories": tuple(levels) if len(levels) <= LISTED_CATEGORIES else None}


def _datetime_facts(column: pl.Series, seconds: pl.Series) -> dict[str, Any]:
    middle = seconds.quantile(0.5, "nearest")
    if middle is None:
        return {}
    text = pl.Series([round(middle * 1e6)]).cast(pl.Datetime("us"))[0].isoformat()
    zoned = getattr(times(column).dtype, "time_zone", None) is not None
    return {"example": text + ("Z" if zoned else ""), "zoned": zoned}


def _check_overrides(columns: list[str], train: pl.DataFrame, spec: Spec) -> None:
    faults = []
    for name in spec.features:
        if name in columns:
            continue
        if name in train.columns or name in spec.data.ignore:
            reason = "the column has another role under `data`; it is no feature"
        else:
            reason = f"the table has no column '{name}'{suggestion(name, columns)}"
        faults.append(f"{spec.place('features', name)}: {reason}")
    if faults:
        raise SpecError("\n".join(faults))
