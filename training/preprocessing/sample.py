"""Rows with their targets and weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.stream import Stream
from model_deployer.training.preprocessing.derived import derive, fit_derived
from model_deployer.training.preprocessing.preprocessing import Inputs, Preprocessor, fit_preprocessor


@dataclass(frozen=True)
class Sample:
    """Rows to fit on or to evaluate on.

    Attributes:
        inputs: The inputs of the model.
        target: The target of each row [rows]: class codes int64, or the regression target float64.
        weights: The weight of each row, float64 [rows]; None if all rows weigh the same.
        stream: More training rows, in files; only the network is fitted on them.
    """

    inputs: Inputs
    target: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    stream: Stream | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def rows(self) -> int:
        """The number of rows, including those in files."""
        return len(self) + (self.stream.rows if self.stream else 0)

    @property
    def row_weights(self) -> NDArray[np.float64]:
        """The weight of each row, float64 [rows]; 1 if all rows weigh the same."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def take(self, rows: NDArray[np.intp]) -> "Sample":
        """Return the rows in memory with these indices, in this order."""
        indices = torch.from_numpy(rows)
        inputs = Inputs(self.inputs.numbers[indices], self.inputs.codes[indices])
        return Sample(inputs, self.target[rows], None if self.weights is None else self.weights[rows])


def fit_sample(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[Preprocessor, Sample]:
    """Fit the preprocessing on rows of a table, and return it with the sample of these rows.

    Args:
        dataset: The table.
        rows: Indices of the rows, int64.

    Raises:
        DataError: as :func:`training.preprocessing.preprocessing.fit_preprocessor`.
    """
    target, frame = dataset.target, dataset.frame[rows]
    derived = fit_derived(dataset.spec.expressions, dataset.features, frame)
    features = [*dataset.features, *(feature.feature for feature in derived)]
    preprocessor, inputs = fit_preprocessor(
        derive(frame, derived), features, target.values[rows], target.classes, dataset.spec.seed
    )
    return preprocessor.model_copy(update={"derived": derived}), _sample(dataset, rows, inputs)


def sample_of(dataset: Dataset, rows: NDArray[np.int64], preprocessor: Preprocessor) -> Sample:
    """Return the sample of rows that the preprocessing was not fitted on.

    Args:
        dataset: The table.
        rows: Indices of the rows, int64.
        preprocessor: The fitted preprocessing.
    """
    return _sample(dataset, rows, preprocessor.transform(dataset.frame[rows]))


def sample_without_inputs(dataset: Dataset, rows: NDArray[np.int64]) -> Sample:
    """Return the targets and weights of rows of a table, for a model that gets its fields in another way.

    Args:
        dataset: The table.
        rows: Indices of the rows, int64.
    """
    return _sample(dataset, rows, Inputs(torch.empty(len(rows), 0), torch.empty(len(rows), 0)))


def _sample(dataset: Dataset, rows: NDArray[np.int64], inputs: Inputs) -> Sample:
    weights = None if dataset.weights is None else dataset.weights[rows]
    return Sample(inputs, dataset.target.values[rows], weights)
