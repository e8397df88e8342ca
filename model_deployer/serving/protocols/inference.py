"""Decoding of inference requests of the Open Inference Protocol, by a fast and a slow path.

The fast path decodes and validates in one pass, with a decoder compiled from the contract: the name of an input
determines the type of its values. If it fails, or if values follow the JSON as bytes, the slow path decodes the request
without validating values; the predictor then reports what is wrong with them.
"""

from collections.abc import Callable, Container, Sequence
from functools import reduce
from itertools import chain
from operator import or_
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.serving.protocols import parameters, tensors
from model_deployer.serving.protocols.parameters import Parameters
from model_deployer.serving.protocols.tensors import Datatype, Tensors, Values
from model_deployer.serving.rows.columns import ColumnBuilder, Table
from model_deployer.serving.rows.decoding import Rows, json_decoder, value_type
from model_deployer.serving.rows.vectors import has_vectors

#: The type of the shape of an input with one row: [1] or [1, 1].
_ONE_ROW_SHAPE = Annotated[list[Literal[1]], Meta(min_length=1, max_length=2)]


class _NeutralParameters(msgspec.Struct, gc=False):
    """The parameters of an input that change nothing; an input with others is decoded on the slow path."""

    content_type: Literal["np", "pd"] | None = None
    shared_memory_region: None = None
    shared_memory_offset: None = None
    shared_memory_byte_size: None = None


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: Datatype
    data: list[Any] | None = None
    parameters: Parameters | None = None


