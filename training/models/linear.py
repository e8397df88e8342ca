"""A linear model on the scaled inputs of the network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_matrix, hstack
from torch import Tensor, nn

from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.preprocessing.scaling import Scaled, Scaling
from model_deployer.training.runtime.silence import silence_libraries


class LinearArchitecture(BaseModel):
    """The sizes of a linear model.

    Attributes:
        numbers: The number of scaled numbers.
        gaps: The number of input columns that indicate missing values.
        cardinalities: The number of codes of every code column, including unknown.
        outputs: The number of outputs: one per class, or 1 for regression.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: int
    gaps: int
    cardinalities: tuple[int, ...]
    outputs: int


class Linear(nn.Module):
    """A linear model with one weight per number, missing-value indicator and code.

    Its output is float32 [rows, 1, outputs], like that of a network with one member.
    """

    offsets: Tensor

    def __init__(self, architecture: LinearArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        outputs = architecture.outputs
        self.plain = nn.Linear(architecture.numbers + architecture.gaps, outputs)
        self.codes = nn.Embedding(max(1, sum(architecture.cardinalities)), outputs)
        starts = torch.tensor([0, *architecture.cardinalities]).cumsum(0)[:-1]
        self.register_buffer("offsets", starts, persistent=False)

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Tensor:
        """Return the outputs, float32 [rows, 1, outputs].

        Args:
            numbers: Scaled numbers, float32 [rows, numbers].
            gaps: Missing-value indicators, float32 [rows, gaps].
            codes: Codes, int64 [rows, code columns].
        """
        outputs: Tensor = self.plain(torch.cat([numbers, gaps], dim=1))
        if self.architecture.cardinalities:
            outputs = outputs + self.codes(codes + self.offsets).sum(1)
        return outputs[:, None]


@torch.no_grad()
def fit_linear(
    estimator: Any, scaling: Scaling, architecture: LinearArchitecture, train: Sample, target: NDArray[Any]
) -> Linear:
    """Fit a linear model of scikit-learn, and return it as a torch module.

    Args:
        estimator: The unfitted model; see ``linear`` of the heads.
        scaling: The scaling of the inputs.
        architecture: The sizes of the model.
        train: The training rows.
        target: The target of each row [rows]; see ``transform_target`` of the heads.
    """
    scaled = scaling(train.inputs.numbers, train.inputs.codes)
    with silence_libraries():
        estimator.fit(_design(scaled, architecture.cardinalities), target, sample_weight=train.weights)
    weights, bias = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    if len(weights) < architecture.outputs:  # for two classes, scikit-learn fits the log-odds of the second one
        weights, bias = np.vstack([0 * weights, weights]), np.append(0 * bias, bias)
    linear, plain = Linear(architecture), architecture.numbers + architecture.gaps
    linear.plain.weight.copy_(torch.from_numpy(weights[:, :plain]))
    linear.plain.bias.copy_(torch.from_numpy(bias))
    linear.codes.weight.zero_()[: weights.shape[1] - plain] = torch.from_numpy(weights[:, plain:].T).float()
    return linear.eval()


def _design(scaled: Scaled, cardinalities: Sequence[int]) -> Any:
    """Return numbers, missing-value indicators and one-hot codes as one sparse matrix, float64 [rows, columns]."""
    dense = csr_matrix(np.hstack([scaled.numbers.numpy(), scaled.gaps.numpy()]).astype(np.float64))
    codes = scaled.codes.numpy()
    rows, columns = codes.shape
    offsets = np.cumsum([0, *cardinalities])
    row_ends = np.arange(rows + 1) * columns
    one_hot = csr_matrix((np.ones(codes.size), (codes + offsets[:-1]).ravel(), row_ends), shape=(rows, offsets[-1]))
    return hstack([dense, one_hot], format="csr")
