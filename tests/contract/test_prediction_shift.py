from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model_deployer.contract.outputs import Classification, Output, Regression
from model_deployer.contract.prediction_shift import (
    MAX_LISTED_CASES,
    PredictionShift,
    are_comparable,
    exceeds_tolerance,
    prediction_shift,
)

CASES = [f"case {number}" for number in range(30)]
TOLERANCES = st.floats(0, 2)


def classified(probability: float) -> dict[str, Any]:
    decision = "yes" if probability >= 0.5 else "no"
    return {"decision": decision, "probabilities": {"no": 1 - probability, "yes": probability}}


def estimated(value: float) -> dict[str, Any]:
    return {"value": value, "lower": value - 1, "upper": value + 1}


DECISIONS = st.floats(0, 1).map(classified)
VALUES = st.floats(-1e6, 1e6, width=32, allow_subnormal=False).map(estimated)
PAIRS = st.lists(st.tuples(DECISIONS, DECISIONS), min_size=1, max_size=30) | st.lists(
    st.tuples(VALUES, VALUES), min_size=1, max_size=30
)
Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


def between(pairs: Pairs) -> PredictionShift:
    shift = prediction_shift([old for old, _ in pairs], [new for _, new in pairs], CASES[: len(pairs)])
    assert shift
    return shift


@given(PAIRS, TOLERANCES)
def test_equal_predictions_never_move(pairs: Pairs, tolerance: float) -> None:
    shift = between([(old, old) for old, _ in pairs])
    assert (shift.flips or 0, shift.largest, shift.mean, shift.flipped) == (0, 0, 0, ())
    assert shift.requests == len(pairs)
    assert not exceeds_tolerance(shift, tolerance)


@given(PAIRS)
def test_there_and_back_is_equally_far(pairs: Pairs) -> None:
    forward, back = between(pairs), between([(new, old) for old, new in pairs])
    assert (forward.requests, forward.flips, forward.flipped) == (back.requests, back.flips, back.flipped)
    assert forward.scale and back.scale
    assert forward.largest * forward.scale == pytest.approx(back.largest * back.scale)
    assert forward.mean * forward.scale == pytest.approx(back.mean * back.scale)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_flip_is_counted_once(flips: list[bool]) -> None:
    shift = between([(classified(0.3), classified(0.8 if flip else 0.3)) for flip in flips])
    assert shift.flips == sum(flips)
    assert shift.flipped == tuple(case for case, flip in zip(CASES, flips, strict=False) if flip)[:MAX_LISTED_CASES]
    assert shift.largest == pytest.approx(0.5 * any(flips))
    assert shift.mean == pytest.approx(0.5 * sum(flips) / len(flips))


@given(PAIRS, TOLERANCES, TOLERANCES)
def test_shift_beyond_a_tolerance_exceeds_every_lower_one(pairs: Pairs, first: float, second: float) -> None:
    """What moved beyond a tolerance moved beyond every lower tolerance, too."""
    shift = between(pairs)
    assert exceeds_tolerance(shift, min(first, second)) or not exceeds_tolerance(shift, max(first, second))


@given(PAIRS, st.integers(0, 29))
def test_a_refused_request_is_not_compared(pairs: Pairs, refused: int) -> None:
    assume(len(pairs) > 1)
    refused %= len(pairs)
    new = [None if index == refused else after for index, (_, after) in enumerate(pairs)]
    cases = CASES[: len(pairs)]
    rest = prediction_shift([old for old, _ in pairs], new, cases)
    assert rest and rest.requests == len(pairs) - 1
    assert cases[refused] not in rest.flipped


def test_nothing_is_known_where_every_request_is_refused() -> None:
    shift = prediction_shift([classified(0.3)], [None], ["example"])
    assert shift is None
    assert not exceeds_tolerance(shift, 0)


def test_one_flip_is_tolerated_and_two_are_not() -> None:
    """One decision of many that flips is within the tolerance; two are not."""
    steady = [(classified(0.3), classified(0.3))] * 28
    flip = (classified(0.499), classified(0.501))
    assert not exceeds_tolerance(between([*steady, flip]), 0.05)
    assert exceeds_tolerance(between([*steady, flip, flip]), 0.05)