class RequestedOutput(msgspec.Struct, gc=False):
    """An output that a request asks for."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(msgspec.Struct, gc=False):
    """A request without the values that follow it as bytes."""

    inputs: list[_Input]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: Parameters | None = None


class RequestReader:
    """Decodes requests to one model."""

    def __init__(self, contract: Contract) -> None:
        self._features = contract.features
        self._required_bits = sum(1 << index for index, feature in enumerate(contract.features) if feature.required)
        self._limits = contract.limits
        self._build_columns = ColumnBuilder(contract.features)
        self._decode = msgspec.json.Decoder(InferenceRequest).decode
        if has_vectors(contract.features):  # their values have a shape of their own
            self.fast = _never_fast  # type: ignore[method-assign]
            return
        self._decode_row = json_decoder(_validating_type(contract, _ONE_ROW_SHAPE, tuple.__class_getitem__))
        self._decode_table = json_decoder(_validating_type(contract, list[int], list.__class_getitem__))

    def fast(self, body: bytes) -> tuple[Any, Rows] | None:
        """Decode and validate a request that is JSON alone.

        Returns:
            The request and its valid rows; None if :meth:`slow` must decode it.

        Raises:
            TooManyRows: if there are more rows than the contract allows.
        """
        decoded = self._row(body) or self._table(body)
        if decoded is None or decoded[0].parameters is None:
            return decoded
        return decoded if decoded[0].parameters.content_type in parameters.NEUTRAL_CONTENT_TYPES else None

    def _row(self, body: bytes) -> tuple[Any, Rows] | None:
        request = _try_decode(self._decode_row, body)
        if request is None:
            return None
        values, bits = [None] * len(self._features), 0
        for tensor in request.inputs:
            (values[tensor.index],) = tensor.data
            bits |= tensor.bit
        return (request, [values]) if self._is_complete(request.inputs, bits) else None

    def _table(self, body: bytes) -> tuple[Any, Rows] | None:
        request = _try_decode(self._decode_table, body)
        if request is None or not request.inputs:
            return None
        rows = len(request.inputs[0].data)
        self._limits.check_rows(rows)
        columns, bits = [[None] * rows] * len(self._features), 0
        for tensor in request.inputs:
            if len(tensor.data) != rows or tensor.shape not in ([rows], [rows, 1]):
                return None
            columns[tensor.index] = tensor.data
            bits |= tensor.bit
        if not rows or not self._is_complete(request.inputs, bits):
            return None
        return request, Table(self._build_columns.columns(columns))

    def _is_complete(self, inputs: Sequence[Any], bits: int) -> bool:
        """Return whether the inputs are different fields and include all required ones; ``bits`` has one per field."""
        return bits.bit_count() == len(inputs) > 0 and bits & self._required_bits == self._required_bits

    def slow(self, head: bytes) -> InferenceRequest:
        """Decode the JSON of a request without validating values.

        Raises:
            MalformedBody: if it is not an inference request of the protocol.
        """
        try:
            return self._decode(head)
        except RecursionError:
            raise MalformedBody("the JSON is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # msgspec's message may repeat a value of the client; its path consists of names of the protocol.
            path = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else ""
            location = f", at {path}" if path.startswith("`$") else ""
            raise MalformedBody(
                f"the body is not an inference request of the Open Inference Protocol{location}"
            ) from None


def columns(model_tensors: Tensors, request: InferenceRequest, blobs: bytes) -> tensors.ValuesByName:
    """Return the values of the inputs by field: lists if they came as JSON, arrays if they came as bytes.

    Args:
        model_tensors: The model's tensors.
        request: The decoded request.
        blobs: The bytes after the JSON: the values that are not in it, in the order of the inputs.

    Raises:
        MalformedBody: if shapes, names, values and bytes do not match, or a parameter is not supported.
        TooManyRows: if there are more rows than the contract allows.
    """
    inputs = request.inputs
    shapes = [tensor.shape for tensor in inputs]
    names = [tensor.name for tensor in inputs]
    sizes = model_tensors.sizes(names, shapes)
    is_base64 = [
        parameters.is_base64(tensor.parameters, tensor.datatype, request.parameters)
        and tensor.name not in model_tensors.images  # which are base64 without the parameter, too
        for tensor in inputs
    ]
    values = _values(inputs, blobs, sizes, model_tensors.images)
    if any(is_base64):
        values = parameters.decode_inputs(values, is_base64)
    return model_tensors.columns(names, shapes, values)


def _never_fast(body: bytes) -> tuple[Any, Rows] | None:
    return None


def _values(inputs: Sequence[_Input], blobs: bytes, sizes: Sequence[int], images: Container[str]) -> list[Values]:
    values: list[Values] = []
    offset = 0
    for tensor, size in zip(inputs, sizes, strict=True):
        if tensor.data is not None:
            values.append(_flatten(tensor.data, size))
            continue
        length = tensor.parameters.binary_data_size if tensor.parameters else None
        if length is None:
            raise MalformedBody("expected an input to have `data`, or the parameter `binary_data_size`")
        blob = blobs[offset : offset + max(length, 0)]
        values.append(tensors.read(blob, tensor.datatype, size, tensor.name in images))
        offset += len(blob)
    if offset != len(blobs):
        raise MalformedBody("the body has more bytes than the inputs declare in their `binary_data_size`")
    return values


def _flatten(data: list[Any], size: int) -> list[Any]:
    """Return the values of JSON row by row, whether they are nested or not."""
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise MalformedBody("expected all rows of an input's `data` to be lists, or none of them")
        data = list(chain.from_iterable(data))
    if len(data) != size:
        raise MalformedBody("expected the `data` of an input to have the number of values in its `shape`")
    return data


def _validating_type(contract: Contract, shape: Any, data: Callable[[Any], Any]) -> Any:
    """Return the type of a request whose inputs have the values that their names require.

    Args:
        contract: The contract of the model.
        shape: The type of an input's shape.
        data: Makes the type of an input's data from the type of a value.
    """
    # The tag tells the types of a union apart; a single type would be accepted without it.
    is_single = len(contract.features) == 1
    inputs = [
        msgspec.defstruct(
            "Input",
            [
                *([("name", Literal[feature.name])] if is_single else []),
                ("shape", shape),
                ("datatype", Datatype),
                ("data", data(value_type(feature))),
                ("parameters", _NeutralParameters | None, None),
            ],
            tag_field=None if is_single else "name",
            tag=None if is_single else feature.name,
            namespace={"index": index, "bit": 1 << index},
            gc=False,
        )
        for index, feature in enumerate(contract.features)
    ]
    types = InferenceRequest.__annotations__
    fields: list[Any] = [
        ("inputs", list.__class_getitem__(reduce(or_, inputs))),
        *((name, types[name], None) for name in ("id", "outputs", "parameters")),
    ]
    return msgspec.defstruct("InferenceRequest", fields, gc=False)


def _try_decode(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
