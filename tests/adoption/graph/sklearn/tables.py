"""Small tables that models are fitted to."""

import numpy as np
import pandas as pd

ROWS = 200


def numbers(missing: bool = False) -> pd.DataFrame:
    """Return columns of different sizes and shapes; every fifth value of two of them may be missing."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "income": rng.exponential(size=ROWS) * 3e4,
            "age": rng.normal(size=ROWS) * 12 + 40,
            "children": rng.integers(0, 5, ROWS).astype(float),
        }
    )
    if missing:
        table.iloc[::5, 0] = np.nan
        table.iloc[1::5, 2] = np.nan
    return table


def standardized() -> pd.DataFrame:
    """Return two columns around 0, and one of whole numbers."""
    rng = np.random.default_rng(1)
    columns = {"a": rng.normal(size=ROWS), "b": rng.normal(size=ROWS) * 3 + 1, "c": rng.integers(0, 5, ROWS) * 1.0}
    return pd.DataFrame(columns)


def texts(missing: object = np.nan) -> pd.DataFrame:
    """Return two columns of texts, the first one often missing, and one of numbers with few values."""
    rng = np.random.default_rng(2)
    city = np.array(["Bern", "Rome", "Oslo", "Basel", missing], object)[
        rng.choice(5, ROWS, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    ]
    return pd.DataFrame(
        {
            "city": pd.Series(city, dtype=object),
            "size": pd.Series(np.array(["S", "M", "L"], object)[rng.integers(0, 3, ROWS)], dtype=object),
            "floor": rng.integers(0, 4, ROWS).astype(float),
        }
    )


def score(table: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a number for each row that depends on the columns of :func:`standardized`."""
    noise = np.random.default_rng(3).normal(size=len(table)) * 0.4
    return np.asarray(table["a"] + table["b"] * 0.3 - table["c"] * 0.1 + noise, np.float64)
