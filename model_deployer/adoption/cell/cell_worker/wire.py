"""Messages between a process and its worker: a header in JSON, and columns of rows as the bytes of arrays.

::

    4 bytes  length of the header, little-endian
    8 bytes  length of the columns
    header   UTF-8 JSON; its ``columns`` list name, kind and length in bytes of each column, in their order
    columns  numbers and integers: 8 bytes each; booleans and bytes: 1 byte each; texts: 4-byte offsets, one more
             than rows, then a byte each that is 0 for a missing text, then the texts in UTF-8
"""

import json
import socket
import struct
from typing import Any, Dict

import numpy as np

_LENGTHS = struct.Struct("<IQ")

#: The largest message, in bytes. A longer one is a mistake.
MAX_BYTES = 4 << 30

_KINDS = {"number": np.dtype("<f8"), "integer": np.dtype("<i8"), "boolean": np.dtype("?"), "byte": np.dtype("u1")}

#: Columns by name: float64, int64 or bool [rows] or [rows, *shape], uint8 [rows, height, width, channels], or object
#: [rows] of texts and None.
Columns = Dict[str, "np.ndarray[Any, Any]"]


class Disconnected(Exception):
    """The other side is gone."""


def send(connection: socket.socket, header: "dict[str, Any]", columns: Columns) -> None:
    """Send one message.

    Args:
        connection: A stream socket.
        header: Values for JSON; ``columns`` is added.
        columns: The columns.
    """
    described, parts = [], []
    for name, column in columns.items():
        description, content = _encode(column)
        described.append(dict(description, name=name, bytes=len(content)))
        parts.append(content)
    text = json.dumps(dict(header, columns=described)).encode()
    body = b"".join(parts)
    connection.sendall(b"".join([_LENGTHS.pack(len(text), len(body)), text, body]))


def receive(connection: socket.socket) -> "tuple[dict[str, Any], Columns]":
    """Wait for one message, and return its header and its columns.

    Raises:
        Disconnected: if the connection ends first.
        ValueError: if the message is not of this form.
    """
    header_length, length = _LENGTHS.unpack(_receive_exactly(connection, _LENGTHS.size))
    if header_length + length > MAX_BYTES:
        raise ValueError("the message is too long")
    header = json.loads(bytes(_receive_exactly(connection, header_length)))
    body = memoryview(_receive_exactly(connection, length))
    columns, place = {}, 0
    for description in header.pop("columns"):
        end = place + description["bytes"]
        columns[description["name"]] = _decode(description, body[place:end])
        place = end
    return header, columns


def _receive_exactly(connection: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view, received = memoryview(content), 0
    while received < size:
        count = connection.recv_into(view[received:])
        if not count:
            raise Disconnected
        received += count
    return content


def _encode(column: Any) -> "tuple[dict[str, Any], bytes]":
    if isinstance(column, bytes):
        return {"kind": "bytes"}, column
    if column.dtype.kind in "OUS":
        return {"kind": "text", "rows": len(column)}, _encode_texts(column.tolist())
    kind = {"b": "boolean", "i": "integer", "u": "integer"}.get(column.dtype.kind, "number")
    kind = "byte" if column.dtype == np.uint8 else kind
    content = np.ascontiguousarray(column, _KINDS[kind]).tobytes()
    return {"kind": kind, "shape": list(column.shape)}, content


def _encode_texts(texts: "list[Any]") -> bytes:
    parts = [b"" if text is None else str(text).encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.zeros(len(parts) + 1, "<i4")
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    present = np.array([text is not None for text in texts], "?")
    return b"".join([offsets.tobytes(), present.tobytes(), *parts])


def _decode(description: "dict[str, Any]", content: memoryview) -> Any:
    if description["kind"] == "bytes":
        return bytes(content)
    if description["kind"] == "text":
        return _decode_texts(description["rows"], content)
    return np.frombuffer(content, _KINDS[description["kind"]]).reshape(description["shape"])


def _decode_texts(rows: int, content: memoryview) -> Any:
    start = 4 * (rows + 1)
    offsets = np.frombuffer(content[:start], "<i4").tolist()
    present = np.frombuffer(content[start : start + rows], "?").tolist()
    body = bytes(content[start + rows :])
    texts = np.empty(rows, object)
    texts[:] = [
        body[offsets[i] : offsets[i + 1]].decode("utf-8", "surrogatepass") if present[i] else None for i in range(rows)
    ]
    return texts
