"""The loss that the evaluation of a model promises for its rows, and how much higher the live one may be."""

from dataclasses import dataclass
from typing import Literal

from model_deployer.contract.evaluation import MODEL, Evaluation, MetricValue
from model_deployer.contract.outputs import Classification, Output, Regression

#: The live risk may exceed the promised one by the half width of its interval, and at least by this part of it.
MIN_TOLERANCE = 0.1

LossName = Literal["cost", "error", "absolute error", "pinball"]


@dataclass(frozen=True)
class PromisedLoss:
    """The promise of an evaluation.

    Attributes:
        loss: What is counted of a row.
        value: The mean of the evaluation; None if it was not measured.
        tolerance: How much higher the live one may be.
    """

    loss: LossName
    value: float | None
    tolerance: float


def promised_loss(evaluation: Evaluation, output: Output) -> PromisedLoss:
    """Return the promise of a model.

    Two labels have the cost of their errors if model.yaml weighs them, other classifications the share of wrong
    decisions, quantities the absolute error, and quantiles the pinball loss. Labels are single values, so that several
    numbers have no live risk.
    """
    metrics = evaluation.metrics_of(MODEL)
    if isinstance(output, Regression):
        if output.quantile is None:
            return _promise("absolute error", metrics.get("mae"))
        return _promise("pinball", metrics.get("pinball"))
    if not isinstance(output, Classification):
        return _promise("error", None)
    if weighs_errors(evaluation):
        return _promise("cost", metrics.get("cost"))
    accuracy = metrics.get("accuracy")
    error = accuracy and MetricValue(value=1 - accuracy.value, low=1 - accuracy.high, high=1 - accuracy.low)
    return _promise("error", error)


def weighs_errors(evaluation: Evaluation) -> bool:
    """Return whether model.yaml gives the two errors of a decision other costs than 1, or states that of a training."""
    decisions = evaluation.decisions
    if decisions is None or not decisions.false_positive or not decisions.false_negative:
        return False
    return (decisions.false_positive, decisions.false_negative) != (1, 1) or decisions.training is not None


def _promise(loss: LossName, metric: MetricValue | None) -> PromisedLoss:
    if metric is None:
        return PromisedLoss(loss, None, 0.0)
    return PromisedLoss(loss, metric.value, max(metric.high - metric.value, MIN_TOLERANCE * metric.value))
