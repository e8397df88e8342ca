"""The probability threshold of a two-label decision: cases that reach it are treated as positive."""

from model_deployer.training.spec import Cost


def decision_threshold(cost: Cost) -> float:
    """Return the threshold with the lowest expected cost for calibrated probabilities.

    It is ``false_positive / (false_positive + false_negative)`` if right decisions cost nothing (Elkan, 2001, "The
    foundations of cost-sensitive learning").
    """
    return cost.false_positive / (cost.false_positive + cost.false_negative)
