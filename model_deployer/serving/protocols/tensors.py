"""A model's fields and outputs as tensors of the Open Inference Protocol, as JSON, bytes or protobuf lists.

A field is an input of the shape [rows] or [rows, 1], a vector or a tensor one of [rows, *shape]. If all fields are
numbers, one input of any name may hold all of them, [rows, fields] in the order of the contract. Values are passed on
unchanged: the predictor validates them.
"""

import math
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DeadlineExceeded, MalformedBody
from model_deployer.contract.features import (
    Boolean,
    Feature,
    Image,
    Integer,
    NumberArray,
    NumberSequence,
    Numeric,
    Tensor,
)
from model_deployer.contract.outputs import Arrays, Classification, VectorOutput
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.rows.arrow import Column, Kind

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]

#: The little-endian numpy dtype of each fixed-width datatype. BYTES has none: its values are lengths and bytes.
DTYPES = {
    "BOOL": "u1", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip

_NUMBERS = [name for name in DTYPES if name != "BOOL"]

#: The kind of a column by the kind of its numpy dtype.
_KINDS: dict[str, Kind] = {"f": "number", "i": "number", "u": "number", "b": "boolean", "O": "text"}

#: Up to this number of rows, arrays become rows: numpy's cost is per column, not per value.
_MAX_ROWS_AS_OBJECTS = 16

#: The values of a tensor, row by row: a list from JSON, or an array of the datatype (str objects for BYTES).
Values = list[Any] | NDArray[Any]

ValuesByName = Mapping[str, Values]


class Output(NamedTuple):
    """A tensor of the response.

    Attributes:
        datatype: Its datatype.
        shape: Its shape without the rows.
        values: Computes its values from the graph's output tensors: a list of str for BYTES, else an array of
            [rows, *shape].
        labels: The label of each of its values in a row; empty if they have none.
    """

    datatype: Datatype
    shape: tuple[int, ...]
    values: Callable[[Arrays], Values]
    labels: Sequence[str] = ()


class Tensors:
    """The tensors of one model.

    Attributes:
        inputs: The datatype of each field in the model's metadata.
        shapes: The shape of each field without the rows: [1], or the sizes of a vector, a sequence or a tensor, with -1
            for a free one.
        images: The names of the images: a file in BYTES, or the pixels of the shape [rows, height, width, channels].
        outputs: The tensors of the response, by name.
        is_matrix: Whether one input may hold all fields.
    """

    def __init__(self, predictor: Predictor) -> None:
        contract = predictor.artifact.contract
        self.inputs: Mapping[str, Datatype] = {feature.name: datatypes(feature)[0] for feature in contract.features}
        self.shapes: Mapping[str, list[int]] = {feature.name: _shape(feature) for feature in contract.features}
        self.images = frozenset(feature.name for feature in contract.features if isinstance(feature, Image))
        self._arrays = {
            feature.name: feature for feature in contract.features if isinstance(feature, NumberArray | Image)
        }
        self.outputs: Mapping[str, Output] = dict(_outputs(contract))
        self.is_matrix = len(self.inputs) > 1 and all(
            isinstance(feature, Numeric | Integer) for feature in contract.features
        )
        self._predictor = predictor
        self._limits = contract.limits

    def sizes(self, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> list[int]:
        """Return the number of values of each input of a request.

        Args:
            names: The names of all inputs.
            shapes: The shapes of all inputs.

        Raises:
            MalformedBody: if the shapes do not agree, or are not those of the model's inputs.
            TooManyRows: if there are more rows than the contract allows.
        """
        if not shapes or not all(shapes):
            raise MalformedBody("expected at least one input, each of the shape [rows] or [rows, 1]")
        rows = shapes[0][0]
        if any(shape[0] < 1 for shape in shapes):  # not only the first: a map of tensors has no order
            raise MalformedBody("expected at least one row: the first number of a `shape`")
        self._limits.check_rows(rows)  # before allocating an array for them: the size of BYTES is not known
        if self._is_one_matrix(shapes):
            return [rows * len(self.inputs)]
        scalars = [shape for name, shape in zip(names, shapes, strict=True) if name not in self._arrays]
        if any(list(shape) not in ([rows], [rows, 1]) for shape in scalars):
            raise MalformedBody("expected all inputs to have the shape [rows] or [rows, 1], with the same rows")
        return [self._size(name, shape, rows) for name, shape in zip(names, shapes, strict=True)]

    def columns(self, names: Sequence[str], shapes: Sequence[Sequence[int]], values: Sequence[Values]) -> ValuesByName:
        """Return the values by field; a matrix is split into its columns.

        Args:
            names: The names of the inputs.
            shapes: Their shapes, valid as by :meth:`size`.
            values: Their values, in one dimension each.

        Raises:
            MalformedBody: if two inputs have the same name.
        """
        if self._is_one_matrix(shapes):
            (matrix,) = values
            return {name: matrix[index :: len(self.inputs)] for index, name in enumerate(self.inputs)}
        if self._arrays:
            values = [self._by_row(*tensor) for tensor in zip(names, shapes, values, strict=True)]
        columns = dict(zip(names, values, strict=True))
        if len(columns) < len(names):
            raise MalformedBody("two inputs have the same name")
        return columns

    async def predict(self, columns: ValuesByName) -> Arrays:
        """Return the graph's output tensors for columns of the same length; raises as the predictor does."""
        is_table = all(
            isinstance(values, np.ndarray) and (self._arrays or len(values) > _MAX_ROWS_AS_OBJECTS)
            for values in columns.values()
        )
        if is_table:
            return await self._predictor.predict_table({name: _column(array) for name, array in columns.items()})
        rows = max(map(len, columns.values()))
        return await self._predictor.predict(await self._predictor.background.run_if_many(rows, _rows, columns))

    async def in_time(self, seconds: float, predict: Callable[[], Awaitable[Arrays]]) -> Arrays:
        """Return what ``predict`` returns, within the time that a request allows itself.

        Raises:
            DeadlineExceeded: if the time is up.
        """
        try:
            with self._predictor.deadlines.within(seconds):
                return await predict()
        except TimeoutError:
            raise DeadlineExceeded(seconds) from None

    def _size(self, name: str, shape: Sequence[int], rows: int) -> int:
        feature = self._arrays.get(name)
        if feature is None:
            return rows
        if isinstance(feature, Image) and list(shape) in ([rows], [rows, 1]):
            return rows
        if shape[0] != rows or not _accepts(feature, shape[1:]):
            raise MalformedBody(f"expected the input `{name}` to have the shape {_expected_shape(feature)}")
        return math.prod(shape)

    def _by_row(self, name: str, shape: Sequence[int], values: Values) -> Values:
        """Return the values of a list, a tensor or an image as one list or array for each row, and others unchanged."""
        feature = self._arrays.get(name)
        if feature is None or (isinstance(feature, Image) and len(shape) <= 2):
            return values
        if isinstance(values, np.ndarray):
            return values.reshape(shape)
        size = math.prod(shape[1:])
        rows = [values[start : start + size] for start in range(0, len(values), size)]
        if isinstance(feature, Tensor):
            nested: list[Any] = np.array(values, object).reshape(shape).tolist()
            return nested
        return [_pixels(row, feature.shape) for row in rows] if isinstance(feature, Image) else rows

    def _is_one_matrix(self, shapes: Sequence[Sequence[int]]) -> bool:
        return self.is_matrix and len(shapes) == 1 and list(shapes[0][1:]) == [len(self.inputs)]


def _shape(feature: Feature) -> list[int]:
    if isinstance(feature, Image):
        return [1]
    return list(feature.open_shape if isinstance(feature, NumberArray) else feature.shape)


def _accepts(feature: NumberArray | Image, shape: Sequence[int]) -> bool:
    return feature.accepts_shape(shape) if isinstance(feature, NumberArray) else tuple(shape) == feature.shape


def _expected_shape(feature: NumberArray | Image) -> str:
    if isinstance(feature, NumberSequence):
        low, high = feature.lengths
        return f"[rows, length], with a length from {low} to {high}"
    sizes = feature.shape_text if isinstance(feature, NumberArray) else ", ".join(map(str, feature.shape))
    return f"[rows, {sizes}]"


def _pixels(values: list[Any], shape: tuple[int, ...]) -> Any:
    """Return the pixels of JSON as an array; other values unchanged, for validation to refuse."""
    if all(type(value) is int and 0 <= value <= 255 for value in values):
        return np.array(values, np.uint8).reshape(shape)
    return values


def datatypes(feature: Feature) -> list[Datatype]:
    """Return the datatypes that can hold the values of a field, the preferred one first."""
    names: list[Any]
    match feature:
        case Numeric():
            names = ["FP64", *_NUMBERS[:-1]]
        case Integer():
            names = ["INT64", *(name for name in _NUMBERS if name != "INT64")]
        case NumberArray(integers=False):
            names = ["FP32", *(name for name in _NUMBERS if name != "FP32")]
        case NumberArray():
            names = ["INT64", *(name for name in _NUMBERS if name != "INT64")]
        case Image():
            names = ["BYTES", "UINT8"]
        case Boolean():
            names = ["BOOL"]
        case _:
            names = ["BYTES"]
    return names


def read(blob: bytes, datatype: str, size: int, is_file: bool = False) -> NDArray[Any]:
    """Read the values of a tensor from bytes.

    Args:
        blob: The bytes of the tensor.
        datatype: Its datatype.
        size: The number of values.
        is_file: Whether strings are files, which are read as bytes.

    Returns:
        An array of [size]: numbers of the datatype, booleans, str objects, or bytes objects.

    Raises:
        MalformedBody: if there are too few or too many bytes, or if strings are not UTF-8.
    """
    if datatype == "BYTES":
        return _texts(blob, size, bytes if is_file else bytes.decode)
    dtype = np.dtype(DTYPES[datatype])
    if len(blob) != size * dtype.itemsize:
        raise MalformedBody("expected an input to have as many bytes as its `shape` and `datatype` require")
    array = np.frombuffer(blob, dtype)
    return array != 0 if datatype == "BOOL" else array


def write(values: Values) -> bytes:
    """Return the bytes of a tensor, as :func:`read` reads them: little-endian numbers, or lengths and UTF-8."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    packed = {text: struct.pack("<I", len(text.encode())) + text.encode() for text in set(values)}
    return b"".join(map(packed.__getitem__, values))


def _texts(blob: bytes, size: int, decode: Callable[[bytes], Any]) -> NDArray[Any]:
    """Read strings, each of them a length in four bytes and its UTF-8."""
    if 4 * size > len(blob):
        raise MalformedBody("expected each string of an input as its length, in four bytes, and its UTF-8")
    array = np.empty(size, dtype=object)
    offset = 0
    try:
        for index in range(size):
            (length,) = struct.unpack_from("<I", blob, offset)
            offset += 4 + length
            array[index] = decode(blob[offset - length : offset])
    except (struct.error, UnicodeDecodeError):
        raise MalformedBody("expected each string of an input as its length, in four bytes, and its UTF-8") from None
    if offset != len(blob):
        raise MalformedBody("expected an input to have the number of strings in its `shape`, and no further bytes")
    return array


def _column(values: Values) -> Column:
    array = np.asarray(values)
    if array.dtype == object and isinstance(array[0], bytes):
        return Column("bytes", array)
    if array.ndim > 1 and array.dtype.kind in "fiu":
        return Column("list", array)
    return Column(_KINDS[array.dtype.kind], array)


def _rows(columns: ValuesByName) -> list[dict[str, Any]]:
    lists = [values if isinstance(values, list) else _json_values(values) for values in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _json_values(array: NDArray[Any]) -> list[Any]:
    """Return the values as JSON has them: NaN, which JSON lacks, becomes null."""
    if array.ndim > 1:
        return list(array)
    values: list[Any] = array.tolist()
    if array.dtype.kind != "f":
        return values
    return [None if value != value else value for value in values]  # noqa: PLR0124 (NaN alone differs from itself)


def _outputs(contract: Contract) -> Iterator[tuple[str, Output]]:
    output = contract.output
    if isinstance(output, VectorOutput):
        yield "values", Output("FP32", (output.length,), itemgetter("values"), output.names or ())
        return
    if not isinstance(output, Classification):
        for name in output.tensors:
            yield name, Output("FP32", (), partial(_first_column, name))
        return
    labels = len(output.labels)
    yield "probabilities", Output("FP32", (labels,), itemgetter("probabilities"), output.labels)
    yield "decision", Output("BYTES", (), output.decisions)
    if output.set_threshold is not None:
        yield "set", Output("BOOL", (labels,), output.sets)


def _first_column(name: str, arrays: Arrays) -> NDArray[Any]:
    return arrays[name][:, 0]
