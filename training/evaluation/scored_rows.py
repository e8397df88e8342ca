"""A model under examination: its answers to rows whose truth is known, and what each of them costs."""

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
from model_deployer.contract.outputs import Arrays, Classification, Output
from model_deployer.training.evaluation.evaluation import CONFIDENCE
from model_deployer.training.evaluation.losses import Floats, row_losses, to_metric
from model_deployer.training.evaluation.metrics import nominal_vs_observed

#: From conformed rows to the graph's output tensors.
Predict = Callable[[pl.DataFrame], Arrays]

#: Standard errors on either side of a mean that make its interval.
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class ScoredRows:
    """A model, and the rows that it is judged on.

    Attributes:
        predict: The model; it is asked often, so a session of ONNX Runtime should outlive a call.
        frame: Conformed rows: float64 columns with NaN for missing, string columns with "" for missing.
        features: The columns of ``frame`` that the model takes.
        output: What the model's answers mean.
        target: Class codes, int64, or quantities, float64; one a row.
        weights: How much each row counts.
    """

    predict: Predict
    frame: pl.DataFrame
    features: tuple[Feature, ...]
    output: Output
    target: NDArray[Any]
    weights: Floats

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def answers(self) -> Arrays:
        """What the model answers to the rows."""
        return self.predict(self.frame)

    @cached_property
    def losses(self) -> Floats:
        """What each of the answers costs; see :func:`training.evaluation.losses.row_losses`."""
        return row_losses(self.target, self.answers, self.output)

    @cached_property
    def nominal_vs_observed(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The probability that is promised of each row, and whether it came true.

        Of a classification as :func:`training.evaluation.metrics.nominal_vs_observed` has it; of a quantity that the
        interval holds the truth, or that the truth is at or below a quantile.
        """
        if isinstance(self.output, Classification):
            return nominal_vs_observed(self.target, self.answers["probabilities"].astype(np.float64))
        value, lower, upper = (self.answers[name][:, 0].astype(np.float64) for name in self.output.tensors)
        if self.output.quantile is not None:
            return np.full(len(self), self.output.quantile), self.target <= value
        return np.full(len(self), self.output.coverage), (lower <= self.target) & (self.target <= upper)

    @property
    def loss(self) -> str:
        """The metric that the mean of the losses is stated as."""
        return LOSS[self.output.task]

    def to_metric(self, mean: float) -> float:
        """A mean of losses as that metric."""
        return to_metric(mean, self.output)

    def score(self, losses: Floats) -> float:
        """The losses of the rows as that metric."""
        return self.to_metric(float(np.average(losses, weights=self.weights)))

    def take(self, rows: NDArray[np.intp]) -> "ScoredRows":
        """The same model on some of the rows."""
        return replace(self, frame=self.frame[rows], target=self.target[rows], weights=self.weights[rows])

    def sample(self, rows: int, seed: int) -> "ScoredRows":
        """The same model on at most so many of the rows, drawn at random; the weightless ones are left out."""
        there = np.flatnonzero(self.weights)
        drawn = np.random.default_rng(seed).permutation(there)[:rows]
        return self.take(np.sort(drawn))
