"""Arrays, dtypes and scalars of numpy as pickles hold them. Sizes are checked before memory is taken."""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

#: The largest number of dimensions of numpy 1 and 2.
_MAX_DIMENSIONS = 64

_TYPE_CODE = re.compile(r"[<>=|]?[?a-zA-Z]\d*")


def new_dtype(code: Any) -> np.dtype[Any]:
    """Return a dtype of its own for a code such as ``f8`` or ``V56``; :func:`restore_dtype` completes it."""
    if isinstance(code, StoredObject) and code.name in ("record", "void"):
        return np.dtype("V8", copy=True)
    if not isinstance(code, str) or not _TYPE_CODE.fullmatch(code):
        raise UnreadableSource("the file has an array of an unknown element type")
    return np.dtype(code, copy=True)


def restore_dtype(dtype: np.dtype[Any], state: Any) -> None:
    """Give a dtype its byte order, fields and units.

    The state is rebuilt by numpy's public constructor first, which checks it; numpy does not check a pickled one.

    Args:
        dtype: A dtype of :func:`new_dtype`.
        state: Its state as numpy pickles it: version, byte order, subarray, names, fields, size, alignment, flags.
    """
    complete = _complete_dtype(dtype, state)
    reduced: Any = complete.__reduce__()[2]
    if complete.kind != dtype.kind or (complete.itemsize != dtype.itemsize and dtype.kind not in "VSU"):
        raise UnreadableSource("the file has an array whose element type contradicts itself")
    dtype.__setstate__(reduced)  # type: ignore[attr-defined]  # typeshed leaves the method out


def _complete_dtype(dtype: np.dtype[Any], state: Any) -> np.dtype[Any]:
    _, order, subarray, names, fields, size, *rest = state
    if subarray is not None:
        base, shape = subarray
        return np.dtype((base, shape))
    if names:
        parts = [fields[name] for name in names]
        description = {
            "names": list(names),
            "formats": [part[0] for part in parts],
            "offsets": [part[1] for part in parts],
            "itemsize": size,
        }
        structure: np.dtype[Any] = np.dtype(description)  # type: ignore[call-overload]  # of computed keys
        return structure
    if dtype.kind in "mM" and len(rest) > 2 and rest[2]:
        unit, count, *_ = rest[2][1]
        unit = unit.decode("ascii") if isinstance(unit, bytes) else unit
        return np.dtype(f"{dtype.kind}8[{count}{unit}]" if unit != "generic" else f"{dtype.kind}8").newbyteorder(order)
    if dtype.kind in "SUV" and isinstance(size, int) and size >= 0:
        dtype = np.dtype(f"{dtype.kind}{size // 4 if dtype.kind == 'U' else size}")
    return dtype.newbyteorder(order)


def restore_array(array: Any, state: Any) -> int:
    """Fill an empty array in place.

    Args:
        array: The array; it gets the shape, dtype and elements of the state.
        state: As numpy pickles it: version, shape, dtype, whether columns come first, elements as bytes or as a list.

    Returns:
        The number of bytes of the elements.
    """
    shape, dtype, is_fortran, elements = state[-4:]
    count = element_count(shape)
    is_python_2 = isinstance(elements, str)
    if is_python_2:
        elements = elements.encode("latin-1")
    if dtype.hasobject:
        is_complete = isinstance(elements, list) and len(elements) == count
    else:
        elements = bytes(elements)
        is_complete = len(elements) == count * dtype.itemsize and (dtype.itemsize > 0 or count <= 1)
    if not is_complete:
        raise UnreadableSource("the file has an array whose shape does not fit its data; hand over the complete file")
    array.__setstate__((1, shape, dtype, bool(is_fortran), elements))
    if is_python_2:
        array.__setstate__(as_texts(array).__reduce__()[2])
    return count * max(int(dtype.itemsize), 1)


def as_texts(array: NDArray[Any]) -> NDArray[Any]:
    """Return the texts of Python 2, which are bytes, as texts; other arrays as they are."""
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def element_count(shape: Any) -> int:
    """Return the number of elements of an array of a shape; the shape is checked."""
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise UnreadableSource("the file has an array with an impossible shape; hand over the original file")
    return math.prod(int(size) for size in shape)


def array_from_bytes(data: Any, dtype: np.dtype[Any], shape: Any, order: str) -> NDArray[Any]:
    """Return an array of elements that are stored one after the other.

    Args:
        data: The elements.
        dtype: Their type, without objects.
        shape: The shape of the array.
        order: ``C`` if rows are stored one after the other, ``F`` for columns.
    """
    if dtype.hasobject or len(data) != element_count(shape) * dtype.itemsize:
        raise UnreadableSource("the file has an array whose shape does not fit its data; hand over the complete file")
    flat = np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def scalar(dtype: np.dtype[Any], data: Any = None) -> Any:
    """Return one element of a dtype from its bytes; an object is returned as it is."""
    if dtype.hasobject:
        return data
    if isinstance(data, str):
        data = data.encode("latin-1")  # Python 2
    if data is None or len(data) != dtype.itemsize or not data:
        raise UnreadableSource("the file has a number whose bytes are damaged; hand over the original file")
    return np.frombuffer(data, dtype)[0]


def _is_size(size: Any) -> bool:
    return isinstance(size, int | np.integer) and bool(size >= 0)
