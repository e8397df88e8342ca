"""Two evaluation.json side by side: which metrics really changed, and in which slices.

Each was measured on the test part of its own training, so that a difference has the noise of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
LOSS = {"classification": "log_loss", "regression": "rmse", "count": "poisson_deviance", "quantile": "pinball"}

#: Metrics that say nothing beside those of another quantile.
OF_A_QUANTILE = {"pinball", "share_below"}

Verdict = Literal["within the noise", "better", "worse", "higher", "lower"]

#: ``value``, and ``low`` and ``high``: its 95 % interval.
Figure = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric of two models.

    Attributes:
        old, new: ``value``, ``low`` and ``high``.
        verdict: ``within the noise`` where the intervals overlap; else ``better`` or ``worse``, or for a metric of
            which neither direction is good ``higher`` or ``lower``.
    """

    old: Figure
    new: Figure
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class SliceChange:
    """The loss in one slice, see ``LOSS``, of two models.

    Attributes:
        slice: Its name.
        old, new: The loss.
        old_rows, new_rows: The rows it was measured on.
    """

    slice: str
    old: float
    new: float
    old_rows: int
    new_rows: int


def metric_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, MetricChange]:
    """The metrics that two evaluations have in common, by name, in the order of the old one."""
    before, after = (evaluation["metrics"].get("model", {}) for evaluation in (old, new))
    return {
        name: MetricChange(figure, after[name], _verdict(name, figure, after[name]))
        for name, figure in before.items()
        if name in after
    }


def slice_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SliceChange]:
    """The slices that two evaluations have in common, those whose loss rose most first."""
    before, after = ({part["slice"]: part for part in each.get("slices", [])} for each in (old, new))
    changes = [
        SliceChange(name, part["loss"], after[name]["loss"], part["rows"], after[name]["rows"])
        for name, part in before.items()
        if name in after
    ]
    return sorted(changes, key=lambda change: change.old - change.new)


def _verdict(name: str, old: Figure, new: Figure) -> Verdict:
    if old["low"] <= new["high"] and new["low"] <= old["high"]:
        return "within the noise"
    higher = new["value"] > old["value"]
    if name in HIGHER_IS_BETTER:
        return "better" if higher else "worse"
    if name in LOWER_IS_BETTER:
        return "worse" if higher else "better"
    return "higher" if higher else "lower"
