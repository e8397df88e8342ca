"""Messages of many elements are refused before they are parsed."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import TooManyRows
from model_deployer.serving.grpc import messages
from model_deployer.serving.grpc.element_count import ElementCounter
from model_deployer.serving.memory import MemoryBudget
from tests.serving.grpc import tensorflow
from tests.support import tiny

COUNTER = ElementCounter(tiny.CONTRACT)
INFER = messages.methods("inference.GRPCInferenceService")["ModelInfer"].request
SERVICE = messages.methods("tensorflow.serving.PredictionService")
PREDICT, CLASSIFY = SERVICE["Predict"].request, SERVICE["Classify"].request

#: The number of elements of a message. They have two bytes each, so the body is not too large.
MANY = 40_000


def nested(*numbers: int, content: bytes) -> bytes:
    """Return content as the value of a field in a field, by their numbers, the outer one first."""
    for number in reversed(numbers):
        length, varint = len(content), b""
        while length > 0x7F:
            length, varint = length >> 7, varint + bytes([length & 0x7F | 0x80])
        content = bytes([number << 3 | 2]) + varint + bytes([length]) + content
    return content


@pytest.mark.parametrize(
    ("message", "content"),
    [
        (INFER, b"\x2a\x00" * MANY),  # inputs
        (INFER, b"\x32\x00" * MANY),  # outputs
        (INFER, b"\x3a\x00" * MANY),  # raw_input_contents
        (INFER, nested(5, content=b"\x22\x00" * MANY)),  # parameters of an input
        (INFER, nested(5, 5, content=b"\x42\x00" * MANY)),  # bytes_contents of an input
        (INFER, b"\x1a\x00" * MANY),  # the id, again and again
        (PREDICT, b"\x12\x00" * MANY),  # inputs
        (PREDICT, b"\x1a\x00" * MANY),  # output_filter
        (PREDICT, nested(2, 2, content=b"\x42\x00" * MANY)),  # string_val of an input
        (PREDICT, nested(2, 2, 2, content=b"\x12\x00" * MANY)),  # dim of an input
        (CLASSIFY, nested(2, 1, content=b"\x0a\x00" * MANY)),  # examples
        (CLASSIFY, nested(2, 1, 1, 1, content=b"\x0a\x00" * MANY)),  # features of an example
        (CLASSIFY, nested(2, 1, 1, 1, 1, 2, 1, content=b"\x0a\x00" * MANY)),  # bytes of a feature
    ],
)
def test_many_elements_are_refused_without_memory(message: Any, content: bytes) -> None:
    message.FromString(content)  # it is a message of the protocol
    tracemalloc.start()
    try:
        with pytest.raises(TooManyRows, match="send at most 100 rows in one request"):
            COUNTER.reserve(content, message.DESCRIPTOR)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_as_many_rows_as_allowed_are_not_refused() -> None:
    budget = MemoryBudget(10_000_000)
    texts = INFER()
    for _ in range(9):
        texts.inputs.add(name="remark", datatype="BYTES", shape=[100]).contents.bytes_contents.extend(
            [b"x" * 200] * 100
        )
    examples = CLASSIFY(input={"example_list": {"examples": [tensorflow.example(tiny.ROW)] * 100}})
    for message in (texts, examples):
        content = message.SerializeToString()
        assert len(content) > 16_384
        with budget.request():
            COUNTER.reserve(content, message.DESCRIPTOR)
            assert budget.used > 4 * len(content) + 90_000
    assert budget.used == 0


@given(st.sampled_from([INFER, PREDICT, CLASSIFY]), st.binary(max_size=40), st.integers(0, 400))
def test_no_damage_is_an_error_here(message: Any, damage: bytes, offset: int) -> None:
    """The parser refuses damaged messages."""
    content = nested(2, 1, content=b"\x0a\x03\x0a\x01x" * 4_000)
    COUNTER.reserve(content[:offset] + damage + content[offset:], message.DESCRIPTOR)
