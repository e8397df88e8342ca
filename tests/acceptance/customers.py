"""The table that the commands are tried on, and a network that is fitted to it in a moment."""

from pathlib import Path

import numpy as np
import polars as pl

ROWS = 400

#: The part of a model.yaml that makes the network small.
SMALL = "estimator: {members: 2, width: 16, embedding: 4, epochs: 3, trials: 1}\n"


def _remark(random: np.random.Generator, content: bool) -> str:
    """What a customer said: nothing, or some words that tell a little of whether they are content."""
    if random.random() < 0.1:
        return ""
    words = random.choice(["the", "line", "was", "bill", "call", "again", "my", "phone"], random.integers(4, 12))
    verdict = "great service" if content == (random.random() < 0.8) else "not great"
    return f"{' '.join(words)}.\nIt was {verdict}!"


def write_table(path: Path) -> None:
    """Write a CSV file with columns of every kind, free text included, and two targets."""
    random = np.random.default_rng(0)
    age = random.integers(18, 90, ROWS)
    city = random.choice(["Bern", "Köln", "Paris", ""], ROWS)
    leaves = random.random(ROWS) < 1 / (1 + np.exp((50 - age) / 10))
    frame = pl.DataFrame(
        {
            "age": age,
            "income (CHF)": np.where(random.random(ROWS) < 0.1, np.nan, random.lognormal(10, 1, ROWS)),
            "city": city,
            "member": random.choice([True, False], ROWS),
            "since": pl.Series(random.integers(1_500_000_000, 1_600_000_000, ROWS) * 1_000_000).cast(pl.Datetime("us")),
            "remark": [_remark(random, stays) for stays in ~leaves],
            "churn": np.where(leaves, "yes", "no"),
            "spend": np.exp(random.normal(3, 0.5, ROWS) + age / 40),
        }
    )
    frame.with_columns(pl.col("income (CHF)").fill_nan(None)).write_csv(path)
