"""Calibrate the probabilities of a classifier: of all rows with a probability of 0.3, 30 % are to be positive."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, rel_entr

from model_deployer.training.models.heads import ClassificationHead
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample

Floats = NDArray[np.float64]

#: The largest allowed divergence between the class frequencies of training and validation, in nats.
MAX_CLASS_DRIFT = 0.005


def calibrate(model: Model, train: Sample, validation: Sample, seed: int) -> bool:
    """Fit slope and intercept of a classifier's head on the validation rows, and keep them if they help.

    Two classes get Platt scaling (Platt, 1999, "Probabilistic outputs for support vector machines"), more classes get a
    temperature (Guo et al., 2017, "On calibration of modern neural networks"). Two conditions must hold. Calibrations
    that are fitted on either half of the rows must lower the log loss of the other half. And the classes must be about
    as frequent as in training: a later month with fewer positives would calibrate to the frequency of that month, which
    is wrong in the next month.

    Args:
        model: The model, whose head is changed in place.
        train: The training rows.
        validation: The validation rows, which the model was not fitted on.
        seed: Determines the two halves.

    Returns:
        Whether the calibration was kept.
    """
    head = model.head
    if not isinstance(head, ClassificationHead):
        raise TypeError("only a classifier is calibrated")
    scores = model.combined(validation.inputs).double().numpy()
    rows = _Rows(scores, validation.target, validation.row_weights)
    if _class_drift(train, validation, scores.shape[1]) > MAX_CLASS_DRIFT or not _lowers_loss(rows, seed):
        return False
    parameters = _fit(rows)
    head.slope.fill_(float(parameters[0]))
    head.intercept.copy_(torch.from_numpy(_intercept(parameters, scores.shape[1])))
    return True


def new_calibration(
    scores: Floats, target: NDArray[np.int64], weights: Floats, seed: int
) -> tuple[float, float] | None:
    """Return the slope and the intercept of a calibration as :func:`calibrate` fits it; None if it does not help.

    Args:
        scores: The logarithms of the probabilities, float64 [rows, classes].
        target: The codes of the true classes, int64 [rows].
        weights: The weight of each row, float64 [rows].
        seed: Determines the two halves.
    """
    rows = _Rows(scores, target, weights)
    if not _lowers_loss(rows, seed):
        return None
    parameters = _fit(rows)
    return float(parameters[0]), float(_intercept(parameters, scores.shape[1])[-1])


class _Rows:
    """Log probabilities [rows, classes], the true classes [rows] and the weights [rows]."""

    def __init__(self, scores: Floats, target: NDArray[np.int64], weights: Floats) -> None:
        self.scores, self.target, self.weights = scores, target, weights

    def part(self, rows: NDArray[np.intp]) -> "_Rows":
        return _Rows(self.scores[rows], self.target[rows], self.weights[rows])

    def loss(self, parameters: Floats) -> float:
        """Return the weighted log loss after a calibration by a slope and, for two classes, an intercept."""
        calibrated = log_softmax(parameters[0] * self.scores + _intercept(parameters, self.scores.shape[1]), axis=1)
        return float(-np.average(calibrated[np.arange(len(self.target)), self.target], weights=self.weights))

    @property
    def identity(self) -> Floats:
        """The parameters of a calibration that changes nothing."""
        return np.array([1.0, 0.0] if self.scores.shape[1] == 2 else [1.0])


def _class_drift(train: Sample, validation: Sample, classes: int) -> float:
    """Return the Kullback-Leibler divergence of the class frequencies of validation from those of training."""
    train_shares, validation_shares = (
        np.bincount(part.target, part.row_weights, minlength=classes) / part.row_weights.sum()
        for part in (train, validation)
    )
    return float(rel_entr(validation_shares, train_shares).sum())


def _intercept(parameters: Floats, classes: int) -> Floats:
    return np.array([0.0, parameters[1]]) if len(parameters) == 2 else np.zeros(classes)


def _fit(rows: _Rows) -> Floats:
    """Return the parameters with the lowest log loss; a positive slope preserves the order of the rows."""
    bounds = [(0.05, 20.0), (None, None)][: len(rows.identity)]
    return np.asarray(minimize(rows.loss, rows.identity, method="L-BFGS-B", bounds=bounds).x, dtype=np.float64)


def _lowers_loss(rows: _Rows, seed: int) -> bool:
    order = np.random.default_rng(seed).permutation(len(rows.target))
    if len(order) < 2:
        return False
    halves = [rows.part(half) for half in np.array_split(order, 2)]
    calibrated_loss = sum(other.loss(_fit(half)) for half, other in (halves, halves[::-1]))
    return calibrated_loss < sum(half.loss(half.identity) for half in halves)
