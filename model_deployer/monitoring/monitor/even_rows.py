"""Rows that stand for one each, drawn from captured ones that stand for different numbers."""

import numpy as np
import polars as pl

#: The rows that are drawn at most.
MAX_ROWS = 20_000

_SEED = 0


def even_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a sample in which each row stands for as many as any other.

    Rows near the threshold may be captured always, and others by a share: without this, the former would dominate.

    Args:
        rows: Captured rows, with ``weight``.
    """
    weights = rows["weight"].to_numpy()
    if not len(rows) or (weights.max() == weights.min() and len(rows) <= MAX_ROWS):
        return rows
    share = weights / weights.max()
    kept = np.random.default_rng(_SEED).random(len(rows)) < share * min(1.0, MAX_ROWS / share.sum())
    return rows.filter(kept)
