"""Slices of captured rows are those of the evaluation: its own search says which rows each condition has."""

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.features import Categorical, Feature
from model_deployer.contract.reference import NumberDistribution
from model_deployer.monitoring.slices import condition_rows, field_slices
from model_deployer.training.evaluation.slices import slices
from tests.support.scored_rows import FEATURES, TWO, predict_two, scored_rows, table, true_probability

BY_NAME = {feature.name: feature for feature in FEATURES}


def as_captured(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows of the evaluation in the types of captured traffic."""
    columns = {
        "input.distance": frame["distance"].fill_nan(None),
        "input.noise": frame["noise"],
        "input.night": frame["night"].fill_nan(None).cast(pl.Boolean),
        "input.when": (frame["when"] * 1e6).cast(pl.Int64).cast(pl.Datetime("us")),
        "input.origin": frame["origin"].replace("", None),
    }
    return pl.DataFrame(columns)


def test_each_condition_of_the_evaluation_has_the_rows_of_the_evaluation() -> None:
    """Categories, booleans, ranges of numbers and times, missing values, and pairs of them."""
    frame = table(5000)
    is_bad = ((frame["origin"] == "JFK") & (frame["night"] == 1)).to_numpy()
    truth = (np.random.default_rng(1).random(5000) < true_probability(frame)) ^ is_bad
    evaluated = slices(scored_rows(frame, truth.astype(np.int64), TWO, predict_two), FEATURES)
    captured = as_captured(frame)
    names = {part.slice for part in evaluated}
    assert {"origin = JFK and night = true", "night = true and origin = JFK"} & names
    assert {"distance missing", "night = false"} <= names
    assert sum(" from " in name for name in names) == 12
    for part in evaluated:
        rows = condition_rows(captured, BY_NAME, part.slice)
        assert rows is not None, part.slice
        assert rows.sum() == pytest.approx(part.rows, abs=3), part.slice  # ends have four digits


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("spice = salt and pepper", [True, False, False]),
        ("spice = salt and spice form = ground", [False, True, False]),
        ("spice form = ground and spice = salt and pepper", [True, False, False]),
        ("spice missing", [False, False, True]),
        ("spice present", [True, True, False]),
        ("spice = one of 7 rarer values", [False, False, False]),
        ("colour = red", None),
    ],
)
def test_names_and_categories_with_words_of_conditions(condition: str, rows: list[bool] | None) -> None:
    features: dict[str, Feature] = {name: Categorical(name=name) for name in ("spice", "spice form")}
    captured = pl.DataFrame(
        {"input.spice": ["salt and pepper", "salt", None], "input.spice form": ["ground", "ground", "whole"]}
    )
    answer = condition_rows(captured, features, condition)
    assert (None if answer is None else answer.tolist()) == rows


def test_the_quarters_are_those_of_the_table_and_open_at_its_ends() -> None:
    distribution = NumberDistribution(quantiles=tuple(np.linspace(0, 100, 21)))
    values = pl.Series("distance", [-5.0, 25.0, 25.1, 99.0, 400.0, None])
    parts = {part.name: part.rows.tolist() for part in field_slices(BY_NAME["distance"], values, distribution, 8)}
    assert [*parts] == [f"distance from {low} to {low + 25}" for low in (0, 25, 50, 75)] + ["distance missing"]
    assert parts["distance from 0 to 25"] == [True, True, False, False, False, False]
    assert parts["distance from 25 to 50"] == [False, False, True, False, False, False]
    assert parts["distance from 75 to 100"] == [False, False, False, True, True, False]
    assert parts["distance missing"] == [False] * 5 + [True]
