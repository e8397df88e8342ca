"""Compare the answers of a source with those of a graph, row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.adoption import DifferingRow, Equality
from model_deployer.contract.outputs import Arrays, Classification, Output, VectorOutput

#: The largest allowed difference. The outputs of a graph are float32, which keeps seven digits.
TOLERANCE = 1e-5

#: The maximum number of rows in the evidence.
MAX_LISTED = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SourceAnswers:
    """What a source answers to rows.

    Attributes:
        numbers: Probabilities in the order of the contract's labels, float64 [rows, labels], or values, float64
            [rows, numbers]; NaN in the rows that the source refuses.
        decisions: The decision of each row, a label as text; "" for a refused row. None for values.
        refused: By the index of a row, the kind of error that the source refuses it with.
    """

    numbers: Floats
    decisions: Sequence[str] | None
    refused: Mapping[int, str]


def compare(source: SourceAnswers, served: Arrays, output: Output, cases: Sequence[str], table_rows: int) -> Equality:
    """Compare the answers to the rows that the source does not refuse.

    Args:
        source: The answers of the source.
        served: The outputs of the graph, float32.
        output: The output of the contract.
        cases: The description of each row, the rows of the table first.
        table_rows: The number of rows that are from the table.
    """
    actual, expected = served[output.tensors[0]].astype(np.float64), _as_float32(source.numbers)
    answered = np.array([row not in source.refused for row in range(len(cases))], dtype=bool)
    by_number = np.where(answered[:, None], _differences(expected, actual, scales(source, output, table_rows)), 0)
    differences = by_number.max(axis=1)
    beyond = ~(differences <= TOLERANCE)
    shown = _shown_answers(source, served, output, by_number)
    flips = answered & (shown[0] != shown[1]) & (source.decisions is not None)
    order = np.argsort(-np.where(np.isnan(differences), np.inf, differences), kind="stable")
    worst = [int(row) for row in order if beyond[row] or flips[row]][:MAX_LISTED]
    return Equality(
        table_rows=int(answered[:table_rows].sum()),
        probe_rows=int(answered[table_rows:].sum()),
        refused=len(source.refused),
        refusals=dict(Counter(source.refused.values()).most_common(MAX_LISTED)),
        tolerance=TOLERANCE,
        largest=float(np.max(np.nan_to_num(differences, nan=np.inf), initial=0.0)),
        largest_absolute=_largest_absolute(expected[answered], actual[answered], output),
        differing=int(beyond.sum()),
        flips=int(flips.sum()) if isinstance(output, Classification) else None,
        rows=tuple(
            DifferingRow(
                case=cases[row], difference=float(differences[row]), source=shown[0][row], served=shown[1][row]
            )
            for row in worst
        ),
    )


def _shown_answers(
    source: SourceAnswers, served: Arrays, output: Output, differences: Floats
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the answers of the source and of the graph as text, of several numbers the one that differs most."""
    actual = served[output.tensors[0]].astype(np.float64)
    if isinstance(output, VectorOutput):
        worst = np.where(np.isnan(differences), np.inf, differences).argmax(axis=1)
        return _shown_number(source.numbers, worst, output), _shown_number(actual, worst, output)
    return _shown(source.numbers, source.decisions), _shown(actual, _decisions(served, output, source))


def _decisions(served: Arrays, output: Output, source: SourceAnswers) -> Sequence[str] | None:
    if source.decisions is None or not isinstance(output, Classification):
        return None
    return output.decisions(served)


def scales(source: SourceAnswers, output: Output, table_rows: int) -> Floats:
    """Return the unit that a difference of each number is divided by, see :func:`value_scale`, float64 [1 or numbers].

    A difference of probabilities is absolute. Each target has a unit of its own, and the numbers of an embedding have
    one in common.

    Args:
        source: The answers of the source.
        output: The output of the contract.
        table_rows: The number of rows that are from the table, the first ones.
    """
    if isinstance(output, Classification):
        return np.ones(1)
    if output.task == "embedding":
        return np.array([value_scale(source.numbers, table_rows)])
    return np.array([value_scale(column, table_rows) for column in source.numbers.T])


def value_scale(values: Floats, table_rows: int) -> float:
    """Return the unit that a difference of values is divided by if the value itself is not larger.

    With a table, it is the standard deviation of its rows. The probe rows have no such unit, because the extreme ones
    would make every difference small; it is then so small a value that nine of ten rows have a larger one.

    Args:
        values: The values of the source, float64 [rows, ...], the rows of the table first.
        table_rows: The number of rows that are from the table.
    """
    finite = values[: table_rows or None][np.isfinite(values[: table_rows or None])]
    smallest = float(np.finfo(np.float32).tiny)
    if table_rows:
        return max(float(finite.std()) if finite.size else 0.0, smallest)
    sizes = np.abs(finite[finite != 0])
    return max(float(np.quantile(sizes, 0.1)) if sizes.size else 0.0, smallest)


def _as_float32(numbers: Floats) -> Floats:
    """Return numbers as the graph, which answers in float32, can have them."""
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32).astype(np.float64)


def _differences(expected: Floats, actual: Floats, scale: Floats) -> Floats:
    """Return the difference of each number; NaN where only one of the two answers is a number."""
    with np.errstate(invalid="ignore"):
        differences = np.abs(expected - actual) / np.maximum(scale, np.abs(expected))
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    return np.asarray(np.where(same, 0.0, differences))


def _largest_absolute(expected: Floats, actual: Floats, output: Output) -> float | None:
    """Return the largest difference of several numbers in their units; None for other outputs."""
    if not isinstance(output, VectorOutput):
        return None
    with np.errstate(invalid="ignore"):
        return float(np.max(np.nan_to_num(np.abs(expected - actual)), initial=0.0))


def _shown_number(numbers: Floats, columns: NDArray[np.intp], output: VectorOutput) -> NDArray[np.object_]:
    """Return one of several numbers of each row as text, with its name or its position from 0, object [rows]."""
    names = output.names or [f"number {column}" for column in range(output.length)]
    chosen = np.take_along_axis(numbers, columns[:, None], axis=1)[:, 0]
    return np.array([f"{names[column]} {number:.9g}" for column, number in zip(columns, chosen, strict=True)], object)


def _shown(numbers: Floats, decisions: Sequence[str] | None) -> NDArray[np.object_]:
    """Return the decision of each row, or its first number as text, object [rows]."""
    texts = decisions if decisions is not None else [f"{number:.9g}" for number in numbers[:, 0]]
    return np.array(texts, dtype=object)
