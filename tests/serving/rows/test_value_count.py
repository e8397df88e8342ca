"""The number of values of a body, counted before it is parsed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.contract import Limits
from model_deployer.contract.errors import TooManyRows
from model_deployer.serving.memory import MemoryBudget
from model_deployer.serving.rows.value_count import ValueCounter, count_separators
from tests.support import tiny

TEXTS = st.text(st.sampled_from(',"\\\n&{[a\u00e9\u20ac'), max_size=8)
VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=40,
)


def commas(value: Any) -> int:
    """Return the number of commas between the members of lists and objects."""
    members = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return max(0, len(members) - 1) + sum(map(commas, members))


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.booleans())
def test_commas_in_strings_do_not_count(value: Any, ensure_ascii: bool) -> None:
    assert count_separators(json.dumps(value, ensure_ascii=ensure_ascii).encode()) == commas(value)


@given(st.integers(1, 9), st.integers(1, 9))
def test_json_for_people_has_the_same_values(rows: int, fields: int) -> None:
    value = [dict.fromkeys(map(str, range(fields)), 0)] * rows
    assert count_separators(json.dumps(value, indent=2).encode()) <= rows * (fields + 2) + 2


def test_strings_across_blocks_are_strings() -> None:
    body = json.dumps(["," * 3_000_000, 1, "," * 1_500_000, 2]).encode()
    assert count_separators(body) == 3


@pytest.mark.parametrize("rows", [1, 100])
def test_the_largest_request_is_accepted(rows: int) -> None:
    contract = tiny.CONTRACT.model_copy(update={"limits": Limits(rows=rows)})
    counter, budget = ValueCounter(contract), MemoryBudget(100_000_000)
    with budget.request():
        counter.reserve(json.dumps({"rows": [tiny.ROW] * rows}, indent=4).encode())
        assert budget.used > 0
        with pytest.raises(TooManyRows, match=f"more values than {rows:,} rows can have"):
            counter.reserve(b"[" + b"1," * 20_000 + b"1]")
    assert budget.used == 0
