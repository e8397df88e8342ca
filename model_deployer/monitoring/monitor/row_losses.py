"""The loss of each labelled row, and the value that the evaluation promises for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.outputs import Classification, Regression, VectorOutput
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.promise import PromisedLoss, promised_loss
from model_deployer.monitoring.statistics.evidence import Floats
from model_deployer.monitoring.statistics.losses import (
    clipped_absolute_errors,
    decision_costs,
    decision_errors,
    pinball_losses,
)

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
        training: The cost of a training in the same unit; None if it is not stated.
        expected: Returns the loss of each row that the model's own probabilities expect, float64 [rows]; None for a
            quantity.
    """

    name: str
    promised: float | None
    tolerance: float
    bound: float
    of_rows: Callable[[pl.DataFrame], Floats]
    training: float | None = None
    expected: Callable[[pl.DataFrame], Floats] | None = None


def row_loss(artifact: Artifact) -> RowLoss:
    """Return how the rows of a model are counted: as its evaluation promises."""
    output, promised = artifact.contract.output, promised_loss(artifact.evaluation, artifact.contract.output)
    if isinstance(output, Classification):
        return _decision_loss(artifact.evaluation, output, promised)
    if isinstance(output, VectorOutput):
        return RowLoss(promised.loss, promised.value, promised.tolerance, 1.0, lambda rows: np.zeros(len(rows)))
    return _value_loss(output, promised)


def _decision_loss(evaluation: Evaluation, output: Classification, promised: PromisedLoss) -> RowLoss:
    decisions = evaluation.decisions
    if promised.loss != "cost" or decisions is None:
        return RowLoss(
            promised.loss, promised.value, promised.tolerance, 1.0, _errors,
            expected=lambda rows: 1 - _probability_of_decision(rows, output),
        )  # fmt: skip
    false_positive, false_negative = decisions.false_positive or 1.0, decisions.false_negative or 1.0

    def costs(rows: pl.DataFrame) -> Floats:
        decided, true = _is_label(rows, output_column("decision"), output), _is_label(rows, "label", output)
        return decision_costs(decided, true, false_positive, false_negative)

    def expected(rows: pl.DataFrame) -> Floats:
        decided = _is_label(rows, output_column("decision"), output)
        return np.where(decided, false_positive, false_negative) * (1 - _probability_of_decision(rows, output))

    bound = max(false_positive, false_negative)
    return RowLoss("cost", promised.value, promised.tolerance, bound, costs, decisions.training, expected)


def _errors(rows: pl.DataFrame) -> Floats:
    return decision_errors((rows[output_column("decision")] == rows["label"]).to_numpy(), np.ones(len(rows), np.bool_))


def _probability_of_decision(rows: pl.DataFrame, output: Classification) -> Floats:
    """Return the probability that a decision is right, by the model itself, float64 [rows]."""
    columns = [output_column(f"probabilities.{label}") for label in output.labels]
    probabilities = rows.select(columns).cast(pl.Float64).to_numpy()
    codes = rows[output_column("decision")].replace_strict(
        {label: code for code, label in enumerate(output.labels)}, return_dtype=pl.Int64
    )
    return np.asarray(probabilities[np.arange(len(rows)), codes.to_numpy()])


def _is_label(rows: pl.DataFrame, column: str, output: Classification) -> NDArray[np.bool_]:
    return np.asarray(rows[column] == output.labels[1], np.bool_)


def _value_loss(output: Regression, promised: PromisedLoss) -> RowLoss:
    is_quantile = output.quantile is not None
    bound = CLIPPED_AT * promised.value if promised.value else 1.0
    quantile = output.quantile or 0.5

    def losses(rows: pl.DataFrame) -> Floats:
        values, labels = rows[output_column("value")].cast(pl.Float64).to_numpy(), _numbers(rows)
        if not is_quantile:
            return clipped_absolute_errors(values, labels, bound)
        return np.minimum(pinball_losses(values, labels, quantile), bound)

    return RowLoss(promised.loss, promised.value, promised.tolerance, bound, losses)


def _numbers(rows: pl.DataFrame) -> Floats:
    return np.asarray(rows["label"].cast(pl.Float64).to_numpy(), np.float64)
