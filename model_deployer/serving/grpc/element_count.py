"""Count the elements of a message before it is parsed.

A message of 16 MB can hold eight million empty messages, of two bytes each, which take 700 MB once they are parsed.
https://protobuf.dev/programming-guides/encoding/ describes the bytes.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import TooManyRows
from model_deployer.serving import memory

#: The memory of a parsed element. The largest ones are messages without content.
_ELEMENT_BYTES = 100

#: The memory of a message as bytes, as an object and as columns, in multiples of its size.
_MESSAGE_FACTOR = 4

#: The elements of a value: in an example of TensorFlow, an entry with a name, a value, its list, and its content.
_ELEMENTS_PER_VALUE = 5

#: Values of a row in addition to the fields, and elements of a message in addition to those of its rows.
_SPARE_VALUES_PER_ROW = 8
_SPARE_ELEMENTS = 10_000

#: Messages of up to this size are not counted: their elements take less than a mebibyte.
_MAX_UNCOUNTED_BYTES = 16_384

#: The number of bytes of fields with a fixed width, by wire type.
_WIDTHS = {1: 8, 5: 4}

_VARINT, _LENGTH_DELIMITED = 0, 2

#: The wire types of the ends of groups, which have no content of their own.
_GROUP_ENDS = (3, 4)

_MAX_VARINT_BYTES = 10

_TEXT_TYPES = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)

#: For each field with messages, by its number, the fields of these messages.
_Fields = Mapping[int, Any]


class ElementCounter:
    """Limits the elements of a message to those that the rows of one request can have.

    Args:
        contract: The contract of the model.
    """

    def __init__(self, contract: Contract) -> None:
        self._max_rows = contract.limits.rows
        values_per_row = len(contract.features) + _SPARE_VALUES_PER_ROW
        self._max_elements = (self._max_rows + 1) * values_per_row * _ELEMENTS_PER_VALUE + _SPARE_ELEMENTS

    def reserve(self, content: bytes, descriptor: Any) -> None:
        """Reserve the memory of a message.

        Args:
            content: The bytes of the message.
            descriptor: The descriptor of the message.

        Raises:
            TooManyRows: if there are more elements than the rows of one request can have.
            RequestError: as :func:`model_deployer.serving.memory.reserve`.
        """
        elements = 0
        if len(content) > _MAX_UNCOUNTED_BYTES:
            elements = _count(content, 0, len(content), _message_fields(descriptor) or {}, self._max_elements)
        if elements > self._max_elements:
            rows = f"{self._max_rows:,} rows"
            raise TooManyRows(f"the message has more values than {rows} can have; send at most {rows} in one request")
        memory.reserve(_MESSAGE_FACTOR * len(content) + _ELEMENT_BYTES * elements)


@cache
def _message_fields(descriptor: Any) -> _Fields | None:
    """Return the fields with messages, by number; None if the message has neither messages nor texts to count."""
    messages = [field for field in descriptor.fields if field.message_type]
    if not messages and not any(field.type in _TEXT_TYPES for field in descriptor.fields):
        return None
    fields = {field.number: _message_fields(field.message_type) for field in messages}
    return {number: inner for number, inner in fields.items() if inner is not None}


def _count(content: bytes, start: int, end: int, fields: _Fields, limit: int) -> int:
    """Return the number of elements between two positions; a number above the limit once there are more.

    Content that is not a message is counted up to the mistake, as the parser refuses it.
    """
    count, position = 0, start
    while position < end and count <= limit:
        tag, position = _read_varint(content, position, end)
        number, wire_type = tag >> 3, tag & 7
        count += 1
        if wire_type == _LENGTH_DELIMITED:
            length, position = _read_varint(content, position, end)
            following = position + length
            if following > end:
                break
            if number in fields:
                count += _count(content, position, following, fields[number], limit - count)
            position = following
        elif wire_type == _VARINT:
            _, position = _read_varint(content, position, end)
        elif wire_type in _WIDTHS:
            position += _WIDTHS[wire_type]
        elif wire_type not in _GROUP_ENDS:
            break
    return count


def _read_varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number and the position after it; the position is ``end`` if there is no number."""
    if position < end and content[position] < 0x80:
        return content[position], position + 1
    value = 0
    for index in range(min(_MAX_VARINT_BYTES, end - position)):
        byte = content[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    return 0, end
