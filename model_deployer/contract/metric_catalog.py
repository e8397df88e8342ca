"""The metrics of evaluation.json: the meaning of each, which direction is better, and which one is a task's loss."""

from collections.abc import Mapping
from typing import Literal

#: The kind of prediction that a model makes.
Task = Literal["classification", "regression", "count", "quantile", "multioutput_regression", "embedding"]

#: Metrics that rank models. For the others, such as coverage, neither a higher nor a lower value is better in itself.
HIGHER_IS_BETTER = {"roc_auc", "average_precision", "accuracy", "precision", "recall", "f1", "r2"}
LOWER_IS_BETTER = {
    "log_loss",
    "brier",
    "calibration_error",
    "cost",
    "rmse",
    "poisson_deviance",
    "pinball",
    "mae",
    "median_absolute_error",
    "interval_width",
    "set_size",
}

#: The meaning of each metric, as a phrase.
MEANING: Mapping[str, str] = {
    "log_loss": "mean negative logarithm of the probability of the true label, in nats",
    "roc_auc": "how often a row of the class gets a higher probability than a row of another class",
    "average_precision": "precision, averaged over all values of recall",
    "brier": "mean squared error of the probabilities",
    "calibration_error": "mean gap between a predicted probability and the observed frequency, corrected for chance",
    "accuracy": "share of decisions that are right",
    "precision": "share of the decisions for a class that are right",
    "recall": "share of the rows of a class that get the right decision",
    "f1": "harmonic mean of precision and recall",
    "cost": "mean cost of the decision, per row",
    "poisson_deviance": "twice the mean gap in log-likelihood to a perfect prediction, in nats",
    "pinball": "mean error, with errors above and below weighted by the quantile",
    "share_below": "share of truths at or below the value",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "median_absolute_error": "median of the absolute errors",
    "r2": "share of the target's variance that the model explains",
    "coverage": "share of truths inside the interval, or among the labels of the set",
    "interval_width": "mean width of the interval",
    "set_size": "mean number of labels in the set",
}

#: The loss of each task, for comparing slices, features and baselines. The expected loss of the true answer is lower
#: than that of any other answer. Several targets have one loss each, and no common one; an embedding has no truth.
LOSS: Mapping[Task, str] = {
    "classification": "log_loss",
    "regression": "rmse",
    "count": "poisson_deviance",
    "quantile": "pinball",
    "multioutput_regression": "rmse",
    "embedding": "rmse",
}

#: Metrics that models of different quantiles do not have in common.
OF_A_QUANTILE = {"pinball", "share_below"}


def metric_of_target(metric: str, target: str) -> str:
    """Return the name of a metric of one of several targets: ``rmse[weight]``."""
    return f"{metric}[{target}]"


def base_metric(name: str) -> str:
    """Return the name of a metric without its target: ``rmse`` for ``rmse[weight]``."""
    return name.partition("[")[0]


def metric_in_words(name: str) -> str:
    """Return the name of a metric as words: ``log loss``, and ``rmse of weight_kg`` for ``rmse[weight_kg]``."""
    metric, _, target = name.removesuffix("]").partition("[")
    words = metric.replace("_", " ")
    return f"{words} of {target}" if target else words
