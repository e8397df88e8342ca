"""The comparison of a source with a graph: differences, other decisions, refused rows."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.equality.comparison import TOLERANCE, SourceAnswers, compare
from model_deployer.contract.adoption import Equality
from model_deployer.contract.outputs import Classification, Regression

LABELS = Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.5)


def _compare(source: list[float], graph: list[float], refused: dict[int, str] | None = None) -> Equality:
    """Compare two classifiers by their probabilities of ``yes``."""
    expected, actual = (np.array([[1 - p, p] for p in column]) for column in (source, graph))
    decisions = ["yes" if p > 0.5 else "no" for p in source]
    cases = [f"row {row + 1}" for row in range(len(source))]
    answers = SourceAnswers(expected, decisions, refused or {})
    return compare(answers, {"probabilities": actual.astype(np.float32)}, LABELS, cases, 1)


def test_equal_answers_are_a_proof() -> None:
    equality = _compare([0.2, 0.7], [0.2, 0.7 + TOLERANCE / 10])
    assert equality.is_proved
    assert (equality.table_rows, equality.probe_rows, equality.rows) == (1, 1, ())


def test_the_worst_rows_are_named_first() -> None:
    equality = _compare([0.2, 0.7, 0.1], [0.2, 0.71, 0.3])
    assert not equality.is_proved
    assert [row.case for row in equality.rows] == ["row 3", "row 2"]
    assert equality.differing == 2


def test_another_decision_counts_however_small_the_difference() -> None:
    equality = _compare([0.5, 0.7], [0.5, 0.7])  # the source decides above its threshold, this contract at it
    assert (equality.differing, equality.flips) == (0, 1)
    assert not equality.is_proved
    assert (equality.rows[0].source, equality.rows[0].served) == ("no", "yes")


def test_rows_that_the_source_refuses_are_counted_and_not_compared() -> None:
    equality = _compare([0.2, np.nan], [0.2, 0.9], {1: "ValueError"})
    assert equality.is_proved
    assert (equality.probe_rows, equality.refused, equality.refusals) == (0, 1, {"ValueError": 1})


def test_a_missing_answer_is_a_difference() -> None:
    assert _compare([0.2, 0.4], [0.2, np.nan]).differing == 1


def test_nothing_compared_is_no_proof() -> None:
    assert not _compare([np.nan], [0.1], {0: "ValueError"}).is_proved


def _values(source: list[float], graph: list[float]) -> Equality:
    expected: NDArray[np.float64] = np.array(source)[:, None]
    served = {"value": np.array(graph, np.float32)[:, None]}
    return compare(SourceAnswers(expected, None, {}), served, Regression(target="y"), ["a", "b", "c"], 3)


def test_values_differ_relative_to_their_spread_or_their_size() -> None:
    assert _values([1e6, 2e6, 3e6], [1e6 + 0.1, 2e6, 3e6]).is_proved
    assert not _values([0.1, 0.2, 0.3], [0.1001, 0.2, 0.3]).is_proved


def test_extreme_probe_rows_hide_no_difference() -> None:
    """Without a table, the spread of the values is that of the extreme rows."""
    source = np.array([*np.linspace(1, 2, 50), 1e30, -1e30])[:, None]
    served = source.astype(np.float32)
    cases = [f"probe {row}" for row in range(len(source))]
    assert compare(SourceAnswers(source, None, {}), {"value": served}, Regression(target="y"), cases, 0).is_proved
    served[3] *= 1.01
    equality = compare(SourceAnswers(source, None, {}), {"value": served}, Regression(target="y"), cases, 0)
    assert [row.case for row in equality.rows] == ["probe 3"]


def test_numbers_beyond_float32_are_infinite_in_both() -> None:
    assert _values([1e300, 1.0, 2.0], [np.inf, 1.0, 2.0]).is_proved
