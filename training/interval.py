"""An interval around a predicted value that holds the truth as often as promised."""

import math

import torch

from training.heads import RegressionHead
from training.model import Model
from training.sample import Sample


def fit_interval(model: Model, validation: Sample, coverage: float) -> None:
    """Give a regression's head the half width that covers new rows with a probability of at least ``coverage``.

    Split conformal prediction (Lei et al., 2018, "Distribution-free predictive inference for regression"): the
    ``ceil((n + 1) * coverage)``-th smallest absolute residual of n rows that the weights were not learnt from. The
    promise holds for rows that could as well have come from the validation part; with too few rows to keep it (fewer
    than ``coverage / (1 - coverage)``), the largest residual is taken.
    """
    head = model.head
    if not isinstance(head, RegressionHead):
        raise TypeError("only a regression has an interval")
    truth = head.standardise(torch.tensor(validation.target))
    residuals = (truth - model.joint(validation.inputs)[:, 0]).abs().sort().values
    rank = math.ceil((len(residuals) + 1) * coverage)
    head.half_width.copy_(residuals[min(rank, len(residuals)) - 1])
