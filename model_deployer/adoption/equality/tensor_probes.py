"""Probe rows of tensors: the smallest and the largest shapes, and random ones, in rows of different shapes."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.equality.pooled_probes import with_pools
from model_deployer.adoption.equality.probes import Probes
from model_deployer.adoption.equality.vector_probes import MAX_NUMBERS
from model_deployer.adoption.tensor_column import tensor_type, tensor_values
from model_deployer.contract.features import Tensor

#: How many rows have random tensors, at most and at least, and a bound of numbers that nothing bounds.
MAX_RANDOM, MIN_RANDOM, _BOUND = 256, 8, 3.0

#: How many numbers random tensors have together, if there are more than the minimum.
_MAX_RANDOM_NUMBERS = 2_000_000


def with_tensors(probes: Probes | None, tensors: Sequence[Tensor], table: pl.DataFrame | None, seed: int) -> Probes:
    """Return probe rows with tensors: each unusual one in a row of its own, and random ones in the other rows.

    Args:
        probes: The rows of the other fields; None if there are none.
        tensors: The fields that are tensors.
        table: Rows with all fields; None without a table.
        seed: The seed of the numbers and of the choice.
    """
    random = np.random.default_rng(seed)
    for tensor in tensors:
        known = None if table is None else [value for value in tensor_values(table[tensor.name]) if value is not None]
        pool = [*_unusual(tensor, known, random), *_random(tensor, known, random)]
        values = [(what, value.tolist()) for what, value in pool]
        rows = max(1, MAX_NUMBERS // tensor.elements)
        probes = with_pools(probes, {tensor.name: values}, tensor_type(len(tensor.sizes)), rows, random)
    assert probes is not None
    return probes


def _unusual(
    tensor: Tensor, known: Sequence[NDArray[np.float64]] | None, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    low, high = _bounds(tensor, known)
    for shape in _shapes(tensor):
        text = "x".join(map(str, shape))
        for number in dict.fromkeys((low, high, min(max(0.0, low), high))):
            yield f"{text} times {number:g}", np.full(shape, number)
        yield f"{text} random numbers", _numbers(tensor, shape, (low, high), random)


def _shapes(tensor: Tensor) -> Sequence[tuple[int, ...]]:
    """Return the smallest and the largest shape, and for each free axis those with the other end of it alone."""
    smallest, largest = (tuple(sizes) for sizes in zip(*tensor.sizes, strict=True))
    shapes = [smallest, largest]
    for axis, (low, high) in enumerate(tensor.sizes):
        shapes.append((*smallest[:axis], high, *smallest[axis + 1 :]))
        shapes.append((*smallest[:axis], min(low + 1, high), *smallest[axis + 1 :]))
    return list(dict.fromkeys(shapes))


def _random(
    tensor: Tensor, known: Sequence[NDArray[np.float64]] | None, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    count = min(MAX_RANDOM, max(MIN_RANDOM, _MAX_RANDOM_NUMBERS // tensor.elements))
    if known:
        for row in random.permutation(len(known))[:count]:
            yield "a tensor of the table", known[row]
        return
    for number in range(count):
        shape = tuple(int(random.integers(low, high + 1)) for low, high in tensor.sizes)
        yield f"random numbers, row {number + 1}", _numbers(tensor, shape, _bounds(tensor, known), random)


def _numbers(
    tensor: Tensor, shape: tuple[int, ...], bounds: tuple[float, float], random: np.random.Generator
) -> NDArray[np.float64]:
    low, high = bounds
    if tensor.integers:
        return random.integers(int(low), int(high) + 1, shape).astype(np.float64)
    return random.uniform(low, high, shape)


def _bounds(tensor: Tensor, known: Sequence[NDArray[np.float64]] | None) -> tuple[float, float]:
    """Return the bounds of the contract; without one, that of the table: beyond it, sums of a network cancel."""
    lowest = min((float(value.min()) for value in known), default=-_BOUND) if known else -_BOUND
    highest = max((float(value.max()) for value in known), default=_BOUND) if known else _BOUND
    low = lowest if tensor.minimum is None else tensor.minimum
    high = max(low, highest) if tensor.maximum is None else tensor.maximum
    return (float(np.floor(low)), float(np.ceil(high))) if tensor.integers else (low, high)
