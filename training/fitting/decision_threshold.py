"""From which probability on a case is treated as positive."""

from model_deployer.training.spec import Cost


def decision_threshold(cost: Cost) -> float:
    """The threshold of least expected cost for calibrated probabilities.

    ``false_positive / (false_positive + false_negative)``, where right decisions cost nothing (Elkan, 2001, "The
    foundations of cost-sensitive learning").
    """
    return cost.false_positive / (cost.false_positive + cost.false_negative)
