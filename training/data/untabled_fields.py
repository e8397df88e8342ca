"""The contract of the fields of a model that was trained elsewhere, where no table shows them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.contract.errors import SpecError
from model_deployer.contract.features import Feature, sizes_of
from model_deployer.contract.image_file import example_image
from model_deployer.training.data.source_range import within_source_range
from model_deployer.training.spec import FeatureOverride, Spec

#: The keys of model.yaml that are merged with what the source says.
_NOT_OVERRIDDEN = {"kind", "missing", "unknown", "categories", "size", "channels", "pixels", "padding", "shape"}

_FEATURE: TypeAdapter[Feature] = TypeAdapter(Feature)


def untabled_features(
    interface: Interface, critical: Mapping[str, set[float | str]], spec: Spec
) -> tuple[Feature, ...]:
    """Return the contract of the fields that a model reads, from its source and from model.yaml alone.

    Args:
        interface: What the source says of its fields.
        critical: Values of each field at which the model changes its behaviour; the middle one is the example.
        spec: The model.yaml; its ``features`` describe fields.

    Raises:
        SpecError: if neither the source nor ``features`` says whether a field is a number or a text, or ``features``
            has a value that the kind does not allow.
    """
    return tuple(_feature(field, sorted(critical.get(field.name, ()), key=repr), spec) for field in interface.fields)


def _feature(field: SourceField, critical: list[float | str], spec: Spec) -> Feature:
    override = spec.features.get(field.name, FeatureOverride())
    kind = "image" if field.image is not None else override.kind or _kind(field)
    if kind is None:
        raise SpecError(
            f"{spec.location('features')}: without a table, it is not known whether '{field.name}' is a number or a "
            f"text; add `{field.name}: {{kind: numeric}}` or `{{kind: categorical}}`"
        )
    policy = "reject" if field.refuses_missing or override.missing == "reject" else "impute"
    fields: dict[str, Any] = {"name": field.name, "kind": kind, "missing": policy, "required": policy == "reject"}
    if kind == "categorical" and field.categories:
        unknown = "reject" if field.refuses_unknown or override.unknown == "reject" else "accept"
        fields |= {"categories": field.categories, "unknown": unknown}
    if kind == "vector":
        fields |= {"length": field.length, "integers": field.is_whole}
    if field.dimensions is not None:
        fields |= {"shape": field.dimensions, "integers": field.is_whole}
        fields |= {"minimum": field.minimum, "maximum": field.maximum}
        override = override.model_copy(update={"minimum": None, "maximum": None})
    if field.sequence is not None:
        fields |= {"shortest": field.sequence[0], "longest": field.sequence[1], "integers": field.is_whole}
        fields |= {"minimum": field.minimum, "maximum": field.maximum}
        override = override.model_copy(update={"minimum": None, "maximum": None})
    if field.image is not None:
        fields |= dict(zip(("height", "width", "channels"), field.image, strict=True))
    fields["example"] = _example(kind, field, critical)
    overrides = override.model_dump(exclude_none=True, exclude=_NOT_OVERRIDDEN)
    try:
        return within_source_range(_FEATURE.validate_python({**fields, **overrides}), field)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise SpecError(f"{spec.location('features', field.name)}: {reason}") from None


def _kind(field: SourceField) -> str | None:
    if field.kind == "text":
        return "text" if field.is_free_text else "categorical"
    if field.dimensions is not None:
        return "tensor"
    if field.length is not None:
        return "vector"
    if field.sequence is not None:
        return "sequence"
    return "integer" if field.is_whole else "numeric" if field.kind == "number" else None


def _example(kind: str, field: SourceField, critical: list[float | str]) -> Any:
    if kind == "categorical":
        return field.categories[0] if field.categories else "a category"
    if kind == "text":
        return "a text"
    if field.image is not None:
        return example_image(*field.image)
    if field.dimensions is not None:
        return np.full([low for low, _ in sizes_of(field.dimensions)], max(0.0, field.minimum or 0.0)).tolist()
    if kind == "vector":
        return (0.0,) * (field.length or 1)
    if field.sequence is not None:
        return _example_sequence(field, field.sequence[0])
    numbers = sorted(value for value in critical if isinstance(value, float | int))
    middle = float(numbers[len(numbers) // 2]) if numbers else 0.0
    return {"integer": round(middle), "boolean": False}.get(kind, middle)


def _example_sequence(field: SourceField, length: int) -> tuple[float, ...]:
    """Return the numbers in the middle of the range, so that none is the number of the padding."""
    if field.minimum is None or field.maximum is None:
        return (0.0,) * length
    middle = (field.minimum + field.maximum) / 2
    return (round(middle) if field.is_whole else middle,) * length
