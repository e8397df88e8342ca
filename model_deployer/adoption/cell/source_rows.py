"""Rows in the form that a source gets, and its answers in the form of a graph's outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.interface import label_text
from model_deployer.contract.features import Boolean, Feature, Image, Integer, NumberArray
from model_deployer.contract.outputs import Classification, Output, VectorOutput

Arrays = Mapping[str, NDArray[Any]]


def source_columns(features: Sequence[Feature], columns: Arrays) -> dict[str, NDArray[Any]]:
    """Return columns as a table of the source's own program would have them.

    Args:
        features: The features, in the order of the source.
        columns: The inputs of a graph: float64 with NaN, or str objects with "", [rows] or [rows, 1] each; of a vector
            [rows, length], and of an image uint8 [rows, height, width, channels].

    Returns:
        By name: int64 for whole numbers and bool for booleans without missing values, float64 for other numbers, and
        objects with None for missing texts; [rows] each. Vectors, sequences, tensors and images stay as they are.
    """
    return {feature.name: _column(feature, columns[feature.name]) for feature in features}


def output_tensors(output: Output, answers: Arrays, answer: str, half_width: float | None) -> dict[str, NDArray[Any]]:
    """Return the answers of a source as the output tensors of a graph, float32 [rows, n]; NaN in refused rows.

    Args:
        output: The output of the contract.
        answers: What the source answers, by name.
        answer: The name of the answer that counts: ``probabilities``, ``decision`` or ``value``.
        half_width: The distance of the ends of an interval from the value; None without an interval.

    Raises:
        ValueError: if the source does not give this answer, or not in the form of the contract.
    """
    if answer not in answers:
        raise ValueError(f"expected '{answer}', but the source gives {', '.join(sorted(answers)) or 'nothing'}")
    values = answers[answer]
    if isinstance(output, Classification):
        probabilities = values if answer == "probabilities" else _one_hot(values, output.labels)
        if probabilities.shape[1:] != (len(output.labels),):
            raise ValueError(f"expected {len(output.labels)} probabilities for each row, one for each label")
        return {"probabilities": probabilities.astype(np.float32)}
    with np.errstate(over="ignore"):  # such a row becomes infinite, and is refused
        numbers = values.reshape(len(values), -1).astype(np.float32)
    if numbers.shape[1] != output.width:
        raise ValueError(f"expected {_numbers(output.width)} for each row, but the source gives {numbers.shape[1]}")
    if isinstance(output, VectorOutput):
        return {"values": numbers}
    return {"value": numbers} if half_width is None else with_interval(numbers, half_width)


def _numbers(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def with_interval(values: NDArray[np.float32], half_width: float) -> dict[str, NDArray[Any]]:
    """Return the output tensors of a quantity with an interval: ``value``, ``lower`` and ``upper``, float32 [rows, 1].

    Args:
        values: The values, float32 [rows, 1].
        half_width: The distance of the ends of the interval from the value.
    """
    half = np.float32(half_width)
    return {"value": values, "lower": values - half, "upper": values + half}


def _column(feature: Feature, values: NDArray[Any]) -> NDArray[Any]:
    if isinstance(feature, NumberArray | Image):
        return values
    values = values.reshape(-1)
    if feature.dtype == "string":
        texts = values.astype(object)
        texts[values == ""] = None
        return texts
    if isinstance(feature, Integer | Boolean) and not np.isnan(values).any():
        return values.astype(np.int64 if isinstance(feature, Integer) else np.bool_)
    return values


def _one_hot(decisions: NDArray[Any], labels: Sequence[str]) -> NDArray[np.float64]:
    """Return 1 for the label that is decided for, and 0 for the others, float64 [rows, labels]."""
    texts = np.array([None if label is None else label_text(label) for label in decisions.reshape(-1)], dtype=object)
    chosen = texts[:, None] == np.array(labels, dtype=object)[None, :]
    return np.where(chosen.any(axis=1, keepdims=True), chosen, np.nan)
