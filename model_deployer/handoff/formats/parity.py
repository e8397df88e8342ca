"""model/parity.json: the replay of each format on the golden requests and on the test rows."""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.artifact import write_json
from model_deployer.contract.outputs import Arrays, Classification, Output, VectorOutput
from model_deployer.package.formats import Agreement, Format, Graph

#: A function from the inputs of model.onnx (by name, each [rows, *shape]) to its outputs (by name, each [rows, n]).
PredictArrays = Callable[[Mapping[str, NDArray[Any]]], Arrays]

#: The number of rows that are replayed at once.
CHUNK_ROWS = 4_096


def write_parity(path: Path, formats: Sequence[Format], graph: Graph | None) -> None:
    """Write parity.json; ``graph`` is None if the model is not a graph."""
    listed = [format_.model_dump(mode="json") for format_ in formats]
    write_json(path, {"formats": listed, "graph": graph and graph.model_dump(mode="json")})


def agreement(output: Output, expected: Arrays, actual: Arrays, scale: float) -> Agreement:
    """Compare output tensors with the expected ones.

    Args:
        output: The output of the contract.
        expected: The expected tensors by name, float32 [rows, n].
        actual: The tensors of a format for the same rows.
        scale: Numbers larger than this are compared relative to their size, smaller ones relative to the scale.
    """
    largest = max((_largest(expected[name], actual[name], scale) for name in output.tensors), default=0.0)
    rows = len(expected[output.tensors[0]])
    if not isinstance(output, Classification) or not math.isfinite(largest):
        return Agreement(rows=rows, largest=largest, flips=None)
    expected_decisions, decisions = (output.columns(arrays)["decision"] for arrays in (expected, actual))
    flips = sum(map(operator.ne, expected_decisions, decisions))
    return Agreement(rows=rows, largest=largest, flips=flips)


def _largest(expected: NDArray[Any], actual: NDArray[Any], scale: float) -> float:
    if expected.shape != actual.shape:
        return float("inf")
    exact = expected.astype(np.float64)
    return float(np.max(np.abs(actual - exact) / np.maximum(scale, np.abs(exact)), initial=0.0))


def predict_in_chunks(predict: PredictArrays, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the outputs for any number of rows, predicted ``CHUNK_ROWS`` rows at a time."""
    parts = [predict(chunk) for chunk in _chunks(columns)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(columns: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    rows = len(next(iter(columns.values())))
    for start in range(0, max(1, rows), CHUNK_ROWS):
        yield {name: array[start : start + CHUNK_ROWS] for name, array in columns.items()}


def expected_arrays(output: Output, predictions: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
    """Convert JSON predictions back to the output tensors that they came from, by name, each [rows, n]."""
    if isinstance(output, Classification):
        rows = [[prediction["probabilities"][label] for label in output.labels] for prediction in predictions]
        return {"probabilities": np.array(rows, dtype=np.float32)}
    if isinstance(output, VectorOutput):
        values = [prediction["values"] for prediction in predictions]
        rows = values if output.names is None else [[row[name] for name in output.names] for row in values]
        return {"values": np.array(rows, dtype=np.float32)}
    columns = {name: [[prediction[name]] for prediction in predictions] for name in output.tensors}
    return {name: np.array(column, dtype=np.float32) for name, column in columns.items()}
