"""A model with rows whose truth is known: its predictions for these rows, and the loss of each row."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.features import Feature
from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.outputs import Arrays, Classification, SingleTarget
from model_deployer.training.evaluation.evaluation import CONFIDENCE
from model_deployer.training.evaluation.losses import Floats, row_losses, to_metric
from model_deployer.training.evaluation.metrics import nominal_vs_observed

#: Return the graph's output tensors, float32 [rows, ...], for conformed rows.
Predict = Callable[[pl.DataFrame], Arrays]

#: Half the width of a confidence interval of a mean, in standard errors.
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class ScoredRows:
    """A model and the rows that it is evaluated on.

    Attributes:
        predict: The model. It is called many times, so an ONNX Runtime session should be reused between calls.
        frame: Conformed rows: float64 columns with NaN for missing values, string columns with "" for missing values.
        features: The columns of ``frame`` that are inputs of the model.
        output: The meaning of the predictions.
        target: Class codes, int64 [rows], or quantities in the unit of the target, float64 [rows].
        weights: The weight of each row, float64 [rows].
    """

    predict: Predict
    frame: pl.DataFrame
    features: tuple[Feature, ...]
    output: SingleTarget
    target: NDArray[Any]
    weights: Floats

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def answers(self) -> Arrays:
        """The graph's output tensors for the rows, float32 [rows, ...]."""
        return self.predict(self.frame)

    @cached_property
    def losses(self) -> Floats:
        """The loss of each row, float64 [rows]; see :func:`training.evaluation.losses.row_losses`."""
        return row_losses(self.target, self.answers, self.output)

    @cached_property
    def nominal_vs_observed(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The nominal probability of an event per row, float64 [rows], and whether the event occurred, bool [rows].

        For a classification the event is that the predicted class is true, see
        :func:`training.evaluation.metrics.nominal_vs_observed`. For a quantity, it is that the truth is inside the
        interval, or at or below the quantile.
        """
        if isinstance(self.output, Classification):
            return nominal_vs_observed(self.target, self.answers["probabilities"].astype(np.float64))
        value, lower, upper = (self.answers[name][:, 0].astype(np.float64) for name in self.output.tensors)
        if self.output.quantile is not None:
            return np.full(len(self), self.output.quantile), self.target <= value
        return np.full(len(self), self.output.coverage), (lower <= self.target) & (self.target <= upper)

    @property
    def loss(self) -> str:
        """The name of the task's loss metric."""
        return LOSS[self.output.task]

    def to_metric(self, mean: float) -> float:
        """Convert a mean of row losses to the task's loss metric."""
        return to_metric(mean, self.output)

    def score(self, losses: Floats) -> float:
        """Return the task's loss metric for row losses, float64 [rows], with the weights of the rows."""
        return self.to_metric(float(np.average(losses, weights=self.weights)))

    def take(self, rows: NDArray[np.intp]) -> "ScoredRows":
        """Return the same model with the rows at some positions, intp [n]."""
        return replace(self, frame=self.frame[rows], target=self.target[rows], weights=self.weights[rows])

    def sample(self, rows: int, seed: int) -> "ScoredRows":
        """Return the same model with at most ``rows`` random rows, without rows of weight 0, in their order."""
        weighted = np.flatnonzero(self.weights)
        chosen = np.random.default_rng(seed).permutation(weighted)[:rows]
        return self.take(np.sort(chosen))
