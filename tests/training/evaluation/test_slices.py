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
    exam,
    exam_of_count,
    exam_of_quantile,
    exam_of_quantity,
    exam_of_two,
    table,
)

EXAMS = (exam_of_two, exam_of_quantity, exam_of_count, exam_of_quantile)
EACH = {feature.name: feature for feature in FEATURES}


def even(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Answers that are as uncertain in every row."""
    return {"probabilities": np.tile([0.2, 0.8], (frame.height, 1))}


def exam_with_flipped(rows: np.ndarray, frame: pl.DataFrame) -> ScoredRows:
    """A model that is right in four of five rows, but in one of five of those."""
    right = (np.random.default_rng(5).random(frame.height) < 0.8) ^ rows
    return exam(frame, right.astype(np.int64), TWO, even)


def is_beyond_chance(one: SliceResult) -> bool:
    assert one.calibration_error is not None and one.calibration_chance is not None
    return one.calibration_error > one.calibration_chance


def test_slice_with_flipped_labels_is_the_worst() -> None:
    """The slice whose labels are flipped is found as the worst, with its size."""
    frame = table(5000)
    flipped = (frame["origin"] == "LGA").to_numpy()
    worst = slices(exam_with_flipped(flipped, frame), [])[0]
    assert (worst.slice, worst.rows, worst.named) == ("origin = LGA", flipped.sum(), False)
    loss = -(0.2 * np.log(0.8) + 0.8 * np.log(0.2))
    assert worst.loss == pytest.approx(loss, abs=0.1)
    assert worst.low < loss < worst.high
    assert worst.gap > 1


def test_a_pair_is_found_where_neither_of_its_slices_is_at_fault() -> None:
    frame = table(5000)
    flipped = ((frame["origin"] == "JFK") & (frame["night"] == 1)).to_numpy()
    worst = slices(exam_with_flipped(flipped, frame), [])[0]
    assert worst.slice in ("origin = JFK and night = true", "night = true and origin = JFK")
    assert worst.rows == flipped.sum()


def test_missing_values_are_a_slice() -> None:
    frame = table(5000)
    flipped = frame["distance"].is_nan().to_numpy()
    assert slices(exam_with_flipped(flipped, frame), [])[0].slice == "distance missing"


@pytest.mark.parametrize("seed", range(5))
def test_equally_good_slices_bring_no_finding(seed: int) -> None:
    """Nothing is found where the model is equally good everywhere."""
    frame = table(3000, seed)
    target = (np.random.default_rng(seed + 100).random(3000) < 0.8).astype(np.int64)
    assert slices(exam(frame, target, TWO, even), []) == ()


def test_a_few_rows_are_no_finding_however_bad_they_are() -> None:
    frame = table(3000)
    few = frame.with_columns(origin=pl.when(pl.int_range(3000) < 40).then(pl.lit("SWF")).otherwise("origin"))
    flipped = (few["origin"] == "SWF").to_numpy()
    assert "origin = SWF" not in {one.slice for one in slices(exam_with_flipped(flipped, few), [])}


def test_named_slices_are_all_there_beside_the_found_ones() -> None:
    judged = exam_with_flipped((table(5000)["origin"] == "LGA").to_numpy(), table(5000))
    found = slices(judged, [EACH["origin"]])
    named = {one.slice: one.rows for one in found if one.named}
    assert set(named) == {"origin = EWR", "origin = JFK", "origin = LGA", "origin missing"}
    assert sum(named.values()) == 5000
    assert len({one.slice for one in found}) == len(found)
    written = json.loads(json.dumps([one.to_json() for one in found]))
    assert tuple(map(SliceResult.model_validate, written)) == found == slices(judged, [EACH["origin"]])


def test_a_column_that_is_no_feature_can_be_named() -> None:
    judged = exam_of_quantity(1000)
    judged = replace(judged, frame=judged.frame.with_columns(sex=pl.Series(["f", "m"] * 500)))
    named = slices(judged, [Categorical(name="sex")])
    assert {(one.slice, one.learnt) for one in named if one.named} == {("sex = f", False), ("sex = m", False)}
    assert all(one.learnt for one in named if not one.named)


def test_too_few_rows_have_no_interval_and_come_last() -> None:
    judged = exam_of_quantity(1000)
    rare = pl.Series(["often"] * 997 + ["rare"] * 3)
    named = slices(replace(judged, frame=judged.frame.with_columns(rare=rare)), [Categorical(name="rare")])
    assert [(one.slice, one.low, one.high) for one in named][-1] == ("rare = rare", None, None)
    assert (named[-1].calibration_error, named[-1].calibration_chance) == (None, None)


def test_miscalibrated_slice_is_told_from_chance() -> None:
    """A slice whose probabilities do not come true is told from chance.

    Of LGA the model says 0.5 where it is 0.8; on the whole it may be right all the same.
    """
    frame = table(5000)
    there = (frame["origin"] == "LGA").to_numpy()

    def predict(rows: pl.DataFrame) -> dict[str, np.ndarray]:
        lga = (rows["origin"] == "LGA").to_numpy()
        return {"probabilities": np.where(lga[:, None], [0.5, 0.5], [0.2, 0.8])}

    target = (np.random.default_rng(5).random(5000) < 0.8).astype(np.int64)
    named = [one for one in slices(exam(frame, target, TWO, predict), [EACH["origin"], EACH["when"]]) if one.named]
    wrong = {one.slice for one in named if is_beyond_chance(one)}
    assert wrong == {"origin = LGA"}
    (worst,) = (one for one in named if one.slice == "origin = LGA")
    assert worst.calibration_error == pytest.approx(target[there].mean() - 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_chance_explains_slices_of_a_right_model(seed: int) -> None:
    """Chance explains the calibration of every slice of a model that is right."""
    for judged in (exam_of_two(2000, seed), exam_of_quantity(2000, seed)):
        for one in slices(judged, list(EACH.values())):
            assert one.calibration_error is not None and one.calibration_error >= 0
            assert not is_beyond_chance(one)


def test_of_a_regression_the_calibration_is_that_of_its_interval() -> None:
    judged = exam_of_quantity(1000)
    half = replace(judged, frame=judged.frame.with_columns(half=pl.Series([0.0, 1.0] * 500)))
    for one in slices(half, [Numeric(name="half")]):
        lower, upper = (judged.answers[name][:, 0] for name in ("lower", "upper"))
        held = ((lower <= judged.target) & (judged.target <= upper))[int(one.slice[-1]) :: 2].mean()
        assert one.calibration_error == pytest.approx(abs(held - 0.9))


def test_slices_are_named_as_people_write_values() -> None:
    frame = pl.DataFrame({"year": [2000.0] * 300 + [2001.0] * 100, "text": ["a"] * 399 + [""]})
    numbers = np.arange(400.0) / 3
    frame = frame.with_columns(size=numbers, city=pl.Series([f"city {row % 70:02}" for row in range(400)]))
    features = (Integer(name="year"), Text(name="text"), Numeric(name="size"), Categorical(name="city"))
    nothing = dict.fromkeys(("value", "lower", "upper"), np.zeros((400, 1)))
    judged = ScoredRows(lambda rows: nothing, frame, (), QUANTITY, numbers, np.ones(400))
    names = {one.slice for one in slices(judged, features)}
    assert {"year = 2000", "year = 2001", "text present", "text missing"} <= names
    assert {"size from 0 to 33", "size from 33.33 to 66.33", "city = city 49", "city = one of 20 rarer values"} <= names
    assert "city = city 50" not in names


@pytest.mark.parametrize("judged", [each(500) for each in EXAMS])
def test_the_losses_are_those_of_the_metrics(judged: ScoredRows) -> None:
    weights = np.random.default_rng(0).random(500)
    metrics = (
        classification_metrics(judged.target, judged.answers["probabilities"], 0.5)
        if isinstance(judged.output, Classification)
        else regression_metrics(judged.target, judged.answers, judged.output)
    )
    weighted = replace(judged, weights=weights)
    assert weighted.score(weighted.losses) == pytest.approx(metrics[judged.loss](weights))


def test_a_label_that_was_ruled_out_costs_a_finite_loss() -> None:
    losses = row_losses(np.array([2, 0]), {"probabilities": np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])}, THREE)
    assert np.isfinite(losses).all()
    assert losses[0] > 30 > losses[1] == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(EACH)))
def test_slices_of_a_column_average_to_the_whole(seed: int, column: str) -> None:
    """The slices of a column divide the rows, and their figures average to the whole."""
    judged = exam_of_quantity(200, seed)
    own = [one for one in slices(judged, [EACH[column]]) if one.named]
    rows = [one.rows for one in own]
    assert sum(rows) == 200
    assert np.average([one.loss**2 for one in own], weights=rows) == pytest.approx(judged.losses.mean())
    assert all(one.low is None or one.high is None or one.low <= one.loss <= one.high for one in own)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["night", "origin"]))
def test_a_weight_of_two_is_two_rows(seed: int, column: str) -> None:
    weights = np.random.default_rng(seed).integers(0, 3, 200)
    judged = exam_of_quantity(200, seed)
    weighted = slices(replace(judged, weights=weights.astype(float)), [EACH[column]])
    repeated = slices(judged.take(np.repeat(np.arange(200), weights)), [EACH[column]])
    losses = [{one.slice: one.loss for one in found if one.named} for found in (weighted, repeated)]
    assert losses[0] == pytest.approx(losses[1])
