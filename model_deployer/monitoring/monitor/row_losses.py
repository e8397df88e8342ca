"""The loss of each labelled row, and the value that the evaluation promises for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluation import MODEL, Evaluation, MetricValue
from model_deployer.contract.outputs import Classification, Regression, VectorOutput
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.statistics.evidence import Floats
from model_deployer.monitoring.statistics.losses import clipped_absolute_errors, decision_costs, decision_errors

#: The live risk may exceed the promised one by the half width of its interval, and at least by this part of it.
MIN_TOLERANCE = 0.1

#: Errors of values are clipped at this multiple of the promised mean error: a few rows would otherwise decide alone.
CLIPPED_AT = 8.0


@dataclass(frozen=True)
class RowLoss:
    """How rows are counted, and what is promised.

    Attributes:
        name: The name of the loss: ``cost``, ``error``, ``absolute error`` or ``pinball``.
        promised: The value of the evaluation; None if it was not measured.
        tolerance: How much higher the live one may be.
        bound: The largest loss of a row.
        of_rows: Returns the loss of each labelled row, float64 [rows].
    """

    name: str
    promised: float | None
    tolerance: float
    bound: float
    of_rows: Callable[[pl.DataFrame], Floats]


def row_loss(artifact: Artifact) -> RowLoss:
    """Return how the rows of a model are counted.

    Two labels have the cost of their errors if model.yaml weighs them, other classifications the share of wrong
    decisions, quantities the absolute error, and quantiles the pinball loss. Labels are single values, so that several
    numbers have no live risk.
    """
    evaluation, output = artifact.evaluation, artifact.contract.output
    if isinstance(output, Classification):
        return _decision_loss(evaluation, output)
    if isinstance(output, VectorOutput):
        return RowLoss("error", None, 0.0, 1.0, lambda rows: np.zeros(len(rows)))
    return _value_loss(evaluation, output)


def weighs_errors(evaluation: Evaluation) -> bool:
    """Return whether model.yaml gives the two errors of a decision different costs, or a cost that is not 1."""
    decisions = evaluation.decisions
    return decisions is not None and (decisions.false_positive, decisions.false_negative) not in ((None, None), (1, 1))


def _decision_loss(evaluation: Evaluation, output: Classification) -> RowLoss:
    metrics, decisions = evaluation.metrics_of(MODEL), evaluation.decisions
    if weighs_errors(evaluation) and decisions and decisions.false_positive and decisions.false_negative:
        false_positive, false_negative = decisions.false_positive, decisions.false_negative

        def costs(rows: pl.DataFrame) -> Floats:
            decided, true = _is_label(rows, output_column("decision"), output), _is_label(rows, "label", output)
            return decision_costs(decided, true, false_positive, false_negative)

        metric = metrics.get("cost")
        return RowLoss("cost", *_promise(metric), max(false_positive, false_negative), costs)
    accuracy = metrics.get("accuracy")
    error = accuracy and MetricValue(value=1 - accuracy.value, low=1 - accuracy.high, high=1 - accuracy.low)
    return RowLoss("error", *_promise(error), 1.0, _errors)


def _errors(rows: pl.DataFrame) -> Floats:
    return decision_errors((rows[output_column("decision")] == rows["label"]).to_numpy(), np.ones(len(rows), np.bool_))


def _is_label(rows: pl.DataFrame, column: str, output: Classification) -> NDArray[np.bool_]:
    return np.asarray(rows[column] == output.labels[1], np.bool_)


def _value_loss(evaluation: Evaluation, output: Regression) -> RowLoss:
    is_quantile = output.quantile is not None
    metric = evaluation.metrics_of(MODEL).get("pinball" if is_quantile else "mae")
    promised, tolerance = _promise(metric)
    bound = CLIPPED_AT * promised if promised else 1.0
    quantile = output.quantile or 0.5

    def losses(rows: pl.DataFrame) -> Floats:
        values, labels = rows[output_column("value")].cast(pl.Float64).to_numpy(), _numbers(rows)
        if not is_quantile:
            return clipped_absolute_errors(values, labels, bound)
        gap = labels - values
        return np.asarray(np.minimum(np.maximum(quantile * gap, (quantile - 1) * gap), bound), np.float64)

    return RowLoss("pinball" if is_quantile else "absolute error", promised, tolerance, bound, losses)


def _numbers(rows: pl.DataFrame) -> Floats:
    return np.asarray(rows["label"].cast(pl.Float64).to_numpy(), np.float64)


def _promise(metric: MetricValue | None) -> tuple[float | None, float]:
    if metric is None:
        return None, 0.0
    return metric.value, max(metric.high - metric.value, MIN_TOLERANCE * metric.value)
