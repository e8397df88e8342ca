"""A linear model on the network's own inputs: what everything else has to be better than to be worth its cost."""

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
    """Everything that fixes the shape of a linear model.

    Attributes:
        numbers: Scaled numbers that come in.
        gaps: Columns of missing-value indicators.
        cardinalities: For every code column the number of codes, unknown included.
        outputs: Numbers that are answered: one a class, or one for regression.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: int
    gaps: int
    cardinalities: tuple[int, ...]
    outputs: int


class Linear(nn.Module):
    """A weight a number, a gap and a code; float32 [rows, 1, outputs], as a network of one member answers."""

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
        """The answers; the arguments are the fields of :class:`~training.scaling.Scaled`."""
        answers: Tensor = self.plain(torch.cat([numbers, gaps], dim=1))
        if self.architecture.cardinalities:
            answers = answers + self.codes(codes + self.offsets).sum(1)
        return answers[:, None]


@torch.no_grad()
def fit_linear(
    estimator: Any, scaling: Scaling, architecture: LinearArchitecture, train: Sample, target: NDArray[Any]
) -> Linear:
    """Fit as scikit-learn does.

    Args:
        estimator: A linear model of scikit-learn; see ``linear`` of the heads.
        scaling: Makes numbers, gaps and codes of the inputs.
        architecture: Of the model.
        train: The training rows.
        target: As it is learnt; see ``learnt`` of the heads.
    """
    scaled = scaling(train.inputs.numbers, train.inputs.codes)
    with silence_libraries():
        estimator.fit(_design(scaled, architecture.cardinalities), target, sample_weight=train.weights)
    weights, bias = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    if len(weights) < architecture.outputs:  # of two classes, the second's log-odds
        weights, bias = np.vstack([0 * weights, weights]), np.append(0 * bias, bias)
    linear, plain = Linear(architecture), architecture.numbers + architecture.gaps
    linear.plain.weight.copy_(torch.from_numpy(weights[:, :plain]))
    linear.plain.bias.copy_(torch.from_numpy(bias))
    linear.codes.weight.zero_()[: weights.shape[1] - plain] = torch.from_numpy(weights[:, plain:].T).float()
    return linear.eval()


def _design(scaled: Scaled, cardinalities: Sequence[int]) -> Any:
    """Numbers, gaps and one-hot codes as one sparse matrix."""
    dense = csr_matrix(np.hstack([scaled.numbers.numpy(), scaled.gaps.numpy()]).astype(np.float64))
    codes = scaled.codes.numpy()
    rows, columns = codes.shape
    starts = np.cumsum([0, *cardinalities])
    ends = np.arange(rows + 1) * columns
    hot = csr_matrix((np.ones(codes.size), (codes + starts[:-1]).ravel(), ends), shape=(rows, starts[-1]))
    return hstack([dense, hot], format="csr")
