"""Encode categories as numbers."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame, Origin, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.categories import Categories, look_up, note_encoder
from model_deployer.adoption.graph.sklearn.missing import is_nan
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@transformer("sklearn.OneHotEncoder")
def write_one_hot_encoder(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write one column of zeros and ones per category, without the dropped ones."""
    parts = [
        _one_hot_column(stored, index, column, graph)
        for index, column in enumerate(_encoder_columns(stored, frame, graph))
    ]
    return reduce(Frame.__add__, parts, Frame(()))


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


def one_hot(positions: Expression, width: int) -> Expression:
    """Return a row of zeros with a one at a position, double [rows, width]; only zeros for a position outside."""
    return positions.equals(np.arange(width, dtype=np.float64).reshape(1, -1)).number()


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
    if "categories_" in stored and not stored.get("_legacy_mode"):
        return Categories.of(stored["categories_"][index])
    return _whole_numbers(stored, index)


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
    if "categories_" in stored and not stored.get("_legacy_mode"):
        count = len(stored["categories_"])
    else:
        count = len(_attribute(stored, "feature_indices_")) - 1
    if count != frame.width:
        raise UnsupportedModel(f"{stored.name} was fitted on {count} columns, but gets {frame.width}")
    return frame.columns(graph)


def _origin(column: Frame) -> Origin | None:
    return column.blocks[0].origins[0]
