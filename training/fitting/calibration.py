"""Probabilities that mean what they say: of many rows with 0.3, three in ten turn out so."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, rel_entr

from model_deployer.training.models.heads import ClassificationHead
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample

Floats = NDArray[np.float64]

#: Most divergence between the frequencies of the classes in training and in validation, in nats.
DRIFT = 0.005


def calibrate(model: Model, train: Sample, validation: Sample, seed: int) -> bool:
    """Give a classifier's head the slope and intercept that suit the validation rows, if that is any better.

    Two classes get Platt scaling (Platt, 1999, "Probabilistic outputs for support vector machines"), more get a
    temperature (Guo et al., 2017, "On calibration of modern neural networks"). It is kept only where calibrations
    learnt on either half of the rows lower the log loss of the other half, and only where the classes are about as
    frequent as in training: a later month with fewer positives teaches how often they occur in that month, which is
    wrong in the next.

    Returns:
        Whether the calibration was kept.
    """
    head = model.head
    if not isinstance(head, ClassificationHead):
        raise TypeError("only a classifier is calibrated")
    scores = model.combined(validation.inputs).double().numpy()
    rows = _Rows(scores, validation.target, validation.row_weights)
    if _drift(train, validation, scores.shape[1]) > DRIFT or not _helps(rows, seed):
        return False
    parameters = _fit(rows)
    head.slope.fill_(float(parameters[0]))
    head.intercept.copy_(torch.from_numpy(_intercept(parameters, scores.shape[1])))
    return True


class _Rows:
    """Log probabilities [rows, classes], the true classes and the weights."""

    def __init__(self, scores: Floats, target: NDArray[np.int64], weights: Floats) -> None:
        self.scores, self.target, self.weights = scores, target, weights

    def part(self, rows: NDArray[np.intp]) -> "_Rows":
        return _Rows(self.scores[rows], self.target[rows], self.weights[rows])

    def loss(self, parameters: Floats) -> float:
        """The weighted log loss after a calibration: a slope and, for two classes, the intercept of the second."""
        calibrated = log_softmax(parameters[0] * self.scores + _intercept(parameters, self.scores.shape[1]), axis=1)
        return float(-np.average(calibrated[np.arange(len(self.target)), self.target], weights=self.weights))

    @property
    def identity(self) -> Floats:
        """The parameters that change nothing."""
        return np.array([1.0, 0.0] if self.scores.shape[1] == 2 else [1.0])


def _drift(train: Sample, validation: Sample, classes: int) -> float:
    """How far the classes' frequencies moved: the Kullback-Leibler divergence of validation from training."""
    before, after = (
        np.bincount(part.target, part.row_weights, minlength=classes) / part.row_weights.sum()
        for part in (train, validation)
    )
    return float(rel_entr(after, before).sum())


def _intercept(parameters: Floats, classes: int) -> Floats:
    return np.array([0.0, parameters[1]]) if len(parameters) == 2 else np.zeros(classes)


def _fit(rows: _Rows) -> Floats:
    """The parameters of least log loss; the slope stays positive, so that the order of rows stays."""
    bounds = [(0.05, 20.0), (None, None)][: len(rows.identity)]
    return np.asarray(minimize(rows.loss, rows.identity, method="L-BFGS-B", bounds=bounds).x, dtype=np.float64)


def _helps(rows: _Rows, seed: int) -> bool:
    order = np.random.default_rng(seed).permutation(len(rows.target))
    if len(order) < 2:
        return False
    halves = [rows.part(half) for half in np.array_split(order, 2)]
    after = sum(other.loss(_fit(half)) for half, other in (halves, halves[::-1]))
    return after < sum(half.loss(half.identity) for half in halves)
