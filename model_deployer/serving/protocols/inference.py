"""The JSON of an inference request of the Open Inference Protocol, read in one of two ways.

The fast one decodes and checks in one pass, with a decoder that is compiled from the contract: the name of an input
says what its values have to be. Where that fails, and where values follow as bytes, the slow one reads what is there,
for the predictor to say what is wrong with it.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain
from operator import or_
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.serving.protocols import tensors
from model_deployer.serving.protocols.tensors import Datatype, Tensors, Values
from model_deployer.serving.rows.columns import ColumnBuilder, Table
from model_deployer.serving.rows.decoding import Rows, value_type

#: The shape of an input that holds one row: [1] or [1, 1].
_ONE = Annotated[list[Literal[1]], Meta(min_length=1, max_length=2)]


class Parameters(msgspec.Struct, gc=False):
    """Those of a request, of an input and of a requested output; others are left alone."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: Datatype
    data: list[Any] | None = None
    parameters: Parameters | None = None


class Wanted(msgspec.Struct, gc=False):
    """An output that a request names."""

    name: str
    parameters: Parameters | None = None


class Inference(msgspec.Struct, gc=False):
    """A request."""

    inputs: list[_Input]
    id: str | None = None
    outputs: list[Wanted] | None = None
    parameters: Parameters | None = None


class Reader:
    """Reads requests to one model."""

    def __init__(self, contract: Contract) -> None:
        self._features = contract.features
        self._required = sum(1 << place for place, feature in enumerate(contract.features) if feature.required)
        self._limits = contract.limits
        self._stack = ColumnBuilder(contract.features)
        self._decode = msgspec.json.Decoder(Inference).decode
        self._decode_row = msgspec.json.Decoder(_checked_type(contract, _ONE, tuple.__class_getitem__)).decode
        self._decode_table = msgspec.json.Decoder(_checked_type(contract, list[int], list.__class_getitem__)).decode

    def fast(self, body: bytes) -> tuple[Any, Rows] | None:
        """A request without bytes behind it, and its rows, which are right; None where :meth:`slow` has to look.

        Raises:
            TooManyRows: There are more rows than the contract allows.
        """
        return self._row(body) or self._table(body)

    def _row(self, body: bytes) -> tuple[Any, Rows] | None:
        asked = _decoded(self._decode_row, body)
        if asked is None:
            return None
        values, given = [None] * len(self._features), 0
        for each in asked.inputs:
            (values[each.place],) = each.data
            given |= each.bit
        return (asked, [values]) if self._are_all(asked.inputs, given) else None

    def _table(self, body: bytes) -> tuple[Any, Rows] | None:
        asked = _decoded(self._decode_table, body)
        if asked is None or not asked.inputs:
            return None
        rows = len(asked.inputs[0].data)
        self._limits.check_rows(rows)
        columns, given = [[None] * rows] * len(self._features), 0
        for each in asked.inputs:
            if len(each.data) != rows or each.shape not in ([rows], [rows, 1]):
                return None
            columns[each.place] = each.data
            given |= each.bit
        return (asked, Table(self._stack.columns(columns))) if rows and self._are_all(asked.inputs, given) else None

    def _are_all(self, inputs: Sequence[Any], given: int) -> bool:
        """Whether each input is another field, and none is missing."""
        return given.bit_count() == len(inputs) > 0 and given & self._required == self._required

    def slow(self, head: bytes) -> Inference:
        """A request as it stands there.

        Raises:
            MalformedBody: It is none of the protocol.
        """
        try:
            return self._decode(head)
        except RecursionError:
            raise MalformedBody("the JSON is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # What msgspec says of a value may hold it; the place holds names of the protocol only.
            where = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else ""
            where = f", at {where}" if where.startswith("`$") else ""
            raise MalformedBody(f"the body is no inference request of the Open Inference Protocol{where}") from None


def columns(known: Tensors, inputs: Sequence[_Input], blobs: bytes) -> tensors.Named:
    """The values of the inputs by field: lists where they came as JSON, arrays where they came as bytes.

    Args:
        known: The model's tensors.
        inputs: As they were read.
        blobs: What follows the JSON: the values that are not in it, in the order of the inputs.

    Raises:
        MalformedBody: Shapes, names, values and bytes do not go together.
        TooManyRows: There are more rows than the contract allows.
    """
    shapes = [each.shape for each in inputs]
    return known.columns([each.name for each in inputs], shapes, _values(inputs, blobs, known.size(shapes)))


def _values(inputs: Sequence[_Input], blobs: bytes, size: int) -> list[Values]:
    values: list[Values] = []
    place = 0
    for each in inputs:
        if each.data is not None:
            values.append(_flat(each.data, size))
            continue
        length = (each.parameters and each.parameters.binary_data_size) or 0
        blob = blobs[place : place + max(length, 0)]
        values.append(tensors.read(blob, each.datatype, size))
        place += len(blob)
    if place != len(blobs):
        raise MalformedBody("the body has bytes that belong to no input, by the `binary_data_size` of the inputs")
    return values


def _flat(data: list[Any], size: int) -> list[Any]:
    """JSON's values, row after row, be they nested or not."""
    if data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise MalformedBody("expected the rows of an input's `data` to be nested all alike")
        data = list(chain.from_iterable(data))
    if len(data) != size:
        raise MalformedBody("expected as many values in the `data` of an input as its `shape` says")
    return data


def _checked_type(contract: Contract, shape: Any, data: Callable[[Any], Any]) -> Any:
    """A request whose inputs are right: of each one the values that its name asks for.

    Args:
        contract: Of the model.
        shape: What an input's shape has to be.
        data: What its data have to be, made of what a value has to be.
    """
    inputs = [
        msgspec.defstruct(
            "Input",
            [("shape", shape), ("datatype", Datatype), ("data", data(value_type(feature)))],
            tag_field="name",
            tag=feature.name,
            namespace={"place": place, "bit": 1 << place},
            gc=False,
        )
        for place, feature in enumerate(contract.features)
    ]
    asked = Inference.__annotations__
    fields: list[Any] = [
        ("inputs", list.__class_getitem__(reduce(or_, inputs))),
        *((name, asked[name], None) for name in ("id", "outputs", "parameters")),
    ]
    return msgspec.defstruct("Inference", fields, gc=False)


def _decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
