"""A model's fields and outputs as tensors of the Open Inference Protocol, in whichever form a request brings them.

A field is an input of the shape [rows] or [rows, 1]. Where all fields are numbers, one input of any name may hold them
all, [rows, fields] in the order of the contract. A value is passed on as it is: the predictor checks it.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import Boolean, Feature, Integer, Numeric
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.rows.arrow import Column, Kind

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]

#: Of each fixed-width datatype, what numpy calls it in little-endian order; BYTES are lengths and bytes.
DTYPES = {
    "BOOL": "u1", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip

_NUMBERS = [name for name in DTYPES if name != "BOOL"]

#: What a column is, by the kind of its numpy dtype.
_KINDS: dict[str, Kind] = {"f": "number", "i": "number", "u": "number", "b": "boolean", "O": "text"}

#: Rows up to which arrays are turned into rows: numpy's cost is by the column, not by the value.
_FEW = 16

Values = list[Any] | NDArray[Any]


class Output(NamedTuple):
    """A tensor of the answer.

    Attributes:
        datatype: Its type.
        shape: Without the rows.
        values: They follow from the model's outputs; BYTES are a list of text, all else is an array.
    """

    datatype: Datatype
    shape: tuple[int, ...]
    values: Callable[[Arrays], Values]


class Tensors:
    """The tensors of one model.

    Attributes:
        inputs: The datatype that is announced of each field.
        outputs: What the model answers with.
        is_matrix: Whether one input may hold all fields.
    """

    def __init__(self, predictor: Predictor) -> None:
        contract = predictor.artifact.contract
        self.inputs: Mapping[str, Datatype] = {each.name: datatypes(each)[0] for each in contract.features}
        self.outputs: Mapping[str, Output] = dict(_outputs(contract))
        self.is_matrix = len(self.inputs) > 1 and all(isinstance(each, Numeric | Integer) for each in contract.features)
        self._predictor = predictor
        self._limits = contract.limits

    def size(self, shapes: Sequence[Sequence[int]]) -> int:
        """How many values each input of a request has, by the shapes of all of them.

        Raises:
            MalformedBody: The shapes do not agree, or the model has no such tensor.
            TooManyRows: There are more rows than the contract allows.
        """
        if not shapes or not shapes[0]:
            raise MalformedBody("expected one input or more, each of the shape [rows] or [rows, 1]")
        rows = shapes[0][0]
        if rows < 1:
            raise MalformedBody("expected one row or more: the first number of a `shape`")
        self._limits.check_rows(rows)  # before they are counted out: the bytes of a string have no fixed size
        if self._holds_all(shapes):
            return rows * len(self.inputs)
        if any(list(shape) not in ([rows], [rows, 1]) for shape in shapes):
            raise MalformedBody("expected every input to have the shape [rows] or [rows, 1], with the same rows")
        return rows

    def columns(self, names: Sequence[str], shapes: Sequence[Sequence[int]], values: Sequence[Values]) -> "Named":
        """The values by field; a matrix is cut into its columns.

        Raises:
            MalformedBody: Two inputs have the same name.
        """
        if self._holds_all(shapes):
            (matrix,) = values
            return {name: matrix[place :: len(self.inputs)] for place, name in enumerate(self.inputs)}
        columns = dict(zip(names, values, strict=True))
        if len(columns) < len(names):
            raise MalformedBody("two inputs have the same name")
        return columns

    async def predict(self, columns: "Named") -> Arrays:
        """The model's outputs for columns of the same length; raises as the predictor does."""
        arrays = {name: each for name, each in columns.items() if isinstance(each, np.ndarray) and len(each) > _FEW}
        if len(arrays) < len(columns):
            return await self._predictor.predict(_rows(columns))
        return await self._predictor.predict_table({name: _column(array) for name, array in arrays.items()})

    def _holds_all(self, shapes: Sequence[Sequence[int]]) -> bool:
        return self.is_matrix and len(shapes) == 1 and list(shapes[0][1:]) == [len(self.inputs)]


Named = Mapping[str, Values]


def datatypes(feature: Feature) -> list[Datatype]:
    """Those that can hold the values of a field, the most natural one first."""
    names: list[Any]
    match feature:
        case Numeric():
            names = ["FP64", *_NUMBERS[:-1]]
        case Integer():
            names = ["INT64", *(name for name in _NUMBERS if name != "INT64")]
        case Boolean():
            names = ["BOOL"]
        case _:
            names = ["BYTES"]
    return names


def read(blob: bytes, datatype: str, size: int) -> NDArray[Any]:
    """The ``size`` values of a tensor that came as bytes: numbers, booleans or text.

    Raises:
        MalformedBody: The bytes are too few or too many, or no UTF-8.
    """
    if datatype == "BYTES":
        return _texts(blob, size)
    dtype = np.dtype(DTYPES[datatype])
    if len(blob) != size * dtype.itemsize:
        raise MalformedBody("expected an input to have `data`, or as many bytes as its `shape` and `datatype` say")
    array = np.frombuffer(blob, dtype)
    return array != 0 if datatype == "BOOL" else array


def write(values: Values) -> bytes:
    """The bytes of a tensor, as :func:`read` reads them."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    packed = {text: struct.pack("<I", len(text.encode())) + text.encode() for text in set(values)}
    return b"".join(map(packed.__getitem__, values))


def _texts(blob: bytes, size: int) -> NDArray[Any]:
    """Each text is its length, in four bytes, and its bytes."""
    array = np.empty(size, dtype=object)
    place = 0
    try:
        for index in range(size):
            (length,) = struct.unpack_from("<I", blob, place)
            place += 4 + length
            array[index] = blob[place - length : place].decode()
    except (struct.error, UnicodeDecodeError):
        raise MalformedBody("expected the strings of an input as lengths, in four bytes each, and UTF-8") from None
    if place != len(blob):
        raise MalformedBody("expected as many strings in an input as its `shape` says, and no bytes beyond them")
    return array


def _column(array: NDArray[Any]) -> Column:
    return Column(_KINDS[array.dtype.kind], array)


def _rows(columns: Named) -> list[dict[str, Any]]:
    lists = [each if isinstance(each, list) else _plain(each) for each in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _plain(array: NDArray[Any]) -> list[Any]:
    """As JSON has them: NaN, which it has not, is a missing value."""
    values: list[Any] = array.tolist()
    if array.dtype.kind != "f":
        return values
    return [None if value != value else value for value in values]  # noqa: PLR0124 (NaN alone differs from itself)


def _outputs(contract: Contract) -> Iterator[tuple[str, Output]]:
    output = contract.output
    if not isinstance(output, Classification):
        for name in output.tensors:
            yield name, Output("FP32", (), partial(_first, name))
        return
    labels = len(output.labels)
    yield "probabilities", Output("FP32", (labels,), itemgetter("probabilities"))
    yield "decision", Output("BYTES", (), output.decisions)
    if output.set_threshold is not None:
        yield "set", Output("BOOL", (labels,), output.sets)


def _first(name: str, arrays: Arrays) -> NDArray[Any]:
    return arrays[name][:, 0]
