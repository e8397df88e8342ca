"""The losses, predictions and intervals of the heads."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance

from model_deployer.training.models.heads import MAX_VALUE, CountHead, QuantileHead


def count_head(target: np.ndarray) -> CountHead:
    head = CountHead()
    head.fit_target(torch.from_numpy(target))
    return head


def test_count_loss_is_deviance_per_mean() -> None:
    """The loss of a count is its deviance in units of the mean."""
    random = np.random.default_rng(0)
    target = random.poisson(3, 500).astype(float)
    head = count_head(target)
    combined = torch.from_numpy(random.normal(size=(500, 1)))
    losses = head.losses(combined, head.transform_target(torch.from_numpy(target)))
    rate = head(combined)[0][:, 0].numpy()
    assert losses.mean().item() * target.mean() == pytest.approx(mean_poisson_deviance(target, rate), rel=1e-5)
    assert head.losses(torch.full((1, 1), 1e5), torch.ones(1)).isfinite().all()


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.9])
def test_the_loss_of_a_quantile_is_its_pinball_loss(quantile: float) -> None:
    target, predictions = np.random.default_rng(0).normal(size=(2, 300))
    losses = QuantileHead(False, quantile).losses(torch.from_numpy(predictions)[:, None], torch.from_numpy(target))
    assert losses.mean().item() == pytest.approx(mean_pinball_loss(target, predictions, alpha=quantile))


def test_trivial_answer_is_the_best_constant() -> None:
    """The trivial answer is the best of those that are the same for every row."""
    random = np.random.default_rng(0)
    target, weights = random.poisson(3, 400).astype(float), random.random(400)
    count, quantile = count_head(target), QuantileHead(False, 0.8)
    for head, metric in (
        (count, partial(mean_poisson_deviance, target, sample_weight=weights)),
        (quantile, partial(mean_pinball_loss, target, alpha=0.8, sample_weight=weights)),
    ):
        (best,) = head.trivial(target, weights)
        losses = {value: metric(np.full(400, value)) for value in (best, best - 0.1, best + 0.1)}
        assert min(losses, key=lambda value: losses[value]) == best


@pytest.mark.parametrize(("quantile", "rows"), [(0.5, 6), (0.9, 30), (0.1, 30), (1e-12, 10**9)])
def test_leaves_of_a_far_quantile_hold_more_rows(quantile: float, rows: int) -> None:
    assert QuantileHead(False, quantile).objective["min_data_in_leaf"] == rows


def test_count_interval_grows_and_ends_at_zero() -> None:
    """The interval of a count grows with its rate, and ends at zero."""
    head = count_head(np.array([0.0, 2.0]))
    head.below.fill_(3.0)
    head.above.fill_(3.0)
    combined = torch.tensor([[-20.0], [0.0], [5.0], [10.0]])
    value, lower, upper = (tensor[:, 0] for tensor in head(combined))
    assert torch.allclose(value, combined[:, 0].exp())
    assert (lower[:2] == 0).all()
    assert value[2:] - lower[2:] == pytest.approx(3 * value[2:].sqrt(), rel=0.1)
    assert (upper - value).diff().min() > 0


@given(
    st.floats(0, 1e30),
    st.floats(0, 1e6),
    st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=5),
)
def test_the_ends_of_a_count_lie_around_its_value(largest: float, width: float, combined: list[float]) -> None:
    head = count_head(np.array([0.0, max(largest, 1.0)]))
    head.below.fill_(width)
    head.above.fill_(width)
    value, lower, upper = head(torch.tensor(combined)[:, None])
    assert ((lower >= 0) & (lower <= value) & (value <= upper) & (upper <= MAX_VALUE)).all()


def test_a_fresh_head_knows_the_target_alone() -> None:
    head = count_head(np.array([1.0, 3.0]))
    for name in head.model_buffers:
        getattr(head, name).fill_(2.0)
    fresh = head.fresh()
    assert fresh.mean == head.mean == 2
    assert {getattr(fresh, name).item() for name in head.model_buffers} == {0}
    assert head.share == 2
