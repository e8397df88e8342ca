"""The edges between which the embedding of a number is linear."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rtdl_num_embeddings import compute_bins
from torch import Tensor

from model_deployer.training.runtime.silence import silence_libraries

#: Most intervals from quantiles, and most from a decision tree.
INTERVALS = 24

#: Rows that edges are computed from; more change them little.
ROWS = 50_000

#: Edges nearer to each other than this are one: a steeper slope is beyond what float32 can resolve.
NEAREST = 1e-3

#: Rows that it takes to have quantiles between the smallest and the largest value.
FEWEST_ROWS = 3

#: Rows on either side of a split of the tree.
LEAF_ROWS = 64


def fit_bins(numbers: Tensor, target: NDArray[Any], regression: bool, seed: int) -> tuple[tuple[float, ...], ...]:
    """The edges of every column, in ascending order and at least two.

    Quantiles alone collapse where most rows hold the same value, so the splits of a small decision tree on the target
    are added (sections 3.2.1 and 3.2.2 of Gorishniy et al., 2022, "On embeddings for numerical features in tabular deep
    learning").

    Args:
        numbers: The scaled training rows, float32 [rows, columns].
        target: One value a row.
        regression: Whether the target is a quantity, not a class.
        seed: Decides which rows are looked at when there are many.
    """
    order = np.random.default_rng(seed).permutation(len(numbers))[:ROWS]
    rows, outcome = numbers[torch.from_numpy(order)], torch.from_numpy(target[order])
    with silence_libraries():
        return tuple(_edges(rows[:, [column]], outcome, regression) for column in range(rows.shape[1]))


def _edges(column: Tensor, target: Tensor, regression: bool) -> tuple[float, ...]:
    low, high = column.min().item(), column.max().item()
    if high - low < NEAREST:
        return (low - 1, high + 1)
    if len(column) < FEWEST_ROWS:
        return (low, high)
    intervals = min(INTERVALS, len(column) - 1)
    tree = {"min_samples_leaf": min(LEAF_ROWS, max(1, len(column) // 4)), "random_state": 0}
    edges = torch.cat(
        [
            *compute_bins(column, intervals),
            *compute_bins(column, intervals, tree_kwargs=tree, y=target, regression=regression),
        ]
    )
    return _apart(torch.unique(edges).tolist(), high)


def _apart(edges: list[float], high: float) -> tuple[float, ...]:
    """The edges without those too near to their neighbour; the first and the last stay."""
    kept = edges[:1]
    for edge in edges[1:-1]:
        if edge - kept[-1] >= NEAREST and high - edge >= NEAREST:
            kept.append(edge)
    return (*kept, high)
