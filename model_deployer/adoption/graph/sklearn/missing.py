"""What a stored model calls a missing value."""

import math
from typing import Any

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Block, Frame, Origin, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.stored_object import StoredObject


def is_nan(value: Any) -> bool:
    """Return whether a value is NaN or the NA of pandas."""
    if isinstance(value, StoredObject):
        return value.library == "pandas" and "NA" in value.name
    try:
        return value == "NaN" or math.isnan(value)  # "NaN": the imputer of version 0.19 and older
    except TypeError:
        return False


def form_of(value: Any) -> str | None:
    """Return the name of a kind of missing value, as in :class:`FieldFact`; None for a value that is not missing."""
    if value is None:
        return "None"
    if is_nan(value):
        return "NaN"
    return "" if isinstance(value, str) and not value else None


def note_form(origin: Origin | None, value: Any, graph: GraphWriter) -> None:
    """Remember in which form a raw field has to be missing so that the library sees it."""
    form = form_of(value)
    if origin is not None and form is not None:
        graph.fact(origin.field).missing_forms.add(form)


def missing_mask(block: Block, missing_values: Any, graph: GraphWriter) -> Expression:
    """Return where a block has a value that counts as missing: boolean [rows, columns].

    Args:
        block: Numbers, where NaN is missing, or texts, where "" is missing.
        missing_values: The value that the library replaces: NaN, None, a number, or a text.
        graph: The graph to write.
    """
    assert block.tensor is not None
    values = Expression(graph, block.tensor)
    if form_of(missing_values) is not None:
        for origin in block.origins:
            note_form(origin, missing_values, graph)
        return values.is_nan() if block.kind == "number" else values.equals("")
    return values.equals(missing_values if block.kind == "text" else float(missing_values))


def complete_numbers(frame: Frame, graph: GraphWriter) -> tuple[Block, Expression]:
    """Return all columns for a step or model that raises an error for a missing number, double [rows, columns]."""
    block = frame.numbers(graph)
    refuse_missing(block.origins, graph)
    assert block.tensor is not None
    return block, Expression(graph, block.tensor)
