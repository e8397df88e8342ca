from typing import Any

import numpy as np
import polars as pl
import pytest

from model_deployer.training.data.leakage import association, is_suspicious, leaks, one_sided_class
from model_deployer.training.data.target import Target

ROWS = 2000
GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.normal(size=ROWS)
TWO = Target((NOISE > 0.5).astype(np.int64), ("no", "yes"))
THREE = Target(np.digitize(NOISE, [-0.5, 0.5]), ("a", "b", "c"))
QUANTITY = Target(NOISE, None)
ROUNDED = Target(np.round(NOISE, 1), None)


def column(values: Any) -> pl.Series:
    return pl.Series("x", values)


@pytest.mark.parametrize(
    ("values", "target"),
    [
        (NOISE, TWO),
        (-NOISE, TWO),
        (TWO.values.astype(bool), TWO),
        ([str(5 - code) for code in THREE.values], THREE),
        (np.array([7, 1, 4])[THREE.values], THREE),
        ([1.5 if code else None for code in TWO.values], TWO),
        (["2013-01-01" if code else None for code in TWO.values], TWO),
        (np.exp(NOISE), QUANTITY),
        ([f"{value:.12f}" for value in NOISE], QUANTITY),
        ([f"about {value}" for value in ROUNDED.values], ROUNDED),
    ],
)
def test_a_column_that_tells_the_target(values: Any, target: Target) -> None:
    assert leaks(column(values), target, seed=0)


@pytest.mark.parametrize("target", [TWO, THREE, QUANTITY])
@pytest.mark.parametrize(
    "values",
    [
        GENERATOR.normal(size=ROWS),
        [f"id {number}" for number in range(ROWS)],
        GENERATOR.integers(0, 5, ROWS),
        [None] * ROWS,
        np.full(ROWS, np.inf),
        NOISE + GENERATOR.normal(size=ROWS) / 2,
    ],
)
def test_a_column_that_does_not(values: Any, target: Target) -> None:
    assert not leaks(column(values), target, seed=0)


def test_the_association_is_the_area_under_the_curve() -> None:
    noisy_target = TWO.values + GENERATOR.normal(size=ROWS)
    assert association(column(noisy_target), TWO, seed=0) == pytest.approx(0.76, abs=0.03)
    assert association(column(NOISE**2), TWO, seed=0) < 0.8


def test_nearly_a_copy_of_the_target_is_suspicious() -> None:
    """A copy of the target with one row in a hundred turned over is suspicious."""
    wrong = GENERATOR.random(ROWS) < 0.01
    copies = [(np.where(wrong, 1 - TWO.values, TWO.values), TWO), (np.where(wrong, 0, NOISE), QUANTITY)]
    for values, target in copies:
        assert not leaks(column(values), target, seed=0)
        assert is_suspicious(column(values), target, seed=0)
    assert not is_suspicious(column(NOISE + GENERATOR.normal(size=ROWS)), TWO, seed=0)


def test_a_column_that_is_filled_for_one_class_only() -> None:
    positive_rows = (TWO.values == 1) & (GENERATOR.random(ROWS) < 0.6)
    any_rows = GENERATOR.random(ROWS) < 0.6

    def filled(rows: Any) -> pl.Series:
        return column([1.0 if row else None for row in rows])

    assert one_sided_class(filled(positive_rows), TWO) == "yes"
    assert one_sided_class(filled(any_rows), TWO) is None
    assert one_sided_class(filled(positive_rows), QUANTITY) is None
    common = Target((GENERATOR.random(ROWS) < 0.995).astype(np.int64), ("no", "yes"))
    assert one_sided_class(filled(any_rows), common) is None
