"""Blocks of rows that are not independent, and the comparison of losses by them."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import UsageError
from model_deployer.contract.yaml_source import suggestion
from model_deployer.monitoring.candidate.paired_rows import Floats
from model_deployer.monitoring.candidate.replay_report import LossComparison, Progress
from model_deployer.monitoring.candidate.row_losses import RowLosses
from model_deployer.monitoring.statistics.blocks import Blocks, block_means
from model_deployer.monitoring.statistics.normal_means import running_intervals
from model_deployer.monitoring.statistics.paired_comparison import (
    MIN_DIFFERENT_BLOCKS,
    PairedComparison,
    paired_comparison,
)

#: Blocks of time, and the format of their names.
_TIMES: Mapping[str, str] = {"day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}

#: The largest number of blocks that is estimated for a verdict.
_MAX_BLOCKS = 20_000

#: The points of a picture of the difference as labels came.
_POINTS = 40


def block_numbers(table: pl.DataFrame, block: str) -> NDArray[np.int64]:
    """Return the block of each row, int64 [rows], in the order in which blocks begin.

    Rows of one request are in one block in any case.

    Args:
        table: The rows in the order of their time.
        block: ``day``, ``hour``, ``request``; or a captured field or ``row_id``, whose values are those of clients.

    Raises:
        UsageError: if there is no such column.
    """
    if block in _TIMES:
        keys = table["time"].dt.strftime(_TIMES[block])
    elif block == "request":
        keys = table["request_id"]
    else:
        column = block if block in table.columns else f"input.{block}"
        if column not in table.columns:
            fields = [name.removeprefix("input.") for name in table.columns if name.startswith("input.")]
            raise UsageError(
                f"--block {block}: expected day, hour, request, row_id, or a field that is captured with its values"
                f"{suggestion(block, fields)}"
            )
        keys = table[column].cast(pl.String)
    of_request = pl.DataFrame({"key": keys, "request": table["request_id"], "time": table["time"]}).select(
        pl.col("key").first().over("request", "time").fill_null("")  # callers may send an id twice
    )
    return of_request.to_series().rank("dense").to_numpy().astype(np.int64) if block in _TIMES else _ordered(of_request)


def _ordered(keys: pl.DataFrame) -> NDArray[np.int64]:
    """Return numbers of texts in the order in which they appear first."""
    series = keys.to_series()
    first = pl.DataFrame({"key": series.unique(maintain_order=True)}).with_row_index("number")
    return pl.DataFrame({"key": series}).join(first, on="key", how="left", maintain_order="left")["number"].to_numpy()


def compare_losses(
    losses: RowLosses, blocks: NDArray[np.int64], weights: Floats, tolerance: float, alpha: float
) -> LossComparison:
    """Compare a loss of both models on the same rows.

    Args:
        losses: The losses, of at least one row.
        blocks: The block of each row.
        weights: The number of rows that each stands for.
        tolerance: How much larger the candidate's loss may be, as a share of the champion's.
        alpha: The largest probability that the interval of the difference is ever wrong.
    """
    champion, candidate = (float(np.average(each, weights=weights)) for each in (losses.champion, losses.candidate))
    means = block_means(losses.candidate - losses.champion, blocks, weights)
    result = paired_comparison(means, alpha, losses.bound)
    limit = tolerance * champion
    needed = _needed_blocks(means, result, limit, alpha)
    return LossComparison(
        name=losses.name,
        meaning=losses.meaning,
        rows=len(blocks),
        blocks=len(means),
        champion=champion,
        candidate=candidate,
        difference=result.difference,
        low=result.low,
        high=result.high,
        tolerance=limit,
        verdict=result.verdict,
        needed_rows=None if needed is None else round(len(blocks) / len(means) * needed),
        progress=tuple(_progress(means, losses.bound, alpha)),
    )


def _needed_blocks(means: Blocks, result: PairedComparison, tolerance: float, alpha: float) -> int | None:
    """Estimate the blocks until the interval is below the tolerance, or above 0, if they vary as those so far.

    Returns:
        Their number; None if the verdict is there, or there is one block, or they would be too many.
    """
    distance = max(tolerance - result.difference, result.difference)
    if result.high <= tolerance or result.low > 0 or len(means) < 2 or distance <= 0:
        return None
    spread = float(np.std(means.means, ddof=1))
    alternating = spread * np.where(np.arange(_MAX_BLOCKS) % 2, 1.0, -1.0)
    _, halves = running_intervals(Blocks(alternating, np.ones(_MAX_BLOCKS)), alpha)
    is_enough = halves < distance
    return max(int(is_enough.argmax()) + 1, MIN_DIFFERENT_BLOCKS) if is_enough.any() else None


def _progress(means: Blocks, bound: float, alpha: float) -> list[Progress]:
    ends = np.unique(np.linspace(1, len(means), _POINTS).round().astype(int))
    points = []
    for end in ends.tolist():
        result = paired_comparison(Blocks(means.means[:end], means.weights[:end]), alpha, bound)
        points.append(Progress(blocks=end, difference=result.difference, low=result.low, high=result.high))
    return points
