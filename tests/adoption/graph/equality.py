"""Compare a graph with the library that the model comes from, on rows that are built from the model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from model_deployer.adoption.graph.field_fact import FieldFact
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_transformer
from model_deployer.adoption.graph.written_model import WrittenModel, write_model
from model_deployer.adoption.interface import Kind
from tests.adoption.graph.stored_models import stored

#: The largest difference of a probability, or of a value relative to its size if that is above 1.
TOLERANCE = 1e-6

#: Numbers at which code is often wrong.
NUMBERS = (0.0, -0.0, 1e-12, 2.0**24 + 1, 1e7, -1e7)

_MISSING_TEXTS = {"None": None, "NaN": np.nan, "": ""}


def check_step(step: Any, table: pd.DataFrame, target: Any = None) -> GraphWriter:
    """Fit a step, and compare ``transform`` with its graph."""
    step.fit(table, target)
    graph = GraphWriter()
    block = write_transformer(stored(step), Frame.of_fields([str(name) for name in table]), graph).numbers(graph)
    assert block.tensor is not None
    model = graph.model({"columns": (block.tensor, block.width)})
    rows = probe_rows(table, graph.inputs, graph.facts, graph.critical)
    expected = step.transform(rows)
    expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected, np.float64)
    (columns,) = run(model, feeds(rows, graph.inputs))
    assert_equal(columns, expected, rows)
    return graph


def check_model(model: Any, table: pd.DataFrame, target: Any, limit: float | None = None) -> WrittenModel:
    """Fit a model, and compare its predictions with those of its graph; numbers above the limit are left out."""
    model.fit(table, target)
    written = write_model(stored(model), list(table))
    kinds = {field.name: field.kind for field in written.fields if field.kind}
    facts = {field.name: field.fact for field in written.fields}
    critical = {field.name: set(field.critical) for field in written.fields}
    rows = probe_rows(table, kinds, facts, critical, limit)
    outputs = dict(zip(written.outputs, run(written.onnx, feeds(rows, kinds)), strict=True))
    assert_answers(model, written, outputs, rows)
    return written


def assert_answers(model: Any, written: WrittenModel, outputs: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> None:
    """Compare values, probabilities, scores and decisions with those of a fitted model."""
    predicted = np.asarray(model.predict(rows))
    if written.labels is None:
        assert_equal(outputs[written.outputs[0]], predicted.reshape(len(rows), -1), rows)
        return
    if "probabilities" in outputs:
        assert_equal(outputs["probabilities"], model.predict_proba(rows), rows)
    elif hasattr(model, "decision_function"):
        assert_equal(outputs["scores"], model.decision_function(rows).reshape(len(rows), -1), rows)
    positions = decisions(outputs, len(written.labels), written.threshold)
    assert [written.labels[position] for position in positions] == predicted.tolist()


def decisions(outputs: Mapping[str, NDArray[Any]], labels: int, threshold: float) -> list[int]:
    """Return the position of the label that the outputs of a graph decide for."""
    if "decision" in outputs:
        return [int(position) for position in outputs["decision"][:, 0]]
    values = outputs.get("probabilities", outputs.get("scores"))
    assert values is not None
    if labels > 2:
        return [int(position) for position in values.argmax(axis=1)]
    return [int(value > threshold) for value in values[:, -1]]


def assert_equal(actual: NDArray[Any], expected: NDArray[Any], rows: pd.DataFrame) -> None:
    """Compare two arrays row by row, missing values included."""
    assert actual.shape == expected.shape
    with np.errstate(all="ignore"):  # an output is float32, so that a large number is infinite
        expected = expected.astype(np.float32)
        difference = np.abs(actual - expected) / np.maximum(1.0, np.abs(expected))
    difference[actual == expected] = 0.0
    wrong = (difference > TOLERANCE) | (np.isnan(actual) != np.isnan(expected))
    first = int(np.argmax(wrong.any(axis=1)))
    assert not wrong.any(), f"{rows.iloc[first].to_dict()}: {actual[first]} instead of {expected[first]}"


def probe_rows(
    table: pd.DataFrame,
    kinds: Mapping[str, Kind],
    facts: Mapping[str, FieldFact],
    critical: Mapping[str, set[float | str]],
    limit: float | None = None,
) -> pd.DataFrame:
    """Return rows of the table, and rows in which one field has a value at which the model changes its behaviour."""
    rows = [dict(zip(table, values, strict=True)) for values in table.iloc[:40].itertuples(index=False, name=None)]
    base = rows[:3]
    for name, kind in kinds.items():
        for value in _values(kind, facts.get(name, FieldFact()), critical.get(name, set()), limit):
            rows += [{**row, name: value} for row in base]
    result = pd.DataFrame(rows, columns=table.columns, dtype=object)
    numbers = [name for name in table.columns if pd.api.types.is_numeric_dtype(table[name])]
    return result.astype(dict.fromkeys(numbers, float))


def _values(kind: Kind, fact: FieldFact, critical: set[float | str], limit: float | None) -> Iterator[Any]:
    if kind == "text":
        yield from (value for value in critical if fact.accepted is None or value in fact.accepted)
        if fact.accepted is None:
            yield from ("unseen", " ", "NaN", "None", "0")
        if fact.accepts_missing:
            yield from (_MISSING_TEXTS[form] for form in fact.missing_forms or {"None"})
        return
    numbers = [float(value) for value in critical]
    near = [float(np.nextafter(value, direction)) for value in numbers for direction in (-np.inf, np.inf)]
    for number in (*numbers, *near, *NUMBERS):
        if _is_accepted(number, fact) and (limit is None or abs(number) <= limit):
            yield number
    if fact.accepts_missing:
        yield np.nan


def _is_accepted(number: float, fact: FieldFact) -> bool:
    lower = -np.inf if fact.lower is None else fact.lower
    upper = np.inf if fact.upper is None else fact.upper
    return lower <= number <= upper and (fact.accepted is None or number in fact.accepted)


def feeds(table: pd.DataFrame, inputs: Mapping[str, Kind]) -> dict[str, NDArray[Any]]:
    """Return the columns of a table as a graph reads them: NaN or "" for a missing value."""
    result: dict[str, NDArray[Any]] = {}
    for name, kind in inputs.items():
        if kind == "number":
            result[name] = table[name].astype(float).to_numpy().reshape(-1, 1)
        else:
            texts = ["" if pd.isna(value) else str(value) for value in table[name]]
            result[name] = np.array(texts, object).reshape(-1, 1)
    return result


def run(model: onnx.ModelProto, columns: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
    """Run a graph with ONNX Runtime, and return its outputs."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: Sequence[NDArray[Any]] = session.run(None, dict(columns))
    return outputs
