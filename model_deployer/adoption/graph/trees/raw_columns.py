"""The columns that trees read: numbers, rounded numbers, and the codes of categories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from model_deployer.adoption.graph.frame import Block, Frame, note_categories
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.unsupported import UnsupportedModel


def read_numbers(frame: Frame, graph: GraphWriter, width: int | None) -> Block:
    """Return all columns as numbers, double [rows, width].

    Raises:
        UnsupportedModel: if the model was trained with another number of columns.
    """
    check_width(frame, width)
    return frame.numbers(graph)


def check_width(frame: Frame, width: int | None) -> None:
    """Check the number of columns; None if the model does not state it.

    Raises:
        UnsupportedModel: if the model was trained with another number of columns.
    """
    if width is not None and frame.width != width:
        raise UnsupportedModel(f"the trees were trained with {width} columns, but they get {frame.width}")


def round_to_float32(graph: GraphWriter, numbers: str) -> str:
    """Round doubles to float32, as a library does that compares float32 numbers."""
    return graph.number(graph.add("Cast", numbers, to=TensorProto.FLOAT))


def read_category(column: Frame, categories: Sequence[Any], graph: GraphWriter, refuses_others: bool = False) -> Block:
    """Return the position of a category in the list of them.

    Args:
        column: One column, of texts or numbers as the categories are.
        categories: The categories; None and NaN in it stand for a missing value.
        graph: The graph to write to.
        refuses_others: Whether the library raises an error for a value that is not a category.

    Returns:
        Double [rows, 1]: whole numbers from 0, and NaN for a missing value and for a value that is not a category.

    Raises:
        UnsupportedModel: if the categories are neither texts nor numbers.
    """
    codes = {value: code for code, value in enumerate(categories) if not is_missing(value)}
    if not codes:
        return _nothing(column, graph)
    if all(isinstance(value, str) for value in codes):
        block = column.texts(graph)
        keys: dict[str, Any] = {"keys_strings": list(codes)}
    elif all(isinstance(value, int | float | np.number | np.bool_) for value in codes):
        block = column.numbers(graph)
        keys = {"keys_tensor": numpy_helper.from_array(np.array([float(value) for value in codes]))}
    else:
        raise UnsupportedModel(f"the categories of the column '{column.names[0]}' are neither texts nor numbers")
    values = numpy_helper.from_array(np.array(list(codes.values()), float))
    missing = numpy_helper.from_array(np.array([np.nan]))
    assert block.tensor is not None
    encoded = graph.add(
        "LabelEncoder", block.tensor, domain="ai.onnx.ml", values_tensor=values, default_tensor=missing, **keys
    )
    raw = [value if isinstance(value, str) else float(value) for value in codes]
    note_categories(block.origins[0], raw, graph, refuses_others)
    return Block(encoded, "number", block.names, (None,))


def note_missing_form(column: Frame, form: str, graph: GraphWriter) -> None:
    """Remember in which form the library needs a missing text, as :class:`FieldFact` names them."""
    for block in column.blocks:
        if block.kind != "number" and block.origins[0] is not None:
            graph.fact(block.origins[0].field).missing_forms.add(form)


def _nothing(column: Frame, graph: GraphWriter) -> Block:
    """Return NaN for every row of a column that had no value in training."""
    block = column.numbers(graph)
    assert block.tensor is not None
    return Block(graph.add("Mul", block.tensor, graph.constant(np.nan)), "number", block.names, (None,))


def is_missing(value: Any) -> bool:
    """Return whether a category stands for a missing value: None or NaN."""
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
