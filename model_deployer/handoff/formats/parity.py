"""model/parity.json: each format of the model, replayed on the golden requests and on the test part."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.artifact import write_json
from model_deployer.contract.outputs import Arrays, Classification, Output
from model_deployer.package.formats import Agreement, Format

#: From the columns of some rows, as model.onnx takes them, to the output tensors.
Answer = Callable[[Mapping[str, NDArray[Any]]], Arrays]

#: Rows that are replayed at once.
CHUNK = 4_096


def write_parity(path: Path, formats: Sequence[Format]) -> None:
    """Write parity.json."""
    write_json(path, {"formats": [each.model_dump(mode="json") for each in formats]})


def agreement(output: Output, expected: Arrays, found: Arrays, scale: float) -> Agreement:
    """Hold output tensors against those that are expected.

    Args:
        output: What they mean.
        expected: The tensors by name.
        found: The same of the same rows.
        scale: Numbers larger than it are compared relative to their size.
    """
    largest = max((_largest(expected[name], found[name], scale) for name in output.tensors), default=0.0)
    rows = len(expected[output.tensors[0]])
    if not isinstance(output, Classification) or not math.isfinite(largest):
        return Agreement(rows=rows, largest=largest, flips=None)
    before, after = (output.columns(arrays)["decision"] for arrays in (expected, found))
    flips = sum(one != other for one, other in zip(before, after, strict=True))
    return Agreement(rows=rows, largest=largest, flips=flips)


def _largest(expected: NDArray[Any], found: NDArray[Any], scale: float) -> float:
    if expected.shape != found.shape:
        return float("inf")
    exact = expected.astype(np.float64)
    return float(np.max(np.abs(found - exact) / np.maximum(scale, np.abs(exact)), initial=0.0))


def in_chunks(answer: Answer, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The answers to any number of rows."""
    parts = [answer(chunk) for chunk in _chunks(columns)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(columns: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    rows = len(next(iter(columns.values())))
    for first in range(0, max(1, rows), CHUNK):
        yield {name: array[first : first + CHUNK] for name, array in columns.items()}


def expected_arrays(output: Output, predictions: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
    """Predictions as a client reads them, as the tensors they came from."""
    if isinstance(output, Classification):
        rows = [[each["probabilities"][label] for label in output.labels] for each in predictions]
        return {"probabilities": np.array(rows, dtype=np.float32)}
    return {name: np.array([[each[name]] for each in predictions], dtype=np.float32) for name in output.tensors}
