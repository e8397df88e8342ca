"""Probe rows of sequences: the shortest and the longest ones, and random ones, in rows of different lengths."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.equality.pooled_probes import with_pools
from model_deployer.adoption.equality.probes import Probes
from model_deployer.adoption.equality.vector_probes import MAX_NUMBERS
from model_deployer.contract.features import NumberSequence

#: How many rows have random sequences, and a bound of numbers that the contract does not bound.
RANDOM_ROWS, _BOUND = 256, 3.0


def with_sequences(
    probes: Probes | None, sequences: Sequence[NumberSequence], table: pl.DataFrame | None, seed: int
) -> Probes:
    """Return probe rows with sequences: each unusual one in a row of its own, and random ones in the other rows.

    Args:
        probes: The rows of the other fields; None if there are none.
        sequences: The fields that are sequences.
        table: Rows with all fields; None without a table.
        seed: The seed of the numbers and of the choice.
    """
    if not sequences:
        assert probes is not None
        return probes
    random = np.random.default_rng(seed)
    pools = {each.name: [*_unusual(each, random), *_random(each, table, random)] for each in sequences}
    rows = MAX_NUMBERS // sum(each.elements for each in sequences)
    return with_pools(probes, pools, pl.List(pl.Float64), rows, random)


def _unusual(sequence: NumberSequence, random: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    low, high = _bounds(sequence)
    shortest, longest = sequence.lengths
    for length in sorted({shortest, min(shortest + 1, longest), longest}):
        for number in (low, high):
            yield f"{length} times {number:g}", np.full(length, number)
        yield f"{length} random numbers", _numbers(sequence, length, random)


def _random(
    sequence: NumberSequence, table: pl.DataFrame | None, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    if table is not None:
        for row in random.permutation(table.height)[:RANDOM_ROWS]:
            yield "a sequence of the table", np.array(table[sequence.name][int(row)])
        return
    shortest, longest = sequence.lengths
    for number in range(RANDOM_ROWS):
        # Most texts are short; a tenth of the rows reach every length.
        end = longest if number % 10 == 0 else min(longest, shortest + 30)
        yield f"random numbers, row {number + 1}", _numbers(sequence, int(random.integers(shortest, end + 1)), random)


def _numbers(sequence: NumberSequence, length: int, random: np.random.Generator) -> NDArray[np.float64]:
    low, high = _bounds(sequence)
    if sequence.integers:
        return random.integers(int(low), int(high) + 1, length).astype(np.float64)
    return random.uniform(low, high, length)


def _bounds(sequence: NumberSequence) -> tuple[float, float]:
    low = -_BOUND if sequence.minimum is None else sequence.minimum
    return low, low + 2 * _BOUND if sequence.maximum is None else sequence.maximum
