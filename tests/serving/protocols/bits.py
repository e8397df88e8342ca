"""Outputs as bits, so that nothing is nearly equal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.serving.protocols.speakers import Outputs


def bits(outputs: Outputs) -> dict[str, Any]:
    """Numbers by the bits that they have as float32, the rest as it is."""
    return {name: values if _is_said(values) else _bits(values) for name, values in outputs.items()}


def _is_said(values: Sequence[Any]) -> bool:
    first = values[0][0] if isinstance(values[0], list) else values[0]
    return isinstance(first, str | bool)


def _bits(values: Sequence[Any]) -> list[Any]:
    numbers = np.array(values, np.float64)
    assert (numbers == numbers.astype(np.float32)).all(), "digits that no float32 has"
    found: list[Any] = numbers.astype("<f4").view("<u4").tolist()
    return found
