"""Count the values of a body before they exist.

A body of 16 MB can hold five million empty objects, which take gigabytes once they are parsed. In JSON, JSON lines, CSV
and forms, a separator stands between two values, so the separators outside of strings bound the number of values.
"""

import re

import numpy as np

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import TooManyRows
from model_deployer.contract.features import Image, Tensor
from model_deployer.serving import memory

#: The memory of a parsed value: the object, its key, and its places in a row and in a column.
_VALUE_BYTES = 100

#: The memory of a number in a vector: the object, its place in a list, and its places in an array and in a batch.
_ELEMENT_BYTES = 48

#: The memory of a list in a tensor.
_LIST_BYTES = 72

#: Values of a row in addition to the fields: those of unknown fields, and of the lists and objects around the rows.
_SPARE_VALUES_PER_ROW = 8

#: Values of a body in addition to those of its rows: parameters, names of columns.
_SPARE_VALUES = 10_000

#: The comma in a form, whose special characters are percent-encoded.
_ENCODED_COMMA = re.compile(rb"%2[Cc]")

#: The bytes that are examined at once.
_BLOCK_BYTES = 1024**2

_QUOTE, _COMMA, _AMPERSAND, _LINE_FEED = b'",&\n'


class ValueCounter:
    """Limits the values of a body to those that the rows of one request can have.

    Args:
        contract: The contract of the model.
    """

    def __init__(self, contract: Contract) -> None:
        self._max_rows = contract.limits.rows
        elements_of_fields = [1 if isinstance(each, Image) else each.elements for each in contract.features]
        values_per_row = sum(elements_of_fields) + _SPARE_VALUES_PER_ROW
        scalars = elements_of_fields.count(1) + _SPARE_VALUES_PER_ROW
        elements = values_per_row - scalars
        tensors = [feature.sizes[-1][0] for feature in contract.features if isinstance(feature, Tensor)]
        element_bytes = _ELEMENT_BYTES + _LIST_BYTES // min(tensors) if tensors else _ELEMENT_BYTES
        self._value_bytes = (scalars * _VALUE_BYTES + elements * element_bytes) // values_per_row
        self._max_values = (contract.limits.rows + 1) * values_per_row + _SPARE_VALUES

    def reserve(self, body: bytes) -> None:
        """Reserve the memory of the values of a text.

        Args:
            body: JSON, JSON lines, CSV or a form.

        Raises:
            TooManyRows: if there are more values than the rows of one request can have.
            RequestError: as :func:`model_deployer.serving.memory.reserve`.
        """
        encoded_commas = sum(1 for _ in _ENCODED_COMMA.finditer(body))
        values = 1 + encoded_commas + max(body.count(b"\n"), body.count(b",") + body.count(b"&"))
        if values > self._max_values:
            values = 1 + encoded_commas + count_separators(body)
        if values > self._max_values:
            rows = f"{self._max_rows:,} rows"
            raise TooManyRows(f"the body has more values than {rows} can have; send at most {rows} in one request")
        memory.reserve(len(body) + self._value_bytes * values)


def count_separators(body: bytes) -> int:
    """Return the number of separators outside of strings in double quotes, or at least half of it.

    JSON, which begins with a bracket, escapes a quote in a string with a backslash; other text doubles it. Commas
    separate values, and so do line feeds in JSON lines and CSV; JSON for people has both after a value.
    """
    if body.lstrip()[:1] in (b"{", b"[") and b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    commas, line_feeds, is_inside = 0, 0, np.zeros(1, dtype=bool)
    for start in range(0, len(body), _BLOCK_BYTES):
        block = np.frombuffer(body, dtype=np.uint8, offset=start, count=min(_BLOCK_BYTES, len(body) - start))
        inside = np.logical_xor.accumulate(np.concatenate([is_inside, block == _QUOTE]))
        is_inside, outside = inside[-1:], block[~inside[1:]]
        commas += int(np.count_nonzero(outside == _COMMA)) + int(np.count_nonzero(outside == _AMPERSAND))
        line_feeds += int(np.count_nonzero(outside == _LINE_FEED))
    return max(commas, line_feeds)
