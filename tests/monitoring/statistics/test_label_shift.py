import numpy as np
import pytest

from model_deployer.monitoring.statistics.label_shift import (
    EvaluatedPredictions,
    LabelShift,
    label_shares,
    label_shift,
    mixture_shares,
)

LIKELIHOODS = np.array([[0.7, 0.1], [0.2, 0.3], [0.1, 0.6]])


def predictions(share: float, seed: int, days: int = 40) -> EvaluatedPredictions:
    """Bins of a probability for two labels; each day has a share of its own around the expected one."""
    random = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(days), 100)
    daily = np.clip(share + 0.05 * random.standard_normal(days), 0, 1)
    labels = (random.random(len(blocks)) < daily[blocks]).astype(np.int64)
    scores = random.normal(1.5 * labels, 1)
    return EvaluatedPredictions(np.digitize(scores, np.linspace(-1.5, 3, 9)), labels, blocks)


def shifted(share: float, seed: int) -> LabelShift:
    live = predictions(share, 1000 + seed)
    return label_shift(predictions(0.3, seed), live.cells, live.blocks, seed=seed)


def test_a_square_system_has_the_solution_of_linear_algebra() -> None:
    """Of two predicted labels, the estimate is that of black box shift estimation."""
    confusion, shares = np.array([[0.9, 0.3], [0.1, 0.7]]), np.array([0.35, 0.65])
    live = confusion @ shares
    assert mixture_shares(confusion, 1000 * live) == pytest.approx(np.linalg.solve(confusion, live), abs=1e-5)


def test_more_cells_than_labels() -> None:
    assert mixture_shares(LIKELIHOODS, LIKELIHOODS @ [0.2, 0.8]) == pytest.approx([0.2, 0.8], abs=1e-4)


def test_an_impossible_mixture_stays_within_shares() -> None:
    assert mixture_shares(LIKELIHOODS, np.array([100.0, 0, 0])) == pytest.approx([1, 0], abs=1e-4)


def test_the_interval_covers_the_live_share() -> None:
    covered, consistent = 0, 0
    for seed in range(20):
        result = shifted(0.6, seed)
        covered += result.low[1] <= 0.6 <= result.high[1]
        consistent += result.is_consistent
        assert result.before[1] == pytest.approx(0.3, abs=0.05)
    assert covered >= 17
    assert consistent >= 16


def test_no_shift_is_no_shift() -> None:
    result = shifted(0.3, 3)
    assert result.low[1] < 0.3 < result.high[1]


def test_another_cause_is_not_consistent() -> None:
    """Scores that moved for both labels are not a mixture of the old ones."""
    live = predictions(0.3, 7)
    result = label_shift(predictions(0.3, 1), np.where(live.cells == 4, 9, live.cells), live.blocks)
    assert not result.is_consistent
    assert result.misfit > 0.05


def test_calibrated_probabilities_give_the_shares_without_cells() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(20_000) < 0.7).astype(np.int64)
    scores = random.normal(1.5 * labels, 1)
    odds = np.exp(1.5 * scores - 1.5**2 / 2) * 0.3 / 0.7
    probabilities = np.column_stack([1 / (1 + odds), odds / (1 + odds)])
    assert label_shares(probabilities, np.array([0.7, 0.3]))[1] == pytest.approx(0.7, abs=0.02)
