"""Choose which rows of a request are captured."""

import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.outputs import Classification, Output
from model_deployer.serving.engines.batching import Arrays


class Sample(NamedTuple):
    """The rows of a request that are captured.

    Attributes:
        indices: Their indices in the request, intp [sampled].
        weights: The number of rows that each stands for, 1 / the probability of being sampled, float64 [sampled].
    """

    indices: NDArray[np.intp]
    weights: NDArray[np.float64]


class RowSampler:
    """Samples rows at random, and always takes those near the decision threshold.

    The sampling is Poisson sampling: each row is taken independently, so that sums over the sample with the weights
    are unbiased (Horvitz and Thompson, 1952, "A generalization of sampling without replacement").

    Args:
        share: The probability with which a row is sampled, above 0 and at most 1.
        margin: Rows whose probability is at most this far from the threshold are always taken; with more than two
            labels those whose two largest probabilities are at most this far apart. 0 for none.
        output: The output of the model. A regression has no threshold.
    """

    def __init__(self, share: float, margin: float, output: Output) -> None:
        self._share = share
        self._is_near = _near_threshold(output, margin) if margin > 0 else None
        self._random = random.Random().random
        self._lone_row = Sample(np.array([0]), np.array([1 / share]))
        self._generator = np.random.default_rng()

    def sample(self, rows: int, outputs: Arrays) -> Sample | None:
        """Return the sample of a request; None if no row is in it.

        Args:
            rows: The number of its rows, at least 1.
            outputs: The graph's output tensors, [rows, n] each.
        """
        if rows == 1 and self._is_near is None:  # the common case, without numpy
            return self._lone_row if self._random() < self._share else None
        is_taken = self._generator.random(rows) < self._share
        weights = np.full(rows, 1 / self._share)
        if self._is_near is not None:
            is_near = self._is_near(outputs)
            weights[is_near] = 1.0
            is_taken |= is_near
        indices = np.flatnonzero(is_taken)
        return Sample(indices, weights[indices]) if indices.size else None


def everything(rows: int) -> Sample:
    """Return a sample with every row."""
    return Sample(np.arange(rows), np.ones(rows))


def _near_threshold(output: Output, margin: float) -> Callable[[Arrays], NDArray[np.bool_]] | None:
    if not isinstance(output, Classification):
        return None
    if output.threshold is not None:
        threshold = output.threshold
        return lambda outputs: np.abs(outputs["probabilities"][:, 1] - threshold) <= margin

    def is_near(outputs: Arrays) -> NDArray[np.bool_]:
        largest = np.partition(outputs["probabilities"], -2, axis=1)[:, -2:]
        return np.asarray(largest[:, 1] - largest[:, 0] <= margin)

    return is_near
