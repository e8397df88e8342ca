"""Probe rows with images or sequences: each probe value in a row of its own, and random ones in the other rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from model_deployer.adoption.equality.probes import Probes
from model_deployer.adoption.equality.vector_probes import thinned

#: What probe values show, and the values, by field.
Pools = Mapping[str, Sequence[tuple[str, Any]]]


def with_pools(
    probes: Probes | None, pools: Pools, dtype: pl.DataType, rows: int, random: np.random.Generator
) -> Probes:
    """Return probe rows with more fields: each of their probe values in a row of its own, and random ones elsewhere.

    Args:
        probes: The rows of the other fields; None if there are none.
        pools: The probe values of each field.
        dtype: The type of their columns.
        rows: The number of rows at most, if the probe values leave some for the rows of the other fields.
        random: The source of the choice.
    """
    shown = [(name, index) for name, pool in pools.items() for index in range(len(pool))]
    frame, cases = _others(probes, len(shown), rows, random)
    chosen = {name: random.integers(len(pool), size=len(cases)) for name, pool in pools.items()}
    for row, (name, index) in enumerate(shown):
        chosen[name][row] = index
        cases[row] = f"{name}: {pools[name][index][0]}"
    columns = [pl.Series(name, [pool[index][1] for index in chosen[name]], dtype=dtype) for name, pool in pools.items()]
    return Probes(frame.with_columns(columns) if frame.width else pl.DataFrame(columns), tuple(cases))


def _others(
    probes: Probes | None, shown: int, rows: int, random: np.random.Generator
) -> tuple[pl.DataFrame, list[str]]:
    """Return the other fields: random rows for the probe values, then those rows that are probes themselves."""
    if probes is None:
        return pl.DataFrame(), [""] * shown
    frame, cases = thinned(probes, max(1, rows - shown), random)
    bases = random.integers(frame.height, size=shown)
    return pl.concat([frame[bases], frame]), [*(cases[base] for base in bases), *cases]
