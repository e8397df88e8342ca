"""Replace missing values, and mark them."""

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Block, Frame, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.missing import form_of, is_nan, missing_mask
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import Kind
from model_deployer.adoption.stored_object import StoredObject


@transformer("sklearn.SimpleImputer", "sklearn.Imputer")
def write_simple_imputer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write a value for each missing one, and, if asked for, a column that marks them."""
    if stored.get("axis", 0) != 0:
        raise UnsupportedModel("an imputer along the rows has no graph writer")
    columns = frame.columns(graph)
    blocks = [_typed(column, _kind(fill), graph) for column, fill in zip(columns, stored["statistics_"], strict=True)]
    imputed = [
        _imputed(stored, block, fill, graph)
        for block, fill in zip(blocks, stored["statistics_"], strict=True)
        if _is_kept(stored, fill)
    ]
    indicator = stored.get("indicator_")
    if indicator is None:
        return _joined(imputed, graph)
    return _joined(imputed, graph) + _marks(indicator, blocks, graph)


@transformer("sklearn.MissingIndicator")
def write_missing_indicator(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write a column of zeros and ones for each column that had missing values."""
    text = isinstance(stored.get("missing_values", np.nan), str)
    blocks = [_typed(column, "text" if text else None, graph) for column in frame.columns(graph)]
    if stored.get("features") == "missing-only" and stored.get("error_on_new"):
        marked = {int(index) for index in stored["features_"]}
        refuse_missing([block.origins[0] for index, block in enumerate(blocks) if index not in marked], graph)
    return _marks(stored, blocks, graph)


def _marks(indicator: StoredObject, blocks: list[Block], graph: GraphWriter) -> Frame:
    frames = []
    for index in indicator["features_"]:
        block = blocks[int(index)]
        mark = missing_mask(block, indicator.get("missing_values", np.nan), graph).number()
        origins = tuple(origin and origin.curved().filled() for origin in block.origins)
        frames.append(Frame.of_numbers(mark.tensor, [f"missing_{block.names[0]}"], origins))
    return reduce(Frame.__add__, frames, Frame(()))


def _kind(fill: Any) -> Kind | None:
    """Whether a column holds texts or numbers, from the value that replaces missing ones; None if it has none."""
    if isinstance(fill, str):
        return "text"
    return None if fill is None else "number"


def _typed(column: Frame, kind: Kind | None, graph: GraphWriter) -> Block:
    """Return a column as one block of texts or numbers; of an unknown kind, as it was read before, or as numbers."""
    block = column.blocks[0]
    kind = kind or block.kind or graph.inputs.get(block.names[0])
    return column.texts(graph) if kind == "text" else column.numbers(graph)


def _is_kept(stored: StoredObject, fill: Any) -> bool:
    """Whether a column stays: one that was always missing when the imputer was fitted has no value to fill in."""
    constant_stays = stored.get("strategy") == "constant" and version_of(stored) < (1, 6)
    return bool(stored.get("keep_empty_features")) or constant_stays or not is_nan(fill)


def _imputed(stored: StoredObject, block: Block, fill: Any, graph: GraphWriter) -> Block:
    assert block.tensor is not None
    missing_values = stored.get("missing_values", np.nan)
    replaces_missing = form_of(missing_values) is not None
    mask = missing_mask(block, missing_values, graph)
    value = str(fill) if block.kind == "text" else _filling(stored, fill)
    tensor = mask.choose(value, Expression(graph, block.tensor)).tensor
    if not replaces_missing:
        refuse_missing(block.origins, graph)
        _note_sentinel(block, missing_values, graph)
    return replace(block, tensor=tensor, origins=tuple(origin and origin.filled() for origin in block.origins))


def _note_sentinel(block: Block, missing_values: Any, graph: GraphWriter) -> None:
    (origin,) = block.origins
    if origin is not None and origin.scale:
        exact = isinstance(missing_values, str)
        graph.note_critical(origin.field, [missing_values if exact else origin.field_value(float(missing_values))])


def _filling(stored: StoredObject, fill: Any) -> float:
    """Return the value to fill in; an imputer of whole numbers fills in whole numbers."""
    whole = getattr(stored.get("_fill_dtype"), "kind", None) in ("i", "u")
    return float(int(fill)) if whole else float(fill)


def _joined(blocks: list[Block], graph: GraphWriter) -> Frame:
    """Return the columns as one block if all are numbers."""
    frame = Frame(tuple(blocks))
    if not blocks or any(block.kind == "text" for block in blocks):
        return frame
    return Frame((frame.numbers(graph),))
