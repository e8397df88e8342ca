"""The table that the models are fitted on: numbers of many sizes, whole numbers, categories, texts, missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: The rows that a model is fitted on, and as many that evaluate it.
ROWS = 1_000

NUMBERS, CATEGORY, CODE, TEXT = ["a", "b"], "c", "k", "note"

_WORDS = np.array(["late", "early", "cheap", "broken", "fine", "good", "bad", "slow", "fast", "new", "old"])


def table() -> pd.DataFrame:
    """Return twice ``ROWS`` rows: ``a`` and ``b`` (near 1.4e8), the code ``k``, the category ``c``, a note, targets."""
    random = np.random.default_rng(1)
    rows = 2 * ROWS
    frame = pd.DataFrame(
        {
            "a": random.normal(size=rows),
            "b": random.normal(size=rows) * 1e6 + 1e9 / 7,
            "k": random.integers(0, 40, rows).astype(float),
            "c": random.choice(list("uvwxyz"), rows),
            "note": [" ".join(random.choice(_WORDS, 4)) for _ in range(rows)],
        }
    )
    score = frame.a + frame.c.isin(["u", "w", "z"]) * 1.5 + (frame.k % 3 == 0) * 0.8 + (frame.b > 1.43e8) * 0.7
    score += frame.note.str.contains("good") * 0.7
    noisy = score + random.normal(size=rows) * 0.5
    frame["bought"] = (noisy > 1.3).astype(int)
    frame["level"] = pd.cut(noisy, [-np.inf, 0.5, 2, np.inf], labels=["low", "middle", "high"]).astype(str)
    frame["spend"] = score + random.normal(size=rows) * 0.1
    frame["visits"] = random.poisson(np.exp(np.clip(score, -2, 2)))
    return frame


def with_missing(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the table with every seventh value of numbers, and every fifth of texts, missing."""
    frame = frame.copy()
    for position, name in enumerate(columns):
        is_text = frame[name].dtype.kind not in "fi"
        frame.loc[position :: 5 if is_text else 7, name] = None if is_text else np.nan
    return frame
