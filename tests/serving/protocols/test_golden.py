"""The same rows through every protocol, in every form: the same float32 bits."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.serving.protocols.bits import bits
from tests.serving.protocols.golden_rows import ROWS
from tests.serving.protocols.served import Served
from tests.serving.protocols.speakers import SPEAKERS, Rows, Speaker, native_rows

#: One row, some rows, and enough rows to become columns.
SIZES: Sequence[Rows] = [ROWS[:1], ROWS[1:2], ROWS, [*ROWS] * 6]


@pytest.fixture(scope="session")
def expected(any_output: Served) -> list[dict[str, Any]]:
    """The outputs of the native protocol."""
    return [bits(native_rows(any_output, rows)) for rows in SIZES]


def test_every_row_has_an_answer_of_its_own(any_output: Served, expected: list[dict[str, Any]]) -> None:
    """Otherwise the tests would not show that rows are confused. A missing value may be null or left out."""
    answers = expected[2][any_output.contract.output.tensors[0]]
    assert answers[1] == answers[2]
    assert len(set(map(str, answers))) == len(ROWS) - 1


@pytest.mark.parametrize("speak", SPEAKERS.values(), ids=SPEAKERS.keys())
def test_every_protocol_answers_the_same_bits(
    any_output: Served, expected: list[dict[str, Any]], speak: Speaker
) -> None:
    for rows, expected_outputs in zip(SIZES, expected, strict=True):
        outputs = bits(speak(any_output, rows))
        assert outputs
        assert outputs == {name: expected_outputs[name] for name in outputs}
