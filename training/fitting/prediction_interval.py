"""Fit the prediction interval of a quantity to its nominal coverage."""

import torch

from model_deployer.training.models.heads import QuantityHead
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample


def fit_interval(model: Model, validation: Sample, coverage: float) -> None:
    """Fit an interval that contains the target of a new row with a probability of at least ``coverage``.

    The width follows from the residuals of the validation rows; see :mod:`training.models.conformal`.

    Args:
        model: The model, whose head is changed in place.
        validation: The validation rows, which the model was not fitted on.
        coverage: The probability, from 0 to 1.
    """
    head = model.head
    if not isinstance(head, QuantityHead):
        raise TypeError("only a quantity has an interval")
    target, weights = torch.tensor(validation.target), torch.tensor(validation.row_weights)
    head.fit_interval(model.combined(validation.inputs), target, weights, coverage)
