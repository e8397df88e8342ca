import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from model_deployer.contract.evaluation import (
    IntervalReliability,
    ProbabilityReliability,
    QuantileReliability,
    Reliability,
    SetCoverage,
)
from model_deployer.training.evaluation.quantiles import quantile_parts
from model_deployer.training.evaluation.reliability import reliability
from model_deployer.training.evaluation.scored_rows import ScoredRows
from tests.support.scored_rows import (
    THREE,
    chance,
    exam,
    exam_of_quantile,
    exam_of_quantity,
    exam_of_two,
    quantity,
    table,
    two,
)


def of_probabilities(judged: ScoredRows) -> ProbabilityReliability:
    found = reliability(judged)
    assert isinstance(found, ProbabilityReliability)
    return found


def inside(found: Reliability) -> int:
    return sum(one.low <= one.predicted <= one.high for one in found.bins)


def test_a_perfectly_calibrated_model_keeps_to_its_curve() -> None:
    found = of_probabilities(exam_of_two(20_000))
    assert found.label == "yes"
    assert [one.rows for one in found.bins] == [2000] * 10
    assert inside(found) >= 8
    predicted = [one.predicted for one in found.bins]
    assert predicted == sorted(predicted)
    assert ProbabilityReliability.model_validate(json.loads(json.dumps(found.to_json()))) == found


def test_an_overconfident_model_does_not() -> None:
    def overconfident(frame: pl.DataFrame) -> dict[str, np.ndarray]:
        odds = (two(frame)["probabilities"] / (1 - two(frame)["probabilities"])) ** 3
        return {"probabilities": odds / (1 + odds)}

    found = reliability(exam_of_two(20_000, predict=overconfident))
    assert inside(found) <= 2
    assert found.bins[0].observed > found.bins[0].high / 2 > found.bins[0].predicted


def test_of_more_labels_the_likeliest_is_judged() -> None:
    frame = table(20_000)
    probabilities = np.stack([chance(frame) * 0.5, chance(frame) * 0.5, 1 - chance(frame)], 1)
    drawn = np.random.default_rng(3).random(20_000)
    target = (drawn[:, None] > np.cumsum(probabilities, 1)).sum(1)
    found = of_probabilities(exam(frame, target, THREE, lambda rows: {"probabilities": probabilities}))
    assert found.label is None
    assert inside(found) >= 8
    assert found.bins[0].predicted >= 1 / 3


def test_of_sets_the_labels_that_they_miss_come_first() -> None:
    """ "very" is given half of its true probability; the threshold is that of the true ones."""
    frame = table(20_000)
    true = np.stack([1 - chance(frame), chance(frame) * 0.6, chance(frame) * 0.4], 1)
    target = (np.random.default_rng(3).random(20_000)[:, None] > np.cumsum(true, 1)).sum(1)
    own = true[np.arange(20_000), target]
    given = true * [1, 1, 0.5]
    answers = {"probabilities": given / given.sum(1, keepdims=True)}
    output = THREE.model_copy(update={"set_threshold": float(np.quantile(own, 0.1))})
    found = of_probabilities(exam(frame, target, output, lambda rows: answers)).sets
    assert found is not None
    assert SetCoverage.model_validate(json.loads(json.dumps(found.to_json()))) == found
    assert found.coverage == 0.9
    assert sum(one.share for one in found.sizes) == pytest.approx(1)
    assert found.labels[0].label == "very"
    assert found.labels[0].high < 0.9
    assert sum(one.rows for one in found.labels) == 20_000
    held = sum(one.rows * one.observed for one in found.labels) / 20_000
    assert held == pytest.approx(output.sets(answers)[np.arange(20_000), target].mean())


def test_without_a_threshold_there_are_no_sets() -> None:
    assert of_probabilities(exam_of_two(100)).sets is None
    assert "sets" not in reliability(exam_of_two(100)).to_json()


def test_the_interval_of_a_regression_is_judged_by_fifths() -> None:
    found = reliability(exam_of_quantity(10_000))
    assert isinstance(found, IntervalReliability)
    assert found.coverage == 0.9
    assert [one.rows for one in found.bins] == pytest.approx([2000] * 5, abs=1000)
    assert sum(one.low <= 0.9 <= one.high for one in found.bins) >= 4


def test_a_quantile_is_judged_by_how_often_the_truth_stays_below() -> None:
    judged = exam_of_quantile(10_000)
    found = reliability(judged)
    assert isinstance(found, QuantileReliability)
    assert (found.share_below, len(found.bins)) == (0.95, 5)
    assert sum(one.low <= 0.95 <= one.high for one in found.bins) >= 4
    average = reliability(replace(judged, predict=quantity))
    assert max(one.high for one in average.bins) < 0.6


def test_the_intervals_are_those_of_scipy() -> None:
    found = reliability(exam_of_two(1000))
    for one in found.bins:
        expected = binomtest(round(one.observed * one.rows), one.rows).proportion_ci(method="wilson")
        assert (one.low, one.high) == pytest.approx((expected.low, expected.high))


def test_only_the_ratios_of_weights_matter() -> None:
    judged = exam_of_two(1000)
    equal = reliability(replace(judged, weights=np.full(1000, 0.25)))
    for one, other in zip(equal.bins, reliability(judged).bins, strict=True):
        assert one.to_json() == pytest.approx(other.to_json())
    heavy = replace(judged, weights=np.where(np.arange(1000) < 10, 100.0, 0.1))
    widths = [max(one.high - one.low for one in reliability(each).bins) for each in (judged, heavy)]
    assert widths[1] > 2 * widths[0]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5000001, 3.0, 1e9]) | st.floats(-1, 1), min_size=1), st.integers(1, 6)
)
def test_parts_follow_the_order_of_the_values(values: list[float], parts: int) -> None:
    part = quantile_parts(np.array(values), parts)
    assert set(part) == set(range(part.max() + 1))
    assert part.max() < parts
    order = np.argsort(values, kind="stable")
    assert (np.diff(part[order]) >= 0).all()
    assert len({(value, place) for value, place in zip(values, part, strict=True)}) == len({*values})


def test_a_constant_answer_is_one_part() -> None:
    judged = exam_of_two(100, predict=lambda frame: {"probabilities": np.tile([0.5, 0.5], (frame.height, 1))})
    assert [one.rows for one in reliability(judged).bins] == [100]
