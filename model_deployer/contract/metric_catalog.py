"""The metrics of evaluation.json: what each one says, which direction is better, and which one is a task's loss."""

from collections.abc import Mapping
from typing import Literal

#: What is asked of a model.
Task = Literal["classification", "regression", "count", "quantile"]

#: Metrics by which of two models is better. Of the others, such as coverage, neither more nor less is better as such.
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

#: What each metric says.
MEANING: Mapping[str, str] = {
    "log_loss": "how much probability the truth was denied, in nats",
    "roc_auc": "how often a row of the class outranks one of another",
    "average_precision": "precision, averaged over all recalls",
    "brier": "squared error of the probabilities",
    "calibration_error": "mean gap between a probability and how often it comes true",
    "accuracy": "share of decisions that are right",
    "precision": "share of the decisions for a class that are right",
    "recall": "share of a class that is decided for",
    "f1": "harmonic mean of precision and recall",
    "cost": "what decisions cost, on average a row",
    "poisson_deviance": "what the counts lack in likelihood, twice, in nats",
    "pinball": "mean error, those above and below weighed as the quantile asks",
    "share_below": "share of truths at or below the value",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "median_absolute_error": "half of the errors are smaller",
    "r2": "share of the target's variance that is explained",
    "coverage": "share of truths inside the interval, or among the labels of the set",
    "interval_width": "mean width of the interval",
    "set_size": "mean number of labels in the set",
}

#: By task, the metric that no answer but the truth makes lowest; slices and features are judged by it.
LOSS: Mapping[Task, str] = {
    "classification": "log_loss",
    "regression": "rmse",
    "count": "poisson_deviance",
    "quantile": "pinball",
}

#: Metrics that cannot be compared with those of another quantile.
OF_A_QUANTILE = {"pinball", "share_below"}
