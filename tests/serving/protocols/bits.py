"""Outputs as bits, for exact comparison."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.serving.protocols.speakers import Outputs


def bits(outputs: Outputs) -> dict[str, Any]:
    """Return numbers as the bits of their float32 value, and other values unchanged."""
    return {name: values if _is_not_numeric(values) else _bits(values) for name, values in outputs.items()}


def _is_not_numeric(values: Sequence[Any]) -> bool:
    first = values[0][0] if isinstance(values[0], list) else values[0]
    return isinstance(first, str | bool)


def _bits(values: Sequence[Any]) -> list[Any]:
    numbers = np.array(values, np.float64)
    assert (numbers == numbers.astype(np.float32)).all(), "a number has digits that no float32 has"
    integers: list[Any] = numbers.astype("<f4").view("<u4").tolist()
    return integers