def test_probabilities_move_without_a_flip() -> None:
    """Probabilities that move without flipping a decision count as moved."""
    shift = between([(classified(0.1), classified(0.4))] * 10)
    assert shift.flips == 0
    assert exceeds_tolerance(shift, 0.05)


def test_values_move_by_standard_deviations_of_the_old_ones() -> None:
    shift = between([(estimated(0), estimated(10)), (estimated(100), estimated(100))])
    assert shift.scale == 50
    assert (shift.flips, shift.largest, shift.mean) == (None, 0.2, 0.1)
    assert exceeds_tolerance(shift, 0.05)
    assert not exceeds_tolerance(shift, 0.1)


@pytest.mark.parametrize(("old", "scale"), [(200, 200), (0, 1)])
def test_values_that_are_all_the_same_move_by_their_size(old: float, scale: float) -> None:
    shift = between([(estimated(old), estimated(old + 10))] * 3)
    assert shift.scale == scale
    assert shift.largest == 10 / scale


BINARY = Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.5)


@pytest.mark.parametrize(
    ("new", "same"),
    [
        (BINARY.model_copy(update={"threshold": 0.2}), True),
        (Classification(target="y", labels=("yes", "no"), positive="no", threshold=0.5), True),
        (Classification(target="y", labels=("no", "perhaps", "yes")), False),
        (Regression(target="y"), False),
    ],
)
def test_answers_can_be_compared_where_the_question_is_the_same(new: Output, same: bool) -> None:
    assert are_comparable(BINARY, new) is same
    assert are_comparable(new, BINARY) is same


def test_values_of_another_unit_cannot_be_compared() -> None:
    assert are_comparable(Regression(target="y", unit="km"), Regression(target="y", unit="km", coverage=0.8))
    assert not are_comparable(Regression(target="y", unit="km"), Regression(target="y", unit="miles"))


def test_another_quantile_is_another_question() -> None:
    median, high = Regression(target="y", quantile=0.5), Regression(target="y", quantile=0.9)
    assert are_comparable(high, high.model_copy(update={"coverage": 0.8}))
    assert not are_comparable(median, high)
    assert not are_comparable(median, Regression(target="y"))
    assert are_comparable(Regression(target="y"), Regression(target="y", count=True))


def test_a_movement_is_told_in_figures() -> None:
    flipping = between([(classified(0.3), classified(0.8)), (classified(0.3), classified(0.3))])
    assert str(flipping) == "1 of 2 decisions flip; a probability changes by at most 0.5, 0.25 on average"
    moving = between([(estimated(0), estimated(10)), (estimated(100), estimated(100))])
    assert str(between([(estimated(1), estimated(1))])) == "in 1 requests no value changes"
    assert str(between([(classified(0.3), classified(0.3))])) == "0 of 1 decisions flip, and no probability changes"
    assert "changes by at most 10, 5 on average (0.1 times the spread of the old values, 50)" in str(moving)


def test_targets_move_by_their_own_spreads_and_embeddings_by_their_distance() -> None:
    old = [{"values": {"a": 0.0, "b": 0.0}}, {"values": {"a": 2.0, "b": 200.0}}]
    new = [{"values": {"a": 0.5, "b": 0.0}}, {"values": {"a": 2.0, "b": 210.0}}]
    shift = prediction_shift(old, new, CASES[:2])
    assert shift is not None
    assert (shift.scale, shift.largest) == (None, 0.5)
    assert shift.mean == pytest.approx(0.3)
    assert str(shift).startswith("in 2 requests a value changes by at most 0.5 times the spread of the old values")
    vectors = [{"values": [0.0, 0.0]}, {"values": [6.0, 8.0]}]
    shift = prediction_shift(vectors, [{"values": [3.0, 4.0]}, {"values": [6.0, 8.0]}], CASES[:2])
    assert shift is not None
    assert (shift.scale, shift.largest, shift.mean) == (5.0, 1.0, 0.5)
