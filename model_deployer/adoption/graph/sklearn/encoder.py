"""Encode categories as numbers."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame, Origin, refuse_missing, refuse_outside
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.categories import Categories, look_up, note_encoder
from model_deployer.adoption.graph.sklearn.missing import is_nan
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: The smallest and the largest number that become a whole number from 0 when their fraction is cut off.
_WHOLE_NUMBERS = (float(np.nextafter(-1.0, 0.0)), float(np.nextafter(2.0**63, 0.0)))


@transformer("sklearn.OneHotEncoder")
def write_one_hot_encoder(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write one column of zeros and ones per category, without the dropped ones.

    Before version 0.22, the encoder may leave columns as they are; they come last.
    """
    encoded = _encoded_positions(stored, frame.width)
    columns = frame if len(encoded) == frame.width else frame.select(encoded, graph)
    parts = [
        _one_hot_column(stored, index, column, graph)
        for index, column in enumerate(_encoder_columns(stored, columns, graph))
    ]
    others = [position for position in range(frame.width) if position not in encoded]
    return reduce(Frame.__add__, parts, Frame(())) + frame.select(others, graph)


@transformer("sklearn.OrdinalEncoder")
def write_ordinal_encoder(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the position of the category among all categories."""
    columns = []
    refuses_unknown = stored.get("handle_unknown", "error") == "error"
    for index, column in enumerate(_encoder_columns(stored, frame, graph)):
        categories = _categories(stored, index)
        codes = _grouped(stored, index).astype(np.float64)
        if categories.missing is not None and is_nan(categories.values[categories.missing]):
            codes[categories.missing] = stored.get("encoded_missing_value", np.nan)
        unknown = stored.get("unknown_value")
        note_encoder(_origin(column), categories, graph, refuses_unknown)
        columns.append(look_up(column, categories, [*codes, np.nan if unknown is None else unknown], graph))
    return Frame.of_numbers(concat(columns).tensor, frame.names)


@transformer("sklearn.LabelEncoder")
def write_label_encoder(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the position of the category of one column."""
    categories = Categories.of(stored["classes_"])
    note_encoder(_origin(frame), categories, graph, refuses_unknown=True)
    codes = look_up(frame, categories, [*range(len(categories.values)), np.nan], graph)
    return Frame.of_numbers(codes.tensor, frame.names)


@transformer("sklearn.TargetEncoder")
def write_target_encoder(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the mean of the target for each category; with several classes, one column per class."""
    means = np.atleast_1d(stored["target_mean_"])
    encodings = stored["encodings_"]
    columns, names = [], []
    for index, column in enumerate(_encoder_columns(stored, frame, graph)):
        categories = Categories.of(stored["categories_"][index])
        note_encoder(_origin(column), categories, graph, refuses_unknown=False)
        for number, mean in enumerate(means):
            encoding = encodings[index * len(means) + number]
            columns.append(look_up(column, categories, [*encoding, mean], graph))
            names.append(f"{column.names[0]}_{number}" if len(means) > 1 else column.names[0])
    return Frame.of_numbers(concat(columns).tensor, names)


def encodes_some_columns(stored: StoredObject) -> bool:
    """Return whether an encoder of version 0.21 and older reads more columns than it encodes."""
    chosen = stored.get("_categorical_features", stored.get("categorical_features"))
    return chosen is not None and not (isinstance(chosen, str) and chosen == "all")


def one_hot(positions: Expression, width: int) -> Expression:
    """Return a row of zeros with a one at a position, double [rows, width]; only zeros for a position outside."""
    return positions.equals(np.arange(width, dtype=np.float64).reshape(1, -1)).number()


def _encoded_positions(stored: StoredObject, width: int) -> list[int]:
    if not encodes_some_columns(stored):
        return list(range(width))
    chosen = np.zeros(width, bool)
    chosen[np.asarray(stored.get("_categorical_features", stored.get("categorical_features")))] = True
    return [int(position) for position in np.flatnonzero(chosen)]


def _one_hot_column(stored: StoredObject, index: int, column: Frame, graph: GraphWriter) -> Frame:
    handle_unknown = stored.get("handle_unknown", "error")
    categories = _categories(stored, index)
    positions = _grouped(stored, index)
    infrequent = _infrequent(stored, index)
    unknown = -1
    if infrequent is not None and handle_unknown in ("infrequent_if_exist", "warn"):
        unknown = int(positions[infrequent[0]])
    dropped = stored.get("_drop_idx_after_grouping", stored.get("drop_idx_"))
    width = int(positions.max()) + 1
    if dropped is not None and dropped[index] is not None:
        positions = _without(positions, int(dropped[index]))
        unknown = int(_without(np.array(unknown), int(dropped[index])))
        width -= 1
    note_encoder(_origin(column), categories, graph, handle_unknown == "error")
    if version_of(stored) < (0, 24):
        refuse_missing([_origin(column)], graph)
    encoded = one_hot(look_up(column, categories, [*positions, unknown], graph), width)
    return Frame.of_numbers(encoded.tensor, [f"{column.names[0]}_{number}" for number in range(width)])


def _without(positions: NDArray[Any], dropped: int) -> NDArray[Any]:
    """Return the positions after one of them is dropped, which becomes -1."""
    return np.where(positions == dropped, -1, positions - (positions > dropped))


def _grouped(stored: StoredObject, index: int) -> NDArray[Any]:
    """Return the position of each category after the infrequent ones are grouped; they share the last one."""
    count = len(_categories(stored, index).values)
    mappings = stored.get("_default_to_infrequent_mappings")
    if not stored.get("_infrequent_enabled") or mappings is None or mappings[index] is None:
        return np.arange(count)
    return np.append(mappings[index], np.arange(len(mappings[index]), count))


def _infrequent(stored: StoredObject, index: int) -> NDArray[Any] | None:
    indices = stored.get("_infrequent_indices") if stored.get("_infrequent_enabled") else None
    return None if indices is None else indices[index]


def _categories(stored: StoredObject, index: int) -> Categories:
    if _reads_whole_numbers(stored):
        return _whole_numbers(stored, index)
    return Categories.of(stored["categories_"][index])


def _reads_whole_numbers(stored: StoredObject) -> bool:
    """Return whether the encoder takes numbers without their fraction: those of version 0.19 and older do."""
    return "categories_" not in stored or bool(stored.get("_legacy_mode"))


def _whole_numbers(stored: StoredObject, index: int) -> Categories:
    """Return the categories of the encoder of version 0.19 and older, whole numbers from 0."""
    bounds = _attribute(stored, "feature_indices_")
    start, stop = int(bounds[index]), int(bounds[index + 1])
    active = _attribute(stored, "active_features_")
    numbers = range(start, stop) if active is None else [number for number in active if start <= number < stop]
    return Categories.of([int(number) - start for number in numbers])


def _attribute(stored: StoredObject, name: str) -> Any:
    return stored.get(name, stored.get(f"_{name}"))


def _encoder_columns(stored: StoredObject, frame: Frame, graph: GraphWriter) -> list[Frame]:
    is_old = _reads_whole_numbers(stored)
    count = len(_attribute(stored, "feature_indices_")) - 1 if is_old else len(stored["categories_"])
    if count != frame.width:
        raise UnsupportedModel(f"{stored.name} was fitted on {count} columns, but gets {frame.width}")
    columns = frame.columns(graph)
    return [_without_fractions(column, graph) for column in columns] if is_old else columns


def _without_fractions(column: Frame, graph: GraphWriter) -> Frame:
    """Return numbers without their fraction, as the library casts them; it refuses those that are negative then."""
    block = column.numbers(graph)
    assert block.tensor is not None
    refuse_outside(block.origins[0], *_WHOLE_NUMBERS, graph)
    refuse_missing(block.origins, graph)
    return Frame.of_numbers(Expression(graph, block.tensor).integer().number().tensor, block.names, block.origins)


def _origin(column: Frame) -> Origin | None:
    return column.blocks[0].origins[0]
