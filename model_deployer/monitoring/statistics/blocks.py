"""Blocks: rows that share much, as those of one day, or of one client on one day. Each block is one observation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.monitoring.statistics.evidence import Floats, Ints


@dataclass(frozen=True)
class Blocks:
    """A quantity by block, in order of time.

    Attributes:
        means: The weighted mean over the rows of each block, float64 [blocks].
        weights: The sum of the weights of these rows, float64 [blocks]; positive.
        rows: The number of rows with equal weights that say as much (Kish's effective sample size), float64 [blocks];
            None if the weights count rows.
    """

    means: Floats
    weights: Floats
    rows: Floats | None = None

    def __len__(self) -> int:
        return len(self.means)

    @property
    def mean(self) -> float:
        """The weighted mean over all rows; NaN without blocks."""
        return float(self.means @ self.weights / self.weights.sum()) if len(self) else float("nan")


def block_means(values: Floats, blocks: Ints, weights: Floats | None = None) -> Blocks:
    """Return the mean of each block.

    Args:
        values: The quantity of each row, float64 [rows].
        blocks: The block of each row, int64 [rows]; later blocks have larger numbers.
        weights: The weight of each row, float64 [rows]; 1 by default. Rows with a weight of 0 do not count.
    """
    weighted = np.ones(len(values)) if weights is None else weights
    values, blocks, weighted = values[weighted > 0], blocks[weighted > 0], weighted[weighted > 0]
    _, positions = np.unique(blocks, return_inverse=True)
    sums = np.asarray(np.bincount(positions, weighted), np.float64)
    means = np.bincount(positions, weighted * values) / np.maximum(sums, np.finfo(float).tiny)
    return Blocks(means, sums, np.asarray(sums**2 / np.bincount(positions, weighted**2)))


def resampled_rows(blocks: NDArray[Any], random: np.random.Generator) -> Ints:
    """Return indices of rows of a bootstrap sample of blocks, with all rows of each drawn block, int64 [rows].

    Args:
        blocks: The block of each row, [rows].
        random: The source of randomness.
    """
    _, positions = np.unique(blocks, return_inverse=True)
    order = np.argsort(positions, kind="stable")
    ends = np.bincount(positions).cumsum()
    starts = np.concatenate([[0], ends[:-1]])
    drawn = random.integers(0, len(ends), len(ends))
    return np.concatenate([order[starts[block] : ends[block]] for block in drawn])
