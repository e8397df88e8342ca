"""The values of categories whose rows have a higher live risk than all rows."""

from collections.abc import Iterator, Sequence

import polars as pl

from model_deployer.contract.features import Boolean, Categorical
from model_deployer.monitoring.monitor.live_risk import MIN_DAYS, MIN_ROWS
from model_deployer.monitoring.monitor.row_losses import RowLoss
from model_deployer.monitoring.monitor.watched import Watched
from model_deployer.monitoring.observation import Interval, SliceRisk
from model_deployer.monitoring.statistics.blocks import Blocks, block_means
from model_deployer.monitoring.statistics.normal_means import mean_interval

#: The values of a field that are compared at most, and the slices that are listed at most.
MAX_VALUES, MAX_SLICES = 20, 5

#: The probability that the interval of one slice is ever wrong, divided by the number of slices.
_LEVEL = 0.05


def slice_risks(watched: Sequence[Watched], labelled: pl.DataFrame, loss: RowLoss) -> tuple[SliceRisk, ...]:
    """Return the slices whose whole interval is above the mean of all rows, the highest first.

    Args:
        watched: The fields that are watched.
        labelled: The labelled rows of the days that count, with the column ``day``.
        loss: How rows are counted.
    """
    if labelled.is_empty() or loss.promised is None:
        return ()
    rows = labelled.with_columns(loss=pl.Series(loss.of_rows(labelled)))
    overall = _blocks(rows).mean
    parts = [part for each in watched for part in _parts(each, rows)]
    slices = []
    for name, part in parts:
        blocks = _blocks(part)
        low, high = mean_interval(blocks, _LEVEL / len(parts))
        if low > overall > 0:
            interval = Interval(value=blocks.mean, low=low, high=min(high, loss.bound))
            slices.append(SliceRisk(slice=name, rows=len(part), live=interval, gap=blocks.mean / overall - 1))
    return tuple(sorted(slices, key=lambda each: -each.gap)[:MAX_SLICES])


def _parts(watched: Watched, rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the rows of each value of a field that has few."""
    if not isinstance(watched.feature, Categorical | Boolean):
        return
    if rows[watched.column].n_unique() > MAX_VALUES:
        return
    for (value,), part in rows.group_by(watched.column, maintain_order=True):
        if len(part) >= MIN_ROWS and part["day"].n_unique() >= MIN_DAYS and len(part) < len(rows):
            yield f"{watched.name} = {'missing' if value is None else str(value)}", part


def _blocks(rows: pl.DataFrame) -> Blocks:
    return block_means(rows["loss"].to_numpy(), rows["day"].to_numpy(), rows["weight"].to_numpy())
