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
    predict_quantity,
    predict_two,
    quantile_rows,
    quantity_rows,
    scored_rows,
    table,
    true_probability,
    two_class_rows,
)


def of_probabilities(scored: ScoredRows) -> ProbabilityReliability:
    result = reliability(scored)
    assert isinstance(result, ProbabilityReliability)
    return result


def inside(result: Reliability) -> int:
    return sum(part.low <= part.predicted <= part.high for part in result.bins)


def test_a_perfectly_calibrated_model_keeps_to_its_curve() -> None:
    result = of_probabilities(two_class_rows(20_000))
    assert result.label == "yes"
    assert [part.rows for part in result.bins] == [2000] * 10
    assert inside(result) >= 8
    predicted = [part.predicted for part in result.bins]
    assert predicted == sorted(predicted)
    assert ProbabilityReliability.model_validate(json.loads(json.dumps(result.to_json()))) == result


def test_an_overconfident_model_does_not() -> None:
    def overconfident(frame: pl.DataFrame) -> dict[str, np.ndarray]:
        odds = (predict_two(frame)["probabilities"] / (1 - predict_two(frame)["probabilities"])) ** 3
        return {"probabilities": odds / (1 + odds)}

    result = reliability(two_class_rows(20_000, predict=overconfident))
    assert inside(result) <= 2
    assert result.bins[0].observed > result.bins[0].high / 2 > result.bins[0].predicted


def test_of_more_labels_the_likeliest_is_judged() -> None:
    frame = table(20_000)
    half = true_probability(frame) / 2
    probabilities = np.stack([half, half, 1 - 2 * half], 1)
    random = np.random.default_rng(3).random(20_000)
    target = (random[:, None] > np.cumsum(probabilities, 1)).sum(1)
    result = of_probabilities(scored_rows(frame, target, THREE, lambda rows: {"probabilities": probabilities}))
    assert result.label is None
    assert inside(result) >= 8
    assert result.bins[0].predicted >= 1 / 3


def test_of_sets_the_labels_that_they_miss_come_first() -> None:
    """The model gives "very" half of its true probability; the threshold fits the true probabilities."""
    frame = table(20_000)
    true = np.stack([1 - true_probability(frame), true_probability(frame) * 0.6, true_probability(frame) * 0.4], 1)
    target = (np.random.default_rng(3).random(20_000)[:, None] > np.cumsum(true, 1)).sum(1)
    true_label = true[np.arange(20_000), target]
    lowered = true * [1, 1, 0.5]
    answers = {"probabilities": lowered / lowered.sum(1, keepdims=True)}
    output = THREE.model_copy(update={"set_threshold": float(np.quantile(true_label, 0.1))})
    result = of_probabilities(scored_rows(frame, target, output, lambda rows: answers)).sets
    assert result is not None
    assert SetCoverage.model_validate(json.loads(json.dumps(result.to_json()))) == result
    assert result.coverage == 0.9
    assert sum(size.share for size in result.sizes) == pytest.approx(1)
    assert result.labels[0].label == "very"
    assert result.labels[0].high < 0.9
    assert sum(label.rows for label in result.labels) == 20_000
    covered = sum(label.rows * label.observed for label in result.labels) / 20_000
    assert covered == pytest.approx(output.sets(answers)[np.arange(20_000), target].mean())


def test_without_a_threshold_there_are_no_sets() -> None:
    assert of_probabilities(two_class_rows(100)).sets is None
    assert "sets" not in reliability(two_class_rows(100)).to_json()


def test_the_interval_of_a_regression_is_judged_by_fifths() -> None:
    result = reliability(quantity_rows(10_000))
    assert isinstance(result, IntervalReliability)
    assert result.coverage == 0.9
    assert [part.rows for part in result.bins] == pytest.approx([2000] * 5, abs=1000)
    assert sum(part.low <= 0.9 <= part.high for part in result.bins) >= 4


def test_a_quantile_is_judged_by_how_often_the_truth_stays_below() -> None:
    scored = quantile_rows(10_000)
    result = reliability(scored)
    assert isinstance(result, QuantileReliability)
    assert (result.share_below, len(result.bins)) == (0.95, 5)
    assert sum(part.low <= 0.95 <= part.high for part in result.bins) >= 4
    average = reliability(replace(scored, predict=predict_quantity))
    assert max(part.high for part in average.bins) < 0.6


def test_the_intervals_are_those_of_scipy() -> None:
    result = reliability(two_class_rows(1000))
    for part in result.bins:
        expected = binomtest(round(part.observed * part.rows), part.rows).proportion_ci(method="wilson")
        assert (part.low, part.high) == pytest.approx((expected.low, expected.high))


def test_only_the_ratios_of_weights_matter() -> None:
    scored = two_class_rows(1000)
    equal = reliability(replace(scored, weights=np.full(1000, 0.25)))
    for part, expected in zip(equal.bins, reliability(scored).bins, strict=True):
        assert part.to_json() == pytest.approx(expected.to_json())
    heavy = replace(scored, weights=np.where(np.arange(1000) < 10, 100.0, 0.1))
    widths = [max(part.high - part.low for part in reliability(model).bins) for model in (scored, heavy)]
    assert widths[1] > 2 * widths[0]


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5000001, 3.0, 1e9]) | st.floats(-1, 1), min_size=1), st.integers(1, 6)
)
def test_parts_follow_the_order_of_the_values(values: list[float], parts: int) -> None:
    part_of_value = quantile_parts(np.array(values), parts)
    assert set(part_of_value) == set(range(part_of_value.max() + 1))
    assert part_of_value.max() < parts
    order = np.argsort(values, kind="stable")
    assert (np.diff(part_of_value[order]) >= 0).all()
    assert len({(value, part) for value, part in zip(values, part_of_value, strict=True)}) == len({*values})


def test_a_constant_answer_is_one_part() -> None:
    scored = two_class_rows(100, predict=lambda frame: {"probabilities": np.tile([0.5, 0.5], (frame.height, 1))})
    assert [part.rows for part in reliability(scored).bins] == [100]
