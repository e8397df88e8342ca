"""The live performance by labels, against the promise of the evaluation: the evidence that pages a person."""

import numpy as np
import polars as pl

from model_deployer.contract.number_format import number
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.movements import log10_e
from model_deployer.monitoring.monitor.row_losses import RowLoss
from model_deployer.monitoring.observation import Alarm, Interval, LiveRisk
from model_deployer.monitoring.statistics.blocks import Blocks, block_means
from model_deployer.monitoring.statistics.normal_means import mean_interval
from model_deployer.monitoring.statistics.risk import Promise, Risk, risk

#: Fewer labelled days or rows say nothing yet.
MIN_DAYS, MIN_ROWS = 5, 100

#: The labelled days that show how the risk is now.
LAST_DAYS = 14

#: The probability that the interval of the mean is ever wrong.
_LEVEL = 0.05


def live_risk(loss: RowLoss, rows: pl.DataFrame, days: Days, alpha: float) -> tuple[LiveRisk, Alarm | None]:
    """Return the live performance, and its alarm if there is one.

    Args:
        loss: How rows are counted, and what is promised.
        rows: The labelled rows of the days that count, with the column ``day``.
        days: The days.
        alpha: The largest probability of a false alarm.
    """
    if reason := _reason(loss, rows):
        return _unknown(loss, rows, reason), None
    assert loss.promised is not None
    numbers = np.unique(rows["day"].to_numpy())
    blocks = block_means(loss.of_rows(rows), rows["day"].to_numpy(), rows["weight"].to_numpy())
    measured = risk(blocks, Promise(loss.promised, loss.tolerance, loss.bound), alpha)
    recent = Blocks(blocks.means[-LAST_DAYS:], blocks.weights[-LAST_DAYS:]).mean
    low, high = mean_interval(blocks, _LEVEL)
    alarm = measured.alarm
    is_high = recent > measured.limit
    is_above = is_high and alarm is not None
    since = days.date(int(numbers[alarm.since])) if alarm else None
    live = LiveRisk(
        loss=loss.name,
        state="above" if is_above else "unclear" if is_high else "quiet",
        reason=None,
        promised=loss.promised,
        limit=measured.limit,
        live=Interval(value=measured.mean, low=max(0.0, low), high=min(loss.bound, high)),
        recent=recent,
        since=since if is_above else None,
        last=days.date(int(numbers[-1])),
        days=len(blocks),
        rows=len(rows),
        log10_e=log10_e(float(measured.evidence.log_values[-1])),
        training=loss.training,
    )
    if alarm is None or since is None:
        return live, None
    return live, Alarm(
        group="risk",
        name=loss.name,
        raised=days.date(int(numbers[alarm.period])),
        since=since,
        is_over=not is_above,
        text=risk_text(loss.name, measured, recent),
    )


def risk_text(name: str, measured: Risk, recent: float) -> str:
    """Return the alarm as a sentence."""
    return (
        f"The mean {name} is {number(recent)} in the last {LAST_DAYS} labelled days, and the promise allows at most "
        f"{number(measured.limit)}."
    )


def _reason(loss: RowLoss, rows: pl.DataFrame) -> str | None:
    """Return why the risk is not known; None if it is."""
    if loss.promised is None:
        return "the evaluation has no figure that labels could be compared with"
    if not 0 < loss.promised + loss.tolerance < loss.bound:
        return f"a promise of {number(loss.promised)} cannot be tested"
    labelled_days = rows["day"].n_unique() if len(rows) else 0
    if len(rows) < MIN_ROWS or labelled_days < MIN_DAYS:
        return (
            f"there are {len(rows):,} labelled rows of {labelled_days} days whose labels are complete; it takes "
            f"{MIN_ROWS} rows of {MIN_DAYS} days"
        )
    return None


def _unknown(loss: RowLoss, rows: pl.DataFrame, reason: str) -> LiveRisk:
    return LiveRisk(
        loss=loss.name,
        state="unknown",
        reason=reason,
        promised=loss.promised,
        limit=None if loss.promised is None else loss.promised + loss.tolerance,
        live=None,
        recent=None,
        since=None,
        last=None,
        days=rows["day"].n_unique() if len(rows) else 0,
        rows=len(rows),
        log10_e=0.0,
        training=loss.training,
    )
