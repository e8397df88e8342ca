"""An interval around a predicted value that holds the truth as often as promised."""

import torch

from model_deployer.training.models.heads import QuantityHead
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample


def fit_interval(model: Model, validation: Sample, coverage: float) -> None:
    """Give a quantity's head an interval that holds the truth of new rows with a probability of at least ``coverage``.

    The validation rows tell how far the truth lies from the answers; see :mod:`training.models.conformal`.
    """
    head = model.head
    if not isinstance(head, QuantityHead):
        raise TypeError("only a quantity has an interval")
    target, weights = torch.tensor(validation.target), torch.tensor(validation.row_weights)
    head.fit_interval(model.combined(validation.inputs), target, weights, coverage)
