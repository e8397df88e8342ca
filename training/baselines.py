"""Two simple models on the same rows: what the network has to be better than to be worth its cost."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression, Ridge

from contract.outputs import Arrays
from training.heads import RegressionHead
from training.model import Model
from training.preprocessing import Inputs
from training.quiet import quiet
from training.sample import Sample


class Baseline(Protocol):
    """A model to compare with."""

    def predict(self, inputs: Inputs) -> Arrays:
        """``probabilities`` [rows, classes], or ``value`` [rows, 1]."""


def fit_baselines(model: Model, train: Sample) -> dict[str, Baseline]:
    """Fit ``trivial``, which always answers the same, and ``linear``, on the inputs that the network gets.

    Args:
        model: Whose scaling, and whose transformation of the target, they share.
        train: The training rows.
    """
    return {"trivial": _fit_trivial(model, train), "linear": _fit_linear(model, train)}


@dataclass(frozen=True)
class _Trivial:
    name: str
    answer: NDArray[np.float64]

    def predict(self, inputs: Inputs) -> Arrays:
        return {self.name: np.tile(self.answer, (len(inputs), 1))}


def _fit_trivial(model: Model, train: Sample) -> _Trivial:
    """The frequencies of the classes, or the mean of the target."""
    if isinstance(model.head, RegressionHead):
        return _Trivial("value", np.array([np.average(train.target, weights=train.weights)]))
    counts = np.bincount(train.target, train.weights, minlength=model.blueprint.network.outputs)
    return _Trivial("probabilities", counts / counts.sum())


@dataclass(frozen=True)
class _Linear:
    design: "_Design"
    estimator: Any
    head: RegressionHead | None

    def predict(self, inputs: Inputs) -> Arrays:
        matrix = self.design.matrix(inputs)
        if self.head is None:
            return {"probabilities": self.estimator.predict_proba(matrix)}
        answers = torch.from_numpy(self.estimator.predict(matrix)).float()[:, None, None]
        return {"value": self.head(answers)[0].numpy()}


class _Design:
    """Scaled numbers, gaps and one-hot codes as one sparse matrix."""

    def __init__(self, model: Model) -> None:
        self._scaling = model.scaling
        self._cardinalities = model.blueprint.network.cardinalities

    def matrix(self, inputs: Inputs) -> Any:
        scaled = self._scaling(inputs.numbers, inputs.codes)
        dense = csr_matrix(np.hstack([scaled.numbers.numpy(), scaled.gaps.numpy()]).astype(np.float64))
        return hstack([dense, self._one_hot(scaled.codes.numpy())], format="csr")

    def _one_hot(self, codes: NDArray[np.int64]) -> Any:
        rows, columns = codes.shape
        starts = np.cumsum([0, *self._cardinalities])
        ends = np.arange(rows + 1) * columns
        return csr_matrix((np.ones(codes.size), (codes + starts[:-1]).ravel(), ends), shape=(rows, starts[-1]))


def _fit_linear(model: Model, train: Sample) -> _Linear:
    design = _Design(model)
    head = model.head if isinstance(model.head, RegressionHead) else None
    if head is None:
        estimator: Any = LogisticRegression(max_iter=200, tol=1e-3)
        target = train.target
    else:
        estimator = Ridge()
        target = head.standardise(torch.tensor(train.target)).numpy()
    with quiet():
        estimator.fit(design.matrix(train.inputs), target, sample_weight=train.weights)
    return _Linear(design, estimator, head)
