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
from model_deployer.monitoring.statistics.normal_means import PRIOR
from model_deployer.monitoring.statistics.paired_comparison import PairedComparison, paired_comparison

#: Blocks of time, and the format of their names.
_TIMES: Mapping[str, str] = {"day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}

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
    of_request = pl.DataFrame({"key": keys, "request": table["request_id"]}).select(
        pl.col("key").first().over("request").fill_null("")
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
        needed_rows=_needed_rows(result, limit, len(blocks), alpha),
        progress=tuple(_progress(means, losses.bound, alpha)),
    )


def _needed_rows(result: PairedComparison, tolerance: float, rows: int, alpha: float) -> int | None:
    """Estimate the labelled rows of a verdict: the width of the interval falls with the root of their number.

    The verdict is reached if the interval is below the tolerance, or above 0.
    """
    if result.high <= tolerance or result.low > 0:
        return None
    half = (result.high - result.low) / 2
    distance = max(tolerance - result.difference, result.difference)
    if distance <= 0:
        return None
    factor = max((half / distance) ** 2, min_blocks(alpha) / result.blocks, 1.0)
    return round(1.1 * factor * rows)


def min_blocks(alpha: float) -> int:
    """Return the smallest number of blocks with an interval that is not everything."""
    blocks = np.arange(1, 1000)
    growth = 1 + blocks * PRIOR**2
    return int(blocks[(np.sqrt(growth) / alpha) ** (2 / blocks) < growth][0])


def _progress(means: Blocks, bound: float, alpha: float) -> list[Progress]:
    ends = np.unique(np.linspace(1, len(means), _POINTS).round().astype(int))
    points = []
    for end in ends.tolist():
        result = paired_comparison(Blocks(means.means[:end], means.weights[:end]), alpha, bound)
        points.append(Progress(blocks=end, difference=result.difference, low=result.low, high=result.high))
    return points
