"""The values of a tensor in a repeated field of a message, which has one type for several datatypes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import MalformedBody
from model_deployer.serving.protocols.tensors import Values


def read(values: Sequence[Any], field: str, dtype: Any, size: int, is_file: bool = False) -> NDArray[Any]:
    """Return the values of a repeated field as an array of [size].

    Args:
        values: The values of the field.
        field: The name of the field, for errors.
        dtype: The numpy dtype; object for texts, which are bytes in UTF-8.
        size: The number of values that the shape of the tensor requires.
        is_file: Whether texts are files, which are read as bytes.

    Raises:
        MalformedBody: if there are more or fewer values, or if texts are not UTF-8.
    """
    if len(values) != size:
        raise MalformedBody(f"expected the `{field}` of an input to have the number of values in its `shape`")
    if dtype is not object:
        return np.array(values, dtype)
    array = np.empty(size, dtype=object)
    try:
        array[:] = list(values) if is_file else [value.decode() for value in values]
    except UnicodeDecodeError:
        raise MalformedBody("expected the strings of an input in UTF-8") from None
    return array


def write(values: Values) -> list[Any]:
    """Return the values of a tensor, row by row, for a repeated field."""
    return values.ravel().tolist() if isinstance(values, np.ndarray) else [text.encode() for text in values]
