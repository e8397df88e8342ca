"""Rows with their known answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.stream import Stream
from model_deployer.training.preprocessing.preprocessing import Inputs, Preprocessor, fit_preprocessor


@dataclass(frozen=True)
class Sample:
    """Rows to learn from or to be judged on.

    Attributes:
        inputs: What the model takes.
        target: Class codes, int64, or the regression target, float64; one a row.
        weights: How much each row counts; None where all count the same.
        beyond: Rows in files that may be learnt from too; only the network does.
    """

    inputs: Inputs
    target: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    beyond: Stream | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def rows(self) -> int:
        """How many rows there are, those in files too."""
        return len(self) + (self.beyond.rows if self.beyond else 0)

    @property
    def each_weight(self) -> NDArray[np.float64]:
        """A weight for every row."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def take(self, rows: NDArray[np.intp]) -> "Sample":
        """Only these rows in memory, in this order."""
        places = torch.from_numpy(rows)
        inputs = Inputs(self.inputs.numbers[places], self.inputs.codes[places])
        return Sample(inputs, self.target[rows], None if self.weights is None else self.weights[rows])


def fit_sample(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[Preprocessor, Sample]:
    """The preprocessing that rows of a table teach, and these rows; raises as :func:`fit_preprocessor`."""
    target = dataset.target
    preprocessor, inputs = fit_preprocessor(
        dataset.frame[rows], dataset.features, target.values[rows], target.classes, dataset.spec.seed
    )
    return preprocessor, _sample(dataset, rows, inputs)


def sample_of(dataset: Dataset, rows: NDArray[np.int64], preprocessor: Preprocessor) -> Sample:
    """Rows of a table that the preprocessing did not learn from."""
    return _sample(dataset, rows, preprocessor.transform(dataset.frame[rows]))


def _sample(dataset: Dataset, rows: NDArray[np.int64], inputs: Inputs) -> Sample:
    weights = None if dataset.weights is None else dataset.weights[rows]
    return Sample(inputs, dataset.target.values[rows], weights)
