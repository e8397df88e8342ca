"""The range of the numbers that a model accepts that was trained elsewhere."""

import math

from model_deployer.adoption.interface import SourceField
from model_deployer.contract.features import Feature, Integer, Numeric


def within_source_range(feature: Feature, field: SourceField) -> Feature:
    """Return a feature that refuses the numbers for which the source raises an error.

    A range of model.yaml within that of the source stays as it is, with its policy.

    Args:
        feature: The feature, with the range that model.yaml states.
        field: What the source says of it, such as the domain of a logarithm.
    """
    if not isinstance(feature, Numeric | Integer):
        return feature
    lows = [bound for bound in (feature.minimum, field.minimum) if bound is not None]
    highs = [bound for bound in (feature.maximum, field.maximum) if bound is not None]
    low, high = max(lows, default=None), min(highs, default=None)
    if isinstance(feature, Integer):
        low, high = low if low is None else math.ceil(low), high if high is None else math.floor(high)
    if (low, high) == (feature.minimum, feature.maximum):
        return feature
    return feature.model_copy(update={"minimum": low, "maximum": high, "out_of_range": "reject"})
