"""Graphs of live models: written from the pickle of the model, and answered on rows that are built from the graph."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_predictor
from model_deployer.adoption.graph.writers import register_writers
from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.stored_object import StoredObject

register_writers()

Rows = Mapping[str, NDArray[Any]]

#: Numbers that are not a threshold, but where implementations differ.
FINITE = (0.0, -0.0, -0.5, 0.5, 3.5, 255.0, 256.0, 259.0, 2.0**24 + 1, 2.0**31, 2.0**31 + 3, 2.0**32 + 3, 1e-36, -1e-36)
EXTREME = (np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300)


def stored(model: Any) -> StoredObject:
    """Return a live model as an object that was read from its pickle."""
    value = read_pickle(pickle.dumps(model))
    assert isinstance(value, StoredObject)
    return value


@dataclass
class WrittenGraph:
    """A graph, and the answer of its writer."""

    answer: Answer
    writer: GraphWriter
    session: onnxruntime.InferenceSession

    def predict(self, rows: Rows) -> NDArray[Any]:
        """Return the outputs, float32 [rows, labels or 1]."""
        inputs = {name: _input(rows[name], kind) for name, kind in self.writer.inputs.items()}
        return np.asarray(self.session.run(["output"], inputs)[0])

    def decisions(self, rows: Rows) -> NDArray[Any]:
        """Return the labels that the graph decides for."""
        outputs = self.predict(rows)
        assert self.answer.labels is not None
        labels = np.array(list(self.answer.labels))
        if len(labels) == 2:
            return np.asarray(labels[(outputs[:, 1] > self.answer.threshold).astype(int)])
        return np.asarray(labels[outputs.argmax(axis=1)])


def write(model: StoredObject, names: Sequence[str]) -> WrittenGraph:
    """Write the graph of a stored model on raw fields."""
    writer = GraphWriter()
    answer = write_predictor(model, Frame.of_fields(names), writer)
    width = answer.targets if answer.labels is None else len(answer.labels)
    tensor = answer.tensor or answer.prediction
    content = writer.model({"output": (tensor, width)}).SerializeToString()
    return WrittenGraph(answer, writer, onnxruntime.InferenceSession(content))


def probe_rows(writer: GraphWriter, table: Rows, extra: Sequence[float] = FINITE, size: int = 6_000) -> Rows:
    """Return rows of a table, each with one value replaced by a critical one or by a number next to it.

    Args:
        writer: The graph, which knows its critical values.
        table: Rows, by field.
        extra: Numbers to try in every field of numbers.
        size: How many rows to return at most.
    """
    random = np.random.default_rng(0)
    changes: list[tuple[str, Any]] = []
    for name, kind in writer.inputs.items():
        critical = writer.critical.get(name, set())
        values = _neighbours([value for value in critical if not isinstance(value, str)]) if kind == "number" else []
        values += [value for value in critical if isinstance(value, str)]
        values += list(extra) if kind == "number" else ["", "unseen"]
        changes += [(name, value) for value in values]
    chosen = random.permutation(len(changes))[:size]
    base = random.integers(0, len(next(iter(table.values()))), len(chosen))
    rows = {name: column[base].copy() for name, column in table.items()}
    for row, change in enumerate(chosen):
        name, value = changes[change]
        rows[name][row] = value
    return {name: np.concatenate([column, rows[name]]) for name, column in table.items()}


def matrix(rows: Rows) -> NDArray[np.float64]:
    """Return the columns next to each other."""
    return np.stack([np.asarray(column, np.float64) for column in rows.values()], axis=1)


def assert_equal(got: NDArray[Any], expected: Any, tolerance: float = 1e-6) -> None:
    """Check each row: the difference is at most the tolerance, relative to the number if it is above 1."""
    expected = np.asarray(expected, np.float64)
    expected = expected.reshape(len(expected), -1)
    assert got.shape == expected.shape
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        close = np.abs(got - expected) <= tolerance * np.maximum(1, np.abs(expected))
    different = ~(same | close).all(axis=1)
    assert not different.any(), f"{different.sum()} of {len(got)} rows differ, first {np.flatnonzero(different)[:5]}"


def check_classifier(
    model: Any, table: Rows, convert: Callable[[Rows], Any] = matrix, extra: Sequence[float] = FINITE
) -> WrittenGraph:
    """Check probabilities and decisions of a live classifier on probe rows."""
    graph = write(stored(model), list(table))
    rows = probe_rows(graph.writer, table, extra)
    assert_equal(graph.predict(rows), model.predict_proba(convert(rows)))
    assert np.array_equal(graph.decisions(rows), model.predict(convert(rows)))
    return graph


def check_regressor(
    model: Any, table: Rows, convert: Callable[[Rows], Any] = matrix, extra: Sequence[float] = FINITE
) -> WrittenGraph:
    """Check the predictions of a live regressor on probe rows."""
    graph = write(stored(model), list(table))
    rows = probe_rows(graph.writer, table, extra)
    assert_equal(graph.predict(rows), model.predict(convert(rows)))
    return graph


def _input(column: NDArray[Any], kind: str) -> NDArray[Any]:
    return np.asarray(column, np.float64 if kind == "number" else object).reshape(-1, 1)


def _neighbours(values: Sequence[float]) -> list[Any]:
    exact = np.array(values, np.float64)
    single = exact.astype(np.float32)
    with np.errstate(over="ignore"):
        parts = [
            exact,
            np.nextafter(exact, -np.inf),
            np.nextafter(exact, np.inf),
            single.astype(np.float64),
            np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
            np.nextafter(single, np.float32(np.inf)).astype(np.float64),
        ]
    return list(np.concatenate(parts).tolist())
