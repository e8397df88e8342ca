"""Tensors of different shapes in one batch: an array with NaN after the ends, and one call of the graph for each shape.

A legal tensor has no NaN, so that the array alone shows the shape of each row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def padded(values: Sequence[NDArray[np.float64] | None], smallest: Sequence[int]) -> NDArray[np.float64]:
    """Return arrays of different shapes as one array with NaN after their ends, float64 [rows, *shape].

    Args:
        values: An array for each row, all with the same number of axes; None for a missing one: NaN in all places.
        smallest: The smallest size of each axis of the result.
    """
    shape = np.max([smallest, *(value.shape for value in values if value is not None)], axis=0)
    column = np.full((len(values), *shape), np.nan)
    for row, value in zip(column, values, strict=True):
        if value is not None:
            row[tuple(map(slice, value.shape))] = value
    return column


def padded_elements(shapes: Sequence[Sequence[int]]) -> int:
    """Return the number of numbers of tensors of these shapes in one array."""
    return len(shapes) * int(np.prod(np.max(shapes, axis=0))) if len(shapes) else 0


def concatenated(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate arrays along the rows; if they have other sizes in other axes, with NaN after the ends."""
    try:
        return np.concatenate(arrays)
    except ValueError:  # other sizes, which are rare: most columns have single values
        shapes = np.array([array.shape[1:] for array in arrays])
        ends = [[(0, 0), *((0, size) for size in shapes.max(axis=0) - shape)] for shape in shapes]
        parts = [np.pad(array, end, constant_values=np.nan) for array, end in zip(arrays, ends, strict=True)]
        return np.concatenate(parts)


def shapes_of(tensors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the shape of each tensor in an array with NaN after the ends, int64 [rows, axes]; 0 for a missing one."""
    shapes = np.zeros((len(tensors), tensors.ndim - 1), np.int64)
    for axis in range(tensors.ndim - 1):
        # The first number of each other axis is there in every tensor.
        edge = tensors[(slice(None), *(slice(None) if each == axis else 0 for each in range(tensors.ndim - 1)))]
        shapes[:, axis] = (~np.isnan(edge)).sum(axis=1)
    return shapes


def unpadded(tensors: NDArray[np.float64]) -> list[NDArray[np.float64] | None]:
    """Return each tensor of an array with NaN after the ends, without them; None for a missing one."""
    shapes = shapes_of(tensors).tolist()
    return [row[tuple(map(slice, shape))] if all(shape) else None for row, shape in zip(tensors, shapes, strict=True)]


class Session(Protocol):
    """A session of ONNX Runtime, which the contract does not import."""

    def get_inputs(self) -> Sequence[Any]:
        """Return the name, type and shape of each input."""

    def get_outputs(self) -> Sequence[Any]:
        """Return the name of each output."""

    def run(self, names: Sequence[str], inputs: Any, /) -> Sequence[Any]:
        """Return these outputs for inputs by name."""


class Graph:
    """Calls a graph with the rows of a batch, whose tensors may differ in shape.

    Args:
        session: A session with the graph.
        outputs: The names of the outputs that are wanted; None for all.
    """

    def __init__(self, session: Session, outputs: Sequence[str] | None = None) -> None:
        self._session = session
        self._outputs = [value.name for value in session.get_outputs()] if outputs is None else list(outputs)
        self._tensors = _free_tensors(session)

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name, [rows, n] each.

        Args:
            inputs: The inputs by name, [rows, *shape] each; tensors have NaN after their ends.
        """
        return run_by_shape(self._run, inputs, self._tensors) if self._tensors else self._run(inputs)

    def _run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))


def _free_tensors(session: Session) -> dict[str, list[int]]:
    """Return the shape of a missing tensor for each input that takes tensors with a free axis, by name."""
    shapes = {
        value.name: [size if isinstance(size, int) else 0 for size in value.shape[1:]]
        for value in session.get_inputs()
        if value.type == "tensor(double)" and len(value.shape) > 2
    }
    return {name: [size or 1 for size in shape] for name, shape in shapes.items() if 0 in shape}


def run_by_shape(
    run: Callable[[Arrays], Arrays], columns: Arrays, smallest: Mapping[str, Sequence[int]]
) -> dict[str, NDArray[Any]]:
    """Run a graph once for the rows of each shape, and return its outputs in the order of the rows.

    Args:
        run: Returns the outputs of the graph, [rows, n] each, for its inputs.
        columns: The inputs: [rows, *shape] each; those of tensors have NaN after the ends.
        smallest: The shape of a missing tensor, by the name of each field that takes tensors with a free axis.
    """
    if all(_is_full(columns[name]) for name in smallest):
        return dict(run(columns))
    outputs: dict[str, NDArray[Any]] = {}
    rows = len(next(iter(columns.values())))
    for indices, shapes in _groups(columns, smallest):
        part = {name: array[indices] for name, array in columns.items()}
        part |= {name: part[name][(slice(None), *map(slice, shape))] for name, shape in shapes.items()}
        for name, array in run({name: np.ascontiguousarray(array) for name, array in part.items()}).items():
            outputs.setdefault(name, np.empty((rows, *array.shape[1:]), array.dtype))[indices] = array
    return outputs


def _is_full(tensors: NDArray[np.float64]) -> bool:
    """Return whether all tensors have the shape of the array: then none has NaN in its last place."""
    return not np.isnan(tensors.reshape(len(tensors), -1)[:, -1]).any()


def _groups(
    columns: Arrays, smallest: Mapping[str, Sequence[int]]
) -> Iterator[tuple[NDArray[np.int64], dict[str, list[int]]]]:
    """Yield the rows that have the same shapes, and the shapes by name."""
    shapes = {name: shapes_of(columns[name]) for name in smallest}
    for name, sizes in shapes.items():
        sizes[sizes[:, 0] == 0] = smallest[name]
    distinct, group = np.unique(np.hstack(list(shapes.values())), axis=0, return_inverse=True)
    ends = np.cumsum([sizes.shape[1] for sizes in shapes.values()])[:-1]
    for index, row in enumerate(distinct):
        parts = [part.tolist() for part in np.split(row, ends)]
        yield np.flatnonzero(group.reshape(-1) == index), dict(zip(shapes, parts, strict=True))
