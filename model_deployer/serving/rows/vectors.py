"""The values of vectors and sequences: the type as which msgspec decodes them, and their checks.

Those of tensors are in :mod:`serving.rows.tensors`.
"""

import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from model_deployer.contract.features import MAX_EXACT_INTEGER, NumberArray, NumberList
from model_deployer.serving.rows.invalid_value import InvalidValue


def has_vectors(features: Sequence[Any]) -> bool:
    """Return whether one of the fields is a vector, a sequence or a tensor."""
    return any(isinstance(feature, NumberArray) for feature in features)


def vector_type(feature: NumberList) -> Any:
    """Return the type as which msgspec decodes a list of numbers: of a legal length, and numbers within its bounds."""
    shortest, longest = feature.lengths
    size = Meta(min_length=shortest, max_length=longest)
    return Annotated[list.__class_getitem__(number_type(feature)), size]


def number_type(feature: NumberArray) -> Any:
    """Return the type as which msgspec decodes one of the numbers: within its bounds."""
    low, high = feature.bounds
    if feature.integers:
        return Annotated[int, Meta(ge=math.ceil(low), le=math.floor(high))]
    return Annotated[float, Meta(ge=feature.minimum, le=feature.maximum)]


def is_finite(value: Any) -> bool:
    """Return whether no number of a decoded list is NaN or infinite."""
    return all(math.isfinite(number) for number in value if type(number) is float)


def check_vector(feature: NumberList, value: Any) -> list[float] | NDArray[np.float64]:
    """Return a valid list as the compiled decoder returns it, or an array of float64 for an array.

    Args:
        feature: The field.
        value: A value of JSON, or an array of numbers, [length].

    Raises:
        InvalidValue: if it breaks the contract.
    """
    if isinstance(value, np.ndarray):
        return _check_array(feature, value)
    if not isinstance(value, list):
        raise InvalidValue("wrong_type")
    _check_length(feature, len(value))
    return [check_number(feature, number, f"at index {index}") for index, number in enumerate(value)]


def _check_array(feature: NumberList, array: NDArray[Any]) -> NDArray[np.float64]:
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise InvalidValue("wrong_type")
    _check_length(feature, len(array))
    if not feature.accepts(array[None])[0]:
        for index, number in enumerate(array.tolist()):
            check_number(feature, number, f"at index {index}")
    return array.astype(np.float64)


def _check_length(feature: NumberList, length: int) -> None:
    if not feature.accepts_length(length):
        raise InvalidValue("wrong_length", f"expected {feature.expected()}; it has {length:,}")


def check_number(feature: NumberArray, number: Any, where: str) -> float:
    """Return a valid number of a value.

    Args:
        feature: The field.
        number: A value of JSON.
        where: Its place in the value, for messages: "at ...".

    Raises:
        InvalidValue: if it breaks the contract.
    """
    if number is None:
        raise InvalidValue("not_nullable", f"null {where} is not accepted: send {feature.element()}")
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidValue("wrong_type", f"expected {feature.element()} {where}")
    if not _is_finite_number(number):
        raise InvalidValue("not_finite", f"the number {where} is NaN, infinite or too large: send {feature.element()}")
    if feature.integers and number != int(number):
        raise InvalidValue("not_an_integer", f"expected {feature.element()} {where}")
    low, high = feature.bounds
    if not low <= number <= high:
        raise InvalidValue("out_of_range", _out_of_range(feature, where))
    return int(number) if feature.integers else float(number)


def _is_finite_number(number: float) -> bool:
    return abs(number) <= sys.float_info.max


def _out_of_range(feature: NumberArray, where: str) -> str:
    if feature.minimum is None and feature.maximum is None:
        return f"expected a whole number from -{MAX_EXACT_INTEGER:,} to {MAX_EXACT_INTEGER:,} {where}"
    return f"expected {feature.element()} {where}"
