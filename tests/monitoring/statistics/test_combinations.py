"""Combinations of values: quiet as long as they are of the same kind, and found although each field is as before."""

import numpy as np
import pytest

from model_deployer.monitoring.statistics.combinations import MIDDLE, CodedField, Codes, UsualCombinations
from model_deployer.monitoring.statistics.evidence import Floats
from model_deployer.monitoring.statistics.exchangeability import exchangeability

FIELDS = [
    CodedField("size", missing=5, is_ordered=True),
    CodedField("weight", missing=5, is_ordered=True),
    CodedField("height", missing=5, is_ordered=True),
    CodedField("colour", missing=4, is_ordered=False),
]

DAYS, ROWS, ALPHA = 84, 200, 0.005


def days(correlations: Floats, seed: int) -> Codes:
    """Days with this correlation of size and weight, [days, rows, fields]; each day has effects of its own."""
    random = np.random.default_rng(seed)
    shape = (len(correlations), ROWS)
    size, noise, height = (random.standard_normal(shape) for _ in range(3))
    weight = correlations[:, None] * size + np.sqrt(1 - correlations[:, None] ** 2) * noise
    effects = 0.3 * random.standard_normal((3, len(correlations), 1))
    numbers = np.stack([size, weight, height]) + effects
    codes = np.searchsorted([-0.84, -0.25, 0.25, 0.84], numbers)
    codes[random.random(codes.shape) < 0.02] = 5
    colour = random.choice(4, shape, p=[0.5, 0.3, 0.15, 0.05])
    return np.concatenate([codes, colour[None]]).transpose(1, 2, 0).astype(np.uint8)


def usual(correlations: Floats, seed: int = 0) -> UsualCombinations:
    table = days(correlations, seed)
    return UsualCombinations(FIELDS, table.reshape(-1, 7, *table.shape[1:]), len(table))


def alarm_day(table: UsualCombinations, live: Codes) -> int | None:
    scores = table.live_scores(live)
    alarms = exchangeability(table.scores, scores, ALPHA, seed=0, only_high=True).alarms
    return alarms[0].period if alarms else None


@pytest.mark.parametrize("world", ["steady", "seasonal", "wandering"])
def test_years_without_a_change_are_quiet(world: str) -> None:
    """Of 20 years, one may have an alarm with a budget of 0.5 % each."""
    alarms = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        level = np.full(DAYS + 365, 0.3)
        if world == "seasonal":
            level = 0.3 + 0.2 * np.sin(2 * np.pi * np.arange(DAYS + 365) / 80)
        if world == "wandering":
            for day in range(1, len(level)):
                level[day] = 0.3 + 0.9 * (level[day - 1] - 0.3) + 0.05 * random.standard_normal()
        level = level.clip(-0.9, 0.9)
        alarms += alarm_day(usual(level[:DAYS], seed), days(level[DAYS:], seed + 1000)) is not None
    assert alarms <= 1


def test_live_scores_are_rather_lower_than_those_of_the_table() -> None:
    """Over many tables, live scores exceed the median of those of the table a little less often than not."""
    shares = []
    for seed in range(20):
        table = usual(np.full(DAYS, 0.3), seed)
        live = table.live_scores(days(np.full(60, 0.3), seed + 1000))
        shares.append(np.mean(live > np.median(table.scores)))
    assert 0.25 < np.mean(shares) < 0.5


@pytest.mark.parametrize("correlation", [0.8, -0.5])
def test_a_changed_correlation_is_found_and_named(correlation: float) -> None:
    table = usual(np.full(DAYS, 0.3))
    live = days(np.where(np.arange(60) < 20, 0.3, correlation), seed=1)
    alarm = alarm_day(table, live)
    assert alarm is not None
    assert 20 < alarm < 36
    first = table.unusual(live[20:], 3)[0]
    assert (first.fields, first.values) == (("size", "weight"), (None, None))
    assert first.expected[0] < 0.3 < first.expected[1]
    assert first.correlation == pytest.approx(0.9 * correlation, abs=0.08)  # bins are coarser than values
    assert table.is_usual(live[:20], first)
    assert not table.is_usual(live[-3:], first)


def test_a_u_shaped_relation_and_a_category_are_found() -> None:
    """Heights that are far from their middle, and heights of one colour only: no correlation of positions."""
    table = usual(np.full(DAYS, 0.3))
    live = days(np.full(14, 0.3), seed=1)
    is_far = np.abs(live[..., 2].astype(int) - 2) == 2
    curved = live.copy()
    curved[..., 0] = np.where(is_far, 4, np.minimum(live[..., 0], 3))
    assert table.unusual(curved, 1)[0].values == (None, MIDDLE)
    coloured = live.copy()
    coloured[..., 3] = np.where(live[..., 2] == 4, 0, np.maximum(live[..., 3], 1))
    assert table.unusual(coloured, 1)[0].fields == ("height", "colour")


def test_only_complete_weeks_have_scores_and_constant_fields_have_no_correlation() -> None:
    table = usual(np.full(DAYS, 0.3))
    live = days(np.full(14, 0.3), seed=1)
    assert len(table.live_scores(live[:6])) == 0
    assert len(table.live_scores(live[:13])) == 7
    assert np.array_equal(table.live_scores(live)[:7], table.live_scores(live[:13]))
    live[..., 0] = 2
    assert np.isfinite(table.live_scores(live)).all()
