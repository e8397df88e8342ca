"""Different steps for different columns."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.pipeline import weighted, write_step
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@transformer("sklearn.ColumnTransformer")
def write_column_transformer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the steps in the order in which they were fitted; their outputs are next to each other."""
    weights = stored.get("transformer_weights") or {}
    parts = [
        weighted(write_step(step, frame.select(positions, graph), graph), weights.get(name), graph)
        for name, step, positions in _steps(stored, frame.names)
    ]
    return reduce(Frame.__add__, parts, Frame(()))


def _steps(stored: StoredObject, names: Sequence[str]) -> Iterator[tuple[str, Any, list[int]]]:
    """Yield the name, the fitted step, and the positions of the columns; steps without columns are left out."""
    resolved = stored.get("_transformer_to_input_indices") or {}  # since 1.0
    for name, step, columns in stored["transformers_"]:
        positions = resolved[name] if name in resolved else column_positions(columns, names)
        if len(positions) and not (isinstance(step, str) and step == "drop"):
            yield name, step, [int(position) for position in positions]


def column_positions(columns: Any, names: Sequence[str]) -> list[int]:
    """Return the positions of columns that are stated as names, positions, a mask, a slice, or one of them.

    Raises:
        UnsupportedModel: if a name is not among the columns, or if the columns are stated in another way.
    """
    if isinstance(columns, StoredObject):
        columns = _plain(columns)
    if isinstance(columns, slice):
        return _slice_positions(columns, names)
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    if columns is None:
        return []
    if all(isinstance(column, (bool, np.bool_)) for column in columns):
        return [int(position) for position in np.flatnonzero(columns)]
    return [_position(column, names) for column in columns]


def _plain(columns: StoredObject) -> Any:
    """Return the list or slice inside of a stored object."""
    if columns.name == "slice":
        return slice(*columns.arguments)
    if isinstance(columns.get("data"), list):  # _RemainderColsList of versions 1.5 to 1.8
        return columns["data"]
    raise UnsupportedModel(f"the columns of a step are stated as {columns.path}")


def _position(column: Any, names: Sequence[str]) -> int:
    if isinstance(column, str):
        try:
            return list(names).index(column)
        except ValueError:
            raise UnsupportedModel(f"a step reads the column '{column}', which the model does not have") from None
    return int(column) % len(names)


def _slice_positions(columns: slice, names: Sequence[str]) -> list[int]:
    """Return the positions of a slice; a slice of names includes its end."""
    start, stop = columns.start, columns.stop
    if isinstance(start, str):
        start = _position(start, names)
    if isinstance(stop, str):
        stop = _position(stop, names) + 1
    return list(range(len(names)))[slice(start, stop, columns.step)]
