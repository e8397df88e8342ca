"""The same rows through every protocol, in every form: the same float32 bits."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.serving.protocols.bits import bits
from tests.serving.protocols.golden_rows import ROWS
from tests.serving.protocols.served import Served
from tests.serving.protocols.speakers import SPEAKERS, Rows, Speaker, native_rows

#: One row alone, some, and as many as are turned into columns.
SIZES: Sequence[Rows] = [ROWS[:1], ROWS[1:2], ROWS, [*ROWS] * 6]


@pytest.fixture(scope="session")
def expected(any_output: Served) -> list[dict[str, Any]]:
    """What the service's own form answers."""
    return [bits(native_rows(any_output, rows)) for rows in SIZES]


def test_every_row_has_an_answer_of_its_own(any_output: Served, expected: list[dict[str, Any]]) -> None:
    """Or else it would not show that one is read as another; what is missing may be said in two ways."""
    answers = expected[2][any_output.contract.output.tensors[0]]
    assert answers[1] == answers[2]
    assert len(set(map(str, answers))) == len(ROWS) - 1


@pytest.mark.parametrize("speak", SPEAKERS.values(), ids=SPEAKERS.keys())
def test_every_protocol_answers_the_same_bits(
    any_output: Served, expected: list[dict[str, Any]], speak: Speaker
) -> None:
    for rows, wanted in zip(SIZES, expected, strict=True):
        found = bits(speak(any_output, rows))
        assert found
        assert found == {name: wanted[name] for name in found}
