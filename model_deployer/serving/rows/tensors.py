"""The values of tensors: the type as which msgspec decodes them, and their checks."""

from abc import ABCMeta
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from model_deployer.contract.features import Tensor
from model_deployer.serving.rows.invalid_value import InvalidValue
from model_deployer.serving.rows.vectors import check_number, number_type

Numbers = NDArray[np.float64]


def tensor_type(feature: Tensor) -> Any:
    """Return the type of a tensor, which :func:`serving.rows.decoding.json_decoder` decodes by its function ``read``.

    msgspec requires an instance of the type as the result, so arrays are registered as a subclass.
    """
    lists = number_type(feature)
    for low, high in reversed(feature.sizes):
        lists = Annotated[list.__class_getitem__(lists), Meta(min_length=low, max_length=high)]

    def read(value: Any) -> Numbers:
        # numpy raises a ValueError for lists of one axis that differ in length.
        array = value if isinstance(value, np.ndarray) else np.array(msgspec.convert(value, lists))
        if not _is_legal(feature, array):
            raise ValueError
        return array.astype(np.float64, copy=False)

    kind = ABCMeta("Numbers", (), {"read": staticmethod(read)})
    kind.register(np.ndarray)
    return kind


def check_tensor(feature: Tensor, value: Any) -> Numbers:
    """Return a valid tensor as the compiled decoder returns it, float64.

    Args:
        feature: The field.
        value: Nested lists of JSON, or an array of numbers.

    Raises:
        InvalidValue: if it breaks the contract; the message names the place.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiu":
            raise InvalidValue("wrong_type")
        if _is_legal(feature, value):
            return value.astype(np.float64)
        value = value.tolist()
    shape = _shape(value)
    _check_lists(feature, value, shape, ())
    if not feature.accepts_shape(shape):
        raise InvalidValue("wrong_length", f"expected {feature.expected()}; it has the shape {list(shape)}")
    return np.array(value, np.float64)


def _is_legal(feature: Tensor, array: NDArray[Any]) -> bool:
    is_number = array.dtype.kind in "fiu"
    return is_number and feature.accepts_shape(array.shape) and bool(feature.accepts(array[None])[0])


def _shape(value: Any) -> tuple[int, ...]:
    """Return the lengths of the first list of each axis."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _check_lists(feature: Tensor, value: Any, shape: tuple[int, ...], place: tuple[int, ...]) -> None:
    """Check the part of a tensor at a place: lists of the lengths of the first ones, down to legal numbers."""
    where = "at " + "".join(f"[{index}]" for index in place) if place else ""
    if len(place) == len(feature.sizes):
        check_number(feature, value, where)
        return
    if not isinstance(value, list):
        raise InvalidValue("wrong_type", f"expected {feature.expected()}{where and f'; it has no list {where}'}")
    expected = shape[len(place)]
    if len(value) != expected:
        raise InvalidValue(
            "wrong_length",
            f"expected {feature.expected()}; the list {where} has {len(value):,} items, and the first one of its axis "
            f"{expected:,}",
        )
    for index, item in enumerate(value):
        _check_lists(feature, item, shape, (*place, index))
