"""Arrays in numpy's format NPY, as SageMaker's clients and containers send them. Nothing is unpickled.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from model_deployer.contract.contract import Limits
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import Feature, Image, NumberArray
from model_deployer.contract.outputs import Arrays, Output

#: The kinds of dtypes that hold values of JSON: booleans, integers, floating-point numbers and texts.
_KINDS = frozenset("biufU")


def read(body: bytes, features: Sequence[Feature], limits: Limits) -> dict[str, NDArray[Any]]:
    """Return the columns of an array, without a copy of numbers.

    Args:
        body: An array of [rows, fields]; of [rows] for a model of one field, or else of [fields] for one row. A
            structured array of [rows] has the names of the columns. For a model whose only field is a list, a
            tensor or an image, it is [rows, *shape], or [*shape] for one row.
        features: The fields, in the order of the columns.
        limits: The limits of a request.

    Returns:
        Arrays of [rows] by name: numbers, booleans or str objects; [rows, *shape] for a list, a tensor or an image.

    Raises:
        MalformedBody: if it is not such an array, or the model has a list, a tensor or an image in addition to other
            fields.
        TooManyRows: if there are more rows than the limit.
    """
    names, array = [feature.name for feature in features], _array(body)
    if many := next((feature for feature in features if isinstance(feature, NumberArray | Image)), None):
        return {many.name: _only_field(many, array, len(features), limits)}
    if array.dtype.names:
        if array.ndim != 1:
            raise MalformedBody("expected a structured array to have the shape [rows]")
        limits.check_rows(len(array))
        return {name: _plain(array[name]) for name in array.dtype.names}
    if array.ndim == 1:
        array = array.reshape((-1, 1) if len(names) == 1 else (1, -1))
    if array.ndim != 2 or array.shape[1] != len(names):
        raise MalformedBody(f"expected an array of the shape [rows, {len(names)}]")
    limits.check_rows(len(array))
    return {name: _plain(array[:, index]) for index, name in enumerate(names)}


def _only_field(feature: NumberArray | Image, array: NDArray[Any], fields: int, limits: Limits) -> NDArray[Any]:
    """Return the lists, the tensors or the images of a model without other fields, [rows, *shape]."""
    if fields > 1:
        raise MalformedBody(
            f"an array cannot hold the {feature.kind} `{feature.name}` and the other fields; send JSON or Parquet"
        )
    if array.ndim == len(feature.shape):
        array = array[None]
    shape = array.shape[1:]
    is_legal = feature.accepts_shape(shape) if isinstance(feature, NumberArray) else shape == feature.shape
    if not is_legal or array.dtype.kind not in "fiu":
        sizes = feature.shape_text if isinstance(feature, NumberArray) else ", ".join(map(str, feature.shape))
        raise MalformedBody(f"expected an array of numbers of the shape [rows, {sizes}]")
    limits.check_rows(len(array))
    return _plain(array)


def write(output: Output, arrays: Arrays) -> bytes:
    """Return the predictions as one float32 array.

    It has the probabilities, [rows, labels]; or the columns value, lower and upper, [rows, 3]; or the values, [rows,
    numbers].
    """
    numbers = np.hstack([arrays[name] for name in output.tensors])
    file = io.BytesIO()
    npy.write_array(file, np.ascontiguousarray(numbers, dtype="<f4"), allow_pickle=False)
    return file.getvalue()


def _array(body: bytes) -> NDArray[Any]:
    """Return the array of a body: not by numpy.load, which allocates as much as the header claims."""
    file = io.BytesIO(body)
    try:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
    except Exception:  # numpy evaluates the header as a literal of Python, and passes the errors of its parsers on
        raise MalformedBody("the body cannot be read as an array in the format NPY") from None
    fields = [dtype[name] for name in dtype.names or ()] or [dtype]
    if any(field.kind not in _KINDS or not field.itemsize or field.shape for field in fields):
        raise MalformedBody("expected an array of numbers, booleans or texts (dtype.kind b, i, u, f or U)")
    count = math.prod(shape)
    if not shape or min(shape) < 1:
        raise MalformedBody("the array has no rows; send at least one")
    if len(body) - file.tell() != count * dtype.itemsize:
        raise MalformedBody("expected as many bytes as the shape and the dtype of the array require")
    values = np.frombuffer(body, dtype, count, file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column with numbers in the byte order of the machine, and texts as str objects."""
    if column.dtype.kind == "U":
        return _texts(column)
    return column.astype(column.dtype.newbyteorder("="), copy=False)


def _texts(column: NDArray[Any]) -> NDArray[Any]:
    try:
        texts = column.tolist()
    except (ValueError, SystemError):  # a number above the last Unicode character
        raise MalformedBody("the texts of the array are not Unicode") from None
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
