import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.training.preprocessing.bins import MAX_INTERVALS, MIN_DISTANCE, fit_bins


def test_mostly_zero_column_gets_edges() -> None:
    """A column of mostly zeros still gets edges where the target changes."""
    random = np.random.default_rng(0)
    values = np.where(random.random(20_000) < 0.99, 0.0, random.random(20_000) * 2).astype(np.float32)
    target = (values > 0.5).astype(np.int64)
    (edges,) = fit_bins(torch.from_numpy(values)[:, None], target, False, 0)
    assert min(abs(edge - 0.5) for edge in edges) < 0.02


def test_a_constant_column_has_one_interval() -> None:
    (edges,) = fit_bins(torch.full((10, 1), 0.25), np.arange(10), False, 0)
    assert edges == (-0.75, 1.25)


def test_two_rows_are_enough() -> None:
    (edges,) = fit_bins(torch.tensor([[0.5], [-0.5]]), np.array([0.0, 1.0]), True, 0)
    assert edges == (-0.5, 0.5)


@settings(max_examples=30)
@given(st.lists(st.floats(-3, 3, width=32), min_size=8, max_size=60))
def test_edges_ascend_span_the_column_and_keep_their_distance(values: list[float]) -> None:
    column = torch.tensor(values)[:, None]
    (edges,) = fit_bins(column, np.arange(float(len(values))), True, 0)
    assert 2 <= len(edges) <= 2 * MAX_INTERVALS + 2
    assert (np.diff(edges) >= MIN_DISTANCE * 0.99).all()
    assert edges[0] <= column.min()
    assert edges[-1] >= column.max()


def test_the_seed_decides_which_rows_are_looked_at() -> None:
    random = np.random.default_rng(0)
    column = torch.from_numpy(random.normal(size=(60_000, 1)).astype(np.float32))
    target = random.integers(2, size=60_000)
    assert fit_bins(column, target, False, 0) == fit_bins(column, target, False, 0)
    assert fit_bins(column, target, False, 0) != fit_bins(column, target, False, 1)
