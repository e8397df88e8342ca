"""The slices whose rows have a higher live risk than expected."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.features import Boolean, Categorical
from model_deployer.monitoring.monitor.live_risk import MIN_DAYS, MIN_ROWS
from model_deployer.monitoring.monitor.row_losses import RowLoss
from model_deployer.monitoring.monitor.watched import Watched
from model_deployer.monitoring.observation import Interval, SliceRisk
from model_deployer.monitoring.slices import TrafficSlice, evaluated_slices, field_slices, value_slices
from model_deployer.monitoring.statistics.blocks import Blocks, block_means
from model_deployer.monitoring.statistics.normal_means import mean_interval

Bools = NDArray[np.bool_]

#: The values of a field and the slices of the evaluation that are compared, and the slices that are listed at most.
MAX_VALUES, MAX_EVALUATED, MAX_SLICES = 20, 20, 5

#: The probability that the interval of one slice is ever wrong, divided by the number of slices.
_LEVEL = 0.05

#: Probabilities of 1 expect no loss at all.
_TINY = 1e-9


def slice_risks(
    artifact: Artifact, watched: Sequence[Watched], labelled: pl.DataFrame, loss: RowLoss
) -> tuple[SliceRisk, ...]:
    """Return the slices with more errors than expected: those of one field first, the most certain.

    Some slices are harder than others, and a good model says so by its probabilities. What counts is the excess of the
    loss above what they expect; of a quantity, above the mean of all rows. A slice is listed if the whole interval of
    its excess is above the excess of all rows. Another one is listed if that also holds without the rows of those
    before it: a part of a bad slice, or one with many of its rows, would be the same finding.

    Args:
        artifact: The model, whose evaluation has slices of its own.
        watched: The fields that are watched.
        labelled: The labelled rows of the days that count, with the column ``day``.
        loss: How rows are counted.
    """
    if labelled.is_empty() or loss.promised is None:
        return ()
    losses = loss.of_rows(labelled)
    expected = loss.expected(labelled) if loss.expected else np.full(len(losses), losses.mean())
    rows = labelled.with_columns(loss=pl.Series(losses), expected=pl.Series(expected), excess=losses - expected)
    parts = {each.name: each for each in _all_slices(artifact, watched, rows) if _is_known(each.rows, rows)}
    level = _LEVEL / max(1, len(parts))
    overall = _excess_mean(rows, np.ones(len(rows), np.bool_))
    margins = {name: _lowest_excess(rows, part.rows, level) - overall for name, part in parts.items()}
    high = [part for name, part in parts.items() if margins[name] > 0]
    is_left, slices = np.ones(len(rows), np.bool_), []
    for part in sorted(high, key=lambda each: (" and " in each.name, -margins[each.name])):
        is_new = part.rows & is_left
        if _is_known(is_new, rows) and _lowest_excess(rows, is_new, level) > _excess_mean(rows, is_left):
            slices.append(_slice_risk(part, rows, loss, level))
            is_left &= ~part.rows
    return tuple(slices[:MAX_SLICES])


def _lowest_excess(rows: pl.DataFrame, inside: Bools, level: float) -> float:
    """Return the lower end of the interval of the mean excess of some rows, bool [rows]."""
    return mean_interval(_blocks(rows, inside, "excess"), level)[0]


def _excess_mean(rows: pl.DataFrame, inside: Bools) -> float:
    """Return the mean excess of some rows, bool [rows]; at least 0: a slice as good as promised is not bad."""
    return max(0.0, _blocks(rows, inside, "excess").mean)


def _slice_risk(part: TrafficSlice, rows: pl.DataFrame, loss: RowLoss, level: float) -> SliceRisk:
    blocks, expected = (_blocks(rows, part.rows, column) for column in ("loss", "expected"))
    low, high = mean_interval(blocks, level)
    return SliceRisk(
        slice=part.name,
        rows=int(part.rows.sum()),
        live=Interval(value=blocks.mean, low=low, high=min(high, loss.bound)),
        gap=blocks.mean / max(expected.mean, _TINY) - 1,
    )


def _all_slices(artifact: Artifact, watched: Sequence[Watched], rows: pl.DataFrame) -> Iterator[TrafficSlice]:
    for each in watched:
        if each.feature and each.has_values:
            yield from field_slices(each.feature, rows[each.column], each.distribution, MAX_VALUES)
        elif isinstance(each.feature, Categorical | Boolean):
            yield from value_slices(each.name, rows[each.column], MAX_VALUES)
    yield from evaluated_slices(rows, artifact, MAX_EVALUATED)


def _is_known(inside: Bools, rows: pl.DataFrame) -> bool:
    """Return whether a slice, bool [rows], has enough rows for an interval, and is not everything."""
    count = int(inside.sum())
    return MIN_ROWS <= count < len(rows) and len(np.unique(rows["day"].to_numpy()[inside])) >= MIN_DAYS


def _blocks(rows: pl.DataFrame, inside: Bools, column: str) -> Blocks:
    values, days, weights = (rows[each].to_numpy()[inside] for each in (column, "day", "weight"))
    return block_means(values, days, weights)
