"""The performance of the last days without labels, from calibrated probabilities: only where calibration was shown."""

import numpy as np
import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluation import MODEL
from model_deployer.contract.number_format import number
from model_deployer.contract.outputs import Classification
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.monitor.even_rows import even_rows
from model_deployer.monitoring.monitor.live_risk import LAST_DAYS, MIN_ROWS
from model_deployer.monitoring.monitor.row_losses import RowLoss
from model_deployer.monitoring.observation import EstimatedRisk, Interval, LiveCalibration
from model_deployer.monitoring.promise import weighs_errors
from model_deployer.monitoring.statistics.estimate import Estimate
from model_deployer.monitoring.statistics.estimated_performance import (
    DecisionRule,
    EstimatedPerformance,
    estimated_performance,
    track_record,
)

#: The largest calibration error of an evaluation that shows calibration: the upper end of its interval.
MAX_CALIBRATION_ERROR = 0.05


def estimated_risk(
    artifact: Artifact, rows: pl.DataFrame, labelled: pl.DataFrame, loss: RowLoss, live: LiveCalibration | None
) -> EstimatedRisk | None:
    """Return the estimate for the last two weeks, with the record of earlier ones; None unless there are two labels.

    Args:
        artifact: The model.
        rows: The captured rows of the days, with the column ``day``.
        labelled: Those with a label whose days count.
        loss: How rows are counted.
        live: The live calibration by labels.
    """
    output = artifact.contract.output
    if not isinstance(output, Classification) or len(output.labels) != 2 or output.threshold is None:
        return None
    column = output_column(f"probabilities.{output.labels[1]}")
    recent = _with_answer(rows.filter(pl.col("day") > pl.col("day").max() - LAST_DAYS), column)
    rule, reason = _rule(artifact, output.threshold), _reason(artifact, recent, live)
    if reason or rule is None:
        return EstimatedRisk(loss=loss.name, estimate=None, reason=reason, rows=len(recent), periods=0, covered=0)
    estimate = _of(estimated_performance(*_arrays(recent, column), rule), loss)
    earlier = _with_answer(labelled, column)
    estimates, values = [], []
    for _, part in earlier.group_by(pl.col("day") // LAST_DAYS, maintain_order=True):
        if len(part) >= MIN_ROWS and part["day"].n_unique() >= LAST_DAYS:
            estimates.append(_of(estimated_performance(*_arrays(part, column), rule), loss))
            values.append(float(np.average(loss.of_rows(part), weights=part["weight"].to_numpy())))
    record = track_record(estimates, values)
    return EstimatedRisk(
        loss=loss.name,
        estimate=Interval(value=estimate.value, low=estimate.low, high=estimate.high),
        reason=None,
        rows=len(recent),
        periods=record.estimates,
        covered=record.covered,
    )


def _with_answer(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    return rows.filter(pl.col(column).is_finite())


def _arrays(rows: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and the days of rows that stand for one each, [rows]."""
    even = even_rows(rows)
    return even[column].cast(pl.Float64).to_numpy(), even["day"].to_numpy()


def _rule(artifact: Artifact, threshold: float) -> DecisionRule | None:
    error, decisions = artifact.evaluation.metrics_of(MODEL).get("calibration_error"), artifact.evaluation.decisions
    if error is None:
        return None
    if weighs_errors(artifact.evaluation) and decisions and decisions.false_positive and decisions.false_negative:
        return DecisionRule(threshold, error.high, decisions.false_positive, decisions.false_negative)
    return DecisionRule(threshold, error.high)


def _of(performance: EstimatedPerformance, loss: RowLoss) -> Estimate:
    return performance.cost if loss.name == "cost" else performance.error


def _reason(artifact: Artifact, recent: pl.DataFrame, live: LiveCalibration | None) -> str | None:
    """Return why there is no estimate; None if there is one."""
    error = artifact.evaluation.metrics_of(MODEL).get("calibration_error")
    if error is None:
        return "the evaluation has no calibration error"
    if error.high > MAX_CALIBRATION_ERROR:
        limit = number(MAX_CALIBRATION_ERROR)
        return f"the calibration error of the evaluation may be {number(error.high, 3)}, above {limit}"
    if live and live.has_shifted:
        return "labels show that the probabilities are wrong"
    if len(recent) < MIN_ROWS:
        return f"there are fewer than {MIN_ROWS} rows in the last days"
    return None
