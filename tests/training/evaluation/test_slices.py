import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.evaluation import SliceResult
from model_deployer.contract.features import Categorical, Integer, Numeric, Text
from model_deployer.contract.outputs import Classification
from model_deployer.training.evaluation.losses import row_losses
from model_deployer.training.evaluation.metrics import classification_metrics, regression_metrics
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.evaluation.slices import slices
from tests.support.scored_rows import (
    FEATURES,
    QUANTITY,
    THREE,
    TWO,
    count_rows,
    quantile_rows,
    quantity_rows,
    scored_rows,
    table,
    two_class_rows,
)

SCORED = (two_class_rows, quantity_rows, count_rows, quantile_rows)
FEATURE_BY_NAME = {feature.name: feature for feature in FEATURES}


def even(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return predictions with the same uncertainty in every row."""
    return {"probabilities": np.tile([0.2, 0.8], (frame.height, 1))}


def rows_with_flipped_labels(rows: np.ndarray, frame: pl.DataFrame) -> ScoredRows:
    """Return a model that is right in 80 % of all rows, but only in 20 % of ``rows``."""
    right = (np.random.default_rng(5).random(frame.height) < 0.8) ^ rows
    return scored_rows(frame, right.astype(np.int64), TWO, even)


def is_beyond_chance(part: SliceResult) -> bool:
    assert part.calibration_error is not None and part.calibration_chance is not None
    return part.calibration_error > part.calibration_chance


def test_slice_with_flipped_labels_is_the_worst() -> None:
    """The search reports the slice whose labels are flipped as the worst, with its size."""
    frame = table(5000)
    flipped = (frame["origin"] == "LGA").to_numpy()
    worst = slices(rows_with_flipped_labels(flipped, frame), [])[0]
    assert (worst.slice, worst.rows, worst.named) == ("origin = LGA", flipped.sum(), False)
    loss = -(0.2 * np.log(0.8) + 0.8 * np.log(0.2))
    assert worst.loss == pytest.approx(loss, abs=0.1)
    assert worst.low < loss < worst.high
    assert worst.gap > 1


def test_a_pair_is_found_where_neither_of_its_slices_is_at_fault() -> None:
    frame = table(5000)
    flipped = ((frame["origin"] == "JFK") & (frame["night"] == 1)).to_numpy()
    worst = slices(rows_with_flipped_labels(flipped, frame), [])[0]
    assert worst.slice in ("origin = JFK and night = true", "night = true and origin = JFK")
    assert worst.rows == flipped.sum()


def test_missing_values_are_a_slice() -> None:
    frame = table(5000)
    flipped = frame["distance"].is_nan().to_numpy()
    assert slices(rows_with_flipped_labels(flipped, frame), [])[0].slice == "distance missing"


@pytest.mark.parametrize("seed", range(5))
def test_equally_good_slices_bring_no_finding(seed: int) -> None:
    """The search reports nothing if the model is equally good on all slices."""
    frame = table(3000, seed)
    target = (np.random.default_rng(seed + 100).random(3000) < 0.8).astype(np.int64)
    assert slices(scored_rows(frame, target, TWO, even), []) == ()


def test_a_few_rows_are_no_finding_however_bad_they_are() -> None:
    frame = table(3000)
    few = frame.with_columns(origin=pl.when(pl.int_range(3000) < 40).then(pl.lit("SWF")).otherwise("origin"))
    flipped = (few["origin"] == "SWF").to_numpy()
    assert "origin = SWF" not in {part.slice for part in slices(rows_with_flipped_labels(flipped, few), [])}


def test_named_slices_are_all_there_beside_the_found_ones() -> None:
    scored = rows_with_flipped_labels((table(5000)["origin"] == "LGA").to_numpy(), table(5000))
    result = slices(scored, [FEATURE_BY_NAME["origin"]])
    named = {part.slice: part.rows for part in result if part.named}
    assert set(named) == {"origin = EWR", "origin = JFK", "origin = LGA", "origin missing"}
    assert sum(named.values()) == 5000
    assert len({part.slice for part in result}) == len(result)
    written = json.loads(json.dumps([part.to_json() for part in result]))
    assert tuple(map(SliceResult.model_validate, written)) == result == slices(scored, [FEATURE_BY_NAME["origin"]])


def test_a_column_that_is_no_feature_can_be_named() -> None:
    scored = quantity_rows(1000)
    scored = replace(scored, frame=scored.frame.with_columns(sex=pl.Series(["f", "m"] * 500)))
    named = slices(scored, [Categorical(name="sex")])
    assert {(part.slice, part.learnt) for part in named if part.named} == {("sex = f", False), ("sex = m", False)}
    assert all(part.learnt for part in named if not part.named)


def test_too_few_rows_have_no_interval_and_come_last() -> None:
    scored = quantity_rows(1000)
    rare = pl.Series(["often"] * 997 + ["rare"] * 3)
    named = slices(replace(scored, frame=scored.frame.with_columns(rare=rare)), [Categorical(name="rare")])
    assert [(part.slice, part.low, part.high) for part in named][-1] == ("rare = rare", None, None)
    assert (named[-1].calibration_error, named[-1].calibration_chance) == (None, None)


def test_miscalibrated_slice_is_told_from_chance() -> None:
    """A slice whose calibration error is larger than chance explains is the only one that is marked.

    For LGA the model predicts 0.5 instead of 0.8; the error over all rows may still be small.
    """
    frame = table(5000)
    is_lga = (frame["origin"] == "LGA").to_numpy()

    def predict(rows: pl.DataFrame) -> dict[str, np.ndarray]:
        lga = (rows["origin"] == "LGA").to_numpy()
        return {"probabilities": np.where(lga[:, None], [0.5, 0.5], [0.2, 0.8])}

    target = (np.random.default_rng(5).random(5000) < 0.8).astype(np.int64)
    scored = scored_rows(frame, target, TWO, predict)
    named = [part for part in slices(scored, [FEATURE_BY_NAME["origin"], FEATURE_BY_NAME["when"]]) if part.named]
    wrong = {part.slice for part in named if is_beyond_chance(part)}
    assert wrong == {"origin = LGA"}
    (worst,) = (part for part in named if part.slice == "origin = LGA")
    assert worst.calibration_error == pytest.approx(target[is_lga].mean() - 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_chance_explains_slices_of_a_right_model(seed: int) -> None:
    """Chance explains the calibration error of every slice of a perfect model."""
    for scored in (two_class_rows(2000, seed), quantity_rows(2000, seed)):
        for part in slices(scored, list(FEATURE_BY_NAME.values())):
            assert part.calibration_error is not None and part.calibration_error >= 0
            assert not is_beyond_chance(part)


def test_of_a_regression_the_calibration_is_that_of_its_interval() -> None:
    scored = quantity_rows(1000)
    half = replace(scored, frame=scored.frame.with_columns(half=pl.Series([0.0, 1.0] * 500)))
    for part in slices(half, [Numeric(name="half")]):
        lower, upper = (scored.answers[name][:, 0] for name in ("lower", "upper"))
        coverage = ((lower <= scored.target) & (scored.target <= upper))[int(part.slice[-1]) :: 2].mean()
        assert part.calibration_error == pytest.approx(abs(coverage - 0.9))


def test_slices_are_named_as_people_write_values() -> None:
    frame = pl.DataFrame({"year": [2000.0] * 300 + [2001.0] * 100, "text": ["a"] * 399 + [""]})
    numbers = np.arange(400.0) / 3
    frame = frame.with_columns(size=numbers, city=pl.Series([f"city {row % 70:02}" for row in range(400)]))
    features = (Integer(name="year"), Text(name="text"), Numeric(name="size"), Categorical(name="city"))
    zeros = dict.fromkeys(("value", "lower", "upper"), np.zeros((400, 1)))
    scored = ScoredRows(lambda rows: zeros, frame, (), QUANTITY, numbers, np.ones(400))
    names = {part.slice for part in slices(scored, features)}
    assert {"year = 2000", "year = 2001", "text present", "text missing"} <= names
    assert {"size from 0 to 33", "size from 33.33 to 66.33", "city = city 49", "city = one of 20 rarer values"} <= names
    assert "city = city 50" not in names


@pytest.mark.parametrize("scored", [make_rows(500) for make_rows in SCORED])
def test_the_losses_are_those_of_the_metrics(scored: ScoredRows) -> None:
    weights = np.random.default_rng(0).random(500)
    metrics = (
        classification_metrics(scored.target, scored.answers["probabilities"], 0.5)
        if isinstance(scored.output, Classification)
        else regression_metrics(scored.target, scored.answers, scored.output)
    )
    weighted = replace(scored, weights=weights)
    assert weighted.score(weighted.losses) == pytest.approx(metrics[scored.loss](weights))


def test_a_label_that_was_ruled_out_costs_a_finite_loss() -> None:
    losses = row_losses(np.array([2, 0]), {"probabilities": np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])}, THREE)
    assert np.isfinite(losses).all()
    assert losses[0] > 30 > losses[1] == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(FEATURE_BY_NAME)))
def test_slices_of_a_column_average_to_the_whole(seed: int, column: str) -> None:
    """The slices of a column divide the rows, and the mean of their losses is that of all rows."""
    scored = quantity_rows(200, seed)
    own = [part for part in slices(scored, [FEATURE_BY_NAME[column]]) if part.named]
    rows = [part.rows for part in own]
    assert sum(rows) == 200
    assert np.average([part.loss**2 for part in own], weights=rows) == pytest.approx(scored.losses.mean())
    assert all(part.low is None or part.high is None or part.low <= part.loss <= part.high for part in own)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["night", "origin"]))
def test_a_weight_of_two_is_two_rows(seed: int, column: str) -> None:
    weights = np.random.default_rng(seed).integers(0, 3, 200)
    scored = quantity_rows(200, seed)
    weighted = slices(replace(scored, weights=weights.astype(float)), [FEATURE_BY_NAME[column]])
    repeated = slices(scored.take(np.repeat(np.arange(200), weights)), [FEATURE_BY_NAME[column]])
    losses = [{part.slice: part.loss for part in result if part.named} for result in (weighted, repeated)]
    assert losses[0] == pytest.approx(losses[1])
