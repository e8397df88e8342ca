"""The contract of the fields of a model that was trained elsewhere: what its source says, merged with a table.

Values go to such a model as callers send them. So a contract states no range that a value is clamped to, unless
model.yaml does, and a column stays a feature even if the table has the same value in every row.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import polars as pl

from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.features import Feature, Image, NumberSequence, Tensor, Vector
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.data.columns import holds_strings, is_readable
from model_deployer.training.data.features import as_tuples, infer_feature, with_examples_of_one_row
from model_deployer.training.data.images import conformed_images
from model_deployer.training.data.source_range import within_source_range
from model_deployer.training.data.vectors import conformed_arrays
from model_deployer.training.spec import FeatureOverride, Spec

#: How many names a message lists.
_MAX_LISTED = 12


def check_columns(frame: pl.DataFrame, interface: Interface, spec: Spec) -> None:
    """Check that a table has the columns that a model reads.

    Raises:
        DataError: if a column is absent, or cannot be read as the model reads it. The message shows both sides.
    """
    absent = [field.name for field in interface.fields if field.name not in frame.columns]
    if not absent:
        return
    others = [name for name in frame.columns if name not in spec.data.columns and name not in _names(interface)]
    hint = suggestion(absent[0], others) if len(absent) == 1 else ""
    raise DataError(
        f"{spec.location('data', 'path')}: the table lacks {_listed(absent)} of the {len(interface.fields)} columns "
        f"that the model reads{hint}. Columns of the table that the model does not read: {_listed(others) or 'none'}. "
        f"Rename them under `data.rename`, or list the columns in the order of the model under `adopt.columns`"
    )


def source_features(frame: pl.DataFrame, interface: Interface, spec: Spec) -> tuple[Feature, ...]:
    """Return the contract of the fields that a model reads, in the order of the source.

    Args:
        frame: The rows of the table, with all columns that the model reads.
        interface: What the source says of its fields.
        spec: The model.yaml; its ``features`` describe fields, and may narrow what the source accepts.

    Raises:
        DataError: if a column holds something else than the model reads, or has no value.
        SpecError: if ``features`` contradicts the source, or names a column that the model does not read.
    """
    _check_overrides(interface, spec)
    features = [_feature(frame[field.name], field, spec) for field in interface.fields]
    return with_examples_of_one_row(features, frame, spec)


def _feature(column: pl.Series, field: SourceField, spec: Spec) -> Feature:
    override = spec.features.get(field.name, FeatureOverride())
    if field.image is not None:
        return _image(column, field.image, spec)
    if field.length is not None or field.sequence is not None or field.dimensions is not None:
        return _numbers(column, field, spec)
    column = _readable(column, field, spec)
    merged = override.model_copy(update={"kind": override.kind or _kind(column, field), **_policies(field, override)})
    features = {**spec.features, field.name: merged}
    feature = infer_feature(column, spec.model_copy(update={"features": features}))
    bounds = {name: getattr(override, name) for name in ("minimum", "maximum") if hasattr(feature, name)}
    return within_source_range(feature.model_copy(update=bounds), field)


def _numbers(column: pl.Series, field: SourceField, spec: Spec) -> Vector | NumberSequence | Tensor:
    """Return the contract of a field with several numbers; its example is the first value of the table."""
    override = spec.features.get(field.name, FeatureOverride())
    missing: Literal["reject", "impute"] = "reject" if field.refuses_missing else override.missing or "reject"
    feature: Vector | NumberSequence | Tensor
    bounds = {"minimum": field.minimum, "maximum": field.maximum}
    if field.dimensions is not None:
        feature = Tensor(name=field.name, dimensions=field.dimensions, integers=field.is_whole, missing=missing)
        override = override.model_copy(update=bounds)
    elif field.sequence is None:
        feature = Vector(name=field.name, length=field.length or 1, integers=field.is_whole, missing=missing)
    else:
        low, high = field.sequence
        feature = NumberSequence(name=field.name, shortest=low, longest=high, integers=field.is_whole, missing=missing)
        override = override.model_copy(update=bounds)
    try:
        values = conformed_arrays(column.drop_nulls().head(1), feature).to_list()
    except DataError as error:
        raise DataError(f"{spec.location('data', 'path')}: {error}") from None
    stated = override.model_dump(include={"description", "unit", "minimum", "maximum"})
    return feature.model_copy(update={**stated, "example": as_tuples(values[0]) if values else None})


def _image(column: pl.Series, shape: tuple[int, int, int], spec: Spec) -> Image:
    """Return the contract of a field with an image; its example is the first image of the table."""
    override = spec.features.get(column.name, FeatureOverride())
    height, width, channels = shape
    stated = override.model_dump(include={"description", "resize", "example"}, exclude_none=True)
    sizes = {"name": column.name, "height": height, "width": width, "channels": channels}
    feature = Image.model_validate(sizes | stated)
    try:
        conformed_images(column.head(1), feature)
    except DataError as error:
        raise DataError(f"{spec.location('data', 'path')}: {error}") from None
    return feature


def _readable(column: pl.Series, field: SourceField, spec: Spec) -> pl.Series:
    location = spec.location("data", "path")
    if not is_readable(column) or column.dtype.is_temporal():
        raise DataError(
            f"{location}: the column '{column.name}' holds {column.dtype}, but the model reads {_expected(field)}; "
            f"convert it in the table as the model's own program does"
        )
    if field.kind == "number" and holds_strings(column):
        raise DataError(
            f"{location}: the column '{column.name}' holds texts, but the model reads {_expected(field)}; convert it "
            f"in the table as the model's own program does, or say how to read it under `data.formats`"
        )
    if column.null_count() == len(column):
        raise DataError(f"{location}: the column '{column.name}' has no value, so that its contract is not known")
    return column


def _expected(field: SourceField) -> str:
    return {"number": "numbers", "text": "texts", None: "numbers or texts"}[field.kind]


def _kind(column: pl.Series, field: SourceField) -> str | None:
    if field.kind == "text":
        return "text" if field.is_free_text else "categorical"
    if field.is_whole:
        return "integer"
    return None  # a number, a whole number or a boolean, as the table has it


def _policies(field: SourceField, override: FeatureOverride) -> dict[str, object]:
    """Return the policies of a field; model.yaml may refuse what the source accepts, but not the other way round."""
    policies: dict[str, object] = {}
    refuses_missing = field.refuses_missing or override.missing == "reject"
    policies["missing"] = "reject" if refuses_missing else "impute"
    if field.kind == "text" and not field.is_free_text and field.categories is not None:
        refuses_unknown = field.refuses_unknown or override.unknown == "reject"
        policies |= {"categories": field.categories, "unknown": "reject" if refuses_unknown else "accept"}
    return policies


def _check_overrides(interface: Interface, spec: Spec) -> None:
    fields = {field.name: field for field in interface.fields}
    for name, override in spec.features.items():
        location = spec.location("features", name)
        if name not in fields:
            raise SpecError(f"{location}: the model reads no column '{name}'{suggestion(name, list(fields))}")
        if override.missing == "impute" and fields[name].refuses_missing:
            raise SpecError(f"{location}: `missing: impute`, but the source raises an error for a missing value")
        if override.unknown == "accept" and fields[name].refuses_unknown:
            raise SpecError(f"{location}: `unknown: accept`, but the source raises an error for an unknown category")


def of_table(interface: Interface, columns: Sequence[str]) -> Interface:
    """Return the interface with the names of a table for the fields of a source that has none, in their order."""
    fields = (replace(field, name=name) for field, name in zip(interface.fields, columns, strict=True))
    return replace(interface, fields=tuple(fields))


def _names(interface: Interface) -> set[str]:
    return {field.name for field in interface.fields}


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:_MAX_LISTED])
    return f"{listed} and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else listed
