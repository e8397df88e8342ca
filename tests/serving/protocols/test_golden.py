"""The same rows through every protocol, in every form: the same float32 bits."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.serving.protocols.bits import bits
from tests.serving.protocols.served import TEXTS, Served
from tests.serving.protocols.speakers import SPEAKERS, Rows, Speaker, native_rows
from tests.support import tiny

MISSING = dict.fromkeys(feature.name for feature in tiny.FEATURES if not feature.required)

ROWS: Rows = [
    tiny.ROW,
    tiny.ROW | MISSING,
    {name: value for name, value in tiny.ROW.items() if name not in MISSING},
    *(tiny.ROW | {"remark": text} for text in TEXTS),
    tiny.ROW | {"distance": 0.0, "temp": -20.0, "seats": 1, "holiday": True, "carrier": "AA"},
    tiny.ROW | {"distance": 5000.0, "temp": 1e300, "seats": 500, "origin": "EWR", "carrier": None},
    tiny.ROW | {"distance": 0.1 + 0.2, "temp": 5e-324, "origin": "LGA", "carrier": "somebody else"},
    tiny.ROW | {"distance": 1234.56789012345678, "temp": -0.0, "booked": "2013-10-01T08:00:00.123456+05:30"},
    tiny.ROW | {"departure": "1905-02-28T23:59:59.999", "booked": "2100-02-28T00:00:00Z", "temp": None},
]  # fmt: skip

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
