"""Probe rows of vectors: fields with many numbers, which have no meaning one by one."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.equality.probes import Probes

#: The number of rows of a model that reads vectors only, and the maximum of numbers in all probe rows of vectors.
ROWS, MAX_NUMBERS = 512, 20_000_000

#: Vectors with the same number in all places.
_CONSTANTS = (0.0, 1.0, -1.0, 1e-3, 100.0)


def with_vectors(probes: Probes | None, lengths: Mapping[str, int], table: pl.DataFrame | None, seed: int) -> Probes:
    """Return probe rows with vectors: those of the table, or normal numbers; first one unusual vector each.

    Args:
        probes: The rows of the other fields; None if there are none.
        lengths: The length of each vector, by name.
        table: Rows with all fields; None without a table.
        seed: The seed of the choice.
    """
    random = np.random.default_rng(seed)
    rows = max(1, MAX_NUMBERS // sum(lengths.values()))
    if probes is None:
        frame, cases = pl.DataFrame(), tuple[str, ...]()
        rows = min(rows, ROWS)
    else:
        frame, cases = thinned(probes, rows, random)
        rows = len(cases)
    columns = {name: _vectors(table, name, length, rows, random) for name, length in lengths.items()}
    described = list(cases) or [f"a row of vectors, number {row + 1}" for row in range(rows)]
    if probes is None:
        unusual = [(name, value) for name in lengths for value in (np.nan, *_CONSTANTS)]
        for row, (name, value) in enumerate(unusual[:rows]):
            columns[name][row] = value
            described[row] = f"{name}: missing" if np.isnan(value) else f"{name}: {value:g} in all places"
    series = [pl.Series(name, values, dtype=pl.Array(pl.Float64, lengths[name])) for name, values in columns.items()]
    return Probes(frame.with_columns(series) if frame.width else pl.DataFrame(series), tuple(described))


def thinned(probes: Probes, rows: int, random: np.random.Generator) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return at most this number of the probe rows, chosen at random, and their descriptions."""
    if len(probes.cases) <= rows:
        return probes.frame, probes.cases
    chosen = np.sort(random.choice(len(probes.cases), rows, replace=False))
    return probes.frame[chosen], tuple(probes.cases[index] for index in chosen)


def _vectors(
    table: pl.DataFrame | None, name: str, length: int, rows: int, random: np.random.Generator
) -> NDArray[np.float64]:
    if table is None or not table.height:
        return random.normal(size=(rows, length))
    known = table[name].to_numpy()[random.integers(table.height, size=rows)]
    return np.asarray(known, np.float64).copy()
