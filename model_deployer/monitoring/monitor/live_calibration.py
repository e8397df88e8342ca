"""Whether the probabilities of two labels still mean what they say, and still rank: what recalibration can repair."""

import numpy as np
import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluation import MODEL
from model_deployer.contract.number_format import number
from model_deployer.contract.outputs import Classification
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.even_rows import even_rows
from model_deployer.monitoring.monitor.live_risk import LAST_DAYS, MIN_DAYS, MIN_ROWS
from model_deployer.monitoring.monitor.movements import log10_e
from model_deployer.monitoring.observation import Alarm, Interval, LiveCalibration
from model_deployer.monitoring.statistics.calibration_shift import LabelledRows, PromisedRanking, calibration_shift
from model_deployer.monitoring.statistics.estimate import Estimate

#: The smallest tolerances: of the AUC, and of the mean probability.
_AUC_TOLERANCE, _BIAS_TOLERANCE = 0.03, 0.01

#: The probability that an interval of the rows since a change is wrong.
_LEVEL = 0.05

_SEED = 0


def live_calibration(
    artifact: Artifact, rows: pl.DataFrame, days: Days, alpha: float
) -> tuple[LiveCalibration | None, Alarm | None]:
    """Return the calibration of two labels, and its alarm if there is one; None without enough labels.

    Args:
        artifact: The model.
        rows: The labelled rows of the days that count, with the column ``day``.
        days: The days.
        alpha: The largest probability of a false alarm.
    """
    output, promised = artifact.contract.output, _promised(artifact)
    if not isinstance(output, Classification) or promised is None or len(output.labels) != 2:
        return None, None
    column = output_column(f"probabilities.{output.labels[1]}")
    rows = rows.filter(pl.col(column).is_finite())
    if len(rows) < MIN_ROWS or rows["day"].n_unique() < MIN_DAYS:
        return None, None
    rows = even_rows(rows)
    numbers = np.unique(rows["day"].to_numpy())
    labelled = LabelledRows(
        rows[column].cast(pl.Float64).to_numpy(),
        (rows["label"] == output.labels[1]).to_numpy(),
        rows["day"].to_numpy(),
    )
    shift = calibration_shift(labelled, promised, alpha, _SEED)
    alarm, last = shift.alarm, float(shift.evidence.log_values[-1])
    since = days.date(int(numbers[alarm.since])) if alarm else None
    is_over = False
    if alarm:  # what it is like now: rows from before the change would blur it
        shift = calibration_shift(_since(labelled, int(numbers[alarm.since])), promised, _LEVEL, _SEED)
        is_over = _is_right(_since(labelled, int(numbers[-LAST_DAYS:][0])), promised)
    live = LiveCalibration(
        has_shifted=alarm is not None and not is_over,
        since=since,
        bias=_interval(shift.bias),
        slope=_interval(shift.slope) if np.isfinite(shift.slope.value) else None,
        auc=_interval(shift.auc) if np.isfinite(shift.auc.value) else None,
        promised_auc=promised.auc,
        ranking=shift.ranking,
        log10_e=log10_e(last),
    )
    if alarm is None or since is None:
        return live, None
    return live, Alarm(
        group="calibration",
        name=f"probability of {output.labels[1]}",
        raised=days.date(int(numbers[alarm.period])),
        since=since,
        is_over=is_over,
        text=calibration_text(live, output.labels[1]),
    )


def calibration_text(live: LiveCalibration, label: str) -> str:
    """Return how the probabilities are wrong, as a sentence."""
    bias, slope = live.bias.value, live.slope
    side = "higher" if bias > 0 else "lower"
    sentence = f"The share of '{label}' is {number(100 * abs(bias), 3)} percentage points {side} than its probability"
    return (
        f"{sentence}; the slope of its log odds is {number(slope.value, 3)}, 1 would be right."
        if slope
        else f"{sentence}."
    )


def _since(rows: LabelledRows, day: int) -> LabelledRows:
    is_after = rows.blocks >= day
    return LabelledRows(rows.probabilities[is_after], rows.labels[is_after], rows.blocks[is_after])


def _is_right(rows: LabelledRows, promised: PromisedRanking) -> bool:
    """Return whether probabilities agree with labels again."""
    last = calibration_shift(rows, promised, _LEVEL, _SEED)
    is_unbiased = abs(last.bias.value) <= promised.bias_tolerance
    return is_unbiased and not (last.slope.high < 1 or last.slope.low > 1)


def _promised(artifact: Artifact) -> PromisedRanking | None:
    """Return what the evaluation promises; None if it was not measured."""
    metrics = artifact.evaluation.metrics_of(MODEL)
    ranking, error = metrics.get("roc_auc"), metrics.get("calibration_error")
    if ranking is None or error is None:
        return None
    return PromisedRanking(
        auc=ranking.value,
        auc_tolerance=max(_AUC_TOLERANCE, ranking.value - ranking.low),
        bias_tolerance=max(_BIAS_TOLERANCE, error.high),
    )


def _interval(estimate: Estimate) -> Interval:
    low, high = (end if np.isfinite(end) else None for end in (estimate.low, estimate.high))
    return Interval(value=estimate.value, low=low, high=high)
