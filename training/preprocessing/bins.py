"""Compute the bin edges of the piecewise-linear embeddings: between two edges, an embedding is linear."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rtdl_num_embeddings import compute_bins
from torch import Tensor

from model_deployer.training.runtime.silence import silence_libraries

#: The maximum number of intervals from quantiles, and of intervals from a decision tree.
MAX_INTERVALS = 24

#: The maximum number of rows that edges are computed from; more rows hardly change them.
MAX_ROWS = 50_000

#: Edges that are closer than this are merged: float32 cannot resolve a steeper slope.
MIN_DISTANCE = 1e-3

#: The minimum number of rows for quantiles between the smallest and the largest value.
MIN_ROWS = 3

#: The minimum number of rows in a leaf of the decision tree.
MIN_LEAF_ROWS = 64


def fit_bins(numbers: Tensor, target: NDArray[Any], regression: bool, seed: int) -> tuple[tuple[float, ...], ...]:
    """Return the edges of every column: at least two per column, in ascending order.

    Quantiles alone collapse if most rows hold the same value, so the splits of a small decision tree on the target are
    added (sections 3.2.1 and 3.2.2 of Gorishniy et al., 2022, "On embeddings for numerical features in tabular deep
    learning").

    Args:
        numbers: The scaled training rows, float32 [rows, columns].
        target: The target of each row [rows].
        regression: Whether the target is a quantity, not a class.
        seed: Selects the rows if there are more than ``MAX_ROWS``.
    """
    selection = np.random.default_rng(seed).permutation(len(numbers))[:MAX_ROWS]
    rows, truth = numbers[torch.from_numpy(selection)], torch.from_numpy(target[selection])
    with silence_libraries():
        return tuple(_edges(rows[:, [column]], truth, regression) for column in range(rows.shape[1]))


def _edges(column: Tensor, target: Tensor, regression: bool) -> tuple[float, ...]:
    low, high = column.min().item(), column.max().item()
    if high - low < MIN_DISTANCE:
        return (low - 1, high + 1)
    if len(column) < MIN_ROWS:
        return (low, high)
    intervals = min(MAX_INTERVALS, len(column) - 1)
    tree = {"min_samples_leaf": min(MIN_LEAF_ROWS, max(1, len(column) // 4)), "random_state": 0}
    edges = torch.cat(
        [
            *compute_bins(column, intervals),
            *compute_bins(column, intervals, tree_kwargs=tree, y=target, regression=regression),
        ]
    )
    return _spaced(torch.unique(edges).tolist(), high)


def _spaced(edges: list[float], high: float) -> tuple[float, ...]:
    """Remove edges that are too close to the previous one; the first and the last edge stay."""
    spaced = edges[:1]
    for edge in edges[1:-1]:
        if edge - spaced[-1] >= MIN_DISTANCE and high - edge >= MIN_DISTANCE:
            spaced.append(edge)
    return (*spaced, high)
