"""The columns that one step of a model hands to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import Kind


@dataclass(frozen=True)
class Origin:
    """The raw field that a column comes from: the number is ``field * scale + offset``.

    Attributes:
        field: The name of the field.
        scale: The factor; 0 if the column is another function of this field alone.
        offset: The summand.
        nullable: Whether the column is missing where the field is missing.
        domain: The column is missing where the field is below the first or above the second number, if that is not
            None.
    """

    field: str
    scale: float = 1.0
    offset: float = 0.0
    nullable: bool = True
    domain: tuple[float | None, float | None] = (None, None)

    def field_value(self, number: float) -> float:
        """Return the value of the raw field for which the column has this number."""
        return (number - self.offset) / self.scale

    def scaled(self, scale: float, offset: float) -> "Origin":
        """Return the origin of ``column * scale + offset``."""
        return replace(self, scale=self.scale * scale, offset=self.offset * scale + offset)

    def curved(self, lower: float | None = None) -> "Origin":
        """Return the origin of another function of the column alone, which keeps a missing value.

        Args:
            lower: The function is not defined for numbers below this.
        """
        if lower is None or not self.scale:
            return replace(self, scale=0.0)
        limit = self.field_value(lower)
        return replace(self, scale=0.0, domain=(limit, None) if self.scale > 0 else (None, limit))

    def filled(self) -> "Origin":
        """Return the origin of the column after its missing values got a value."""
        return replace(self, nullable=False, domain=(None, None))


@dataclass(frozen=True)
class Block:
    """Columns of one tensor.

    Attributes:
        tensor: The tensor, [rows, width]; None for a raw field whose kind is not known yet.
        kind: The kind of the columns; None for a raw field whose kind is not known yet.
        names: The name of each column.
        origins: For each column, the raw field that it comes from by a linear function; None for another column.
    """

    tensor: str | None
    kind: Kind | None
    names: tuple[str, ...]
    origins: tuple[Origin | None, ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.names)


@dataclass(frozen=True)
class Frame:
    """The columns before or after a step, in their order."""

    blocks: tuple[Block, ...]

    @classmethod
    def of_fields(cls, names: Sequence[str]) -> "Frame":
        """Return the raw fields of a model; the first step that reads a field decides whether it is number or text."""
        return cls(tuple(Block(None, None, (name,), (Origin(name),)) for name in names))

    @classmethod
    def of_numbers(cls, tensor: str, names: Sequence[str], origins: Sequence[Origin | None] | None = None) -> "Frame":
        """Return the columns of one tensor of numbers, double [rows, columns]."""
        return cls((Block(tensor, "number", tuple(names), tuple(origins or [None] * len(names))),))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(name for block in self.blocks for name in block.names)

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(block.width for block in self.blocks)

    def select(self, indices: Sequence[int], graph: GraphWriter) -> "Frame":
        """Return some columns, by their positions from 0, in the order of the positions."""
        starts = np.cumsum([0, *(block.width for block in self.blocks)])
        chosen: list[tuple[int, list[int]]] = []
        for index in indices:
            number = int(np.searchsorted(starts, index, side="right")) - 1
            if not chosen or chosen[-1][0] != number:
                chosen.append((number, []))
            chosen[-1][1].append(int(index - starts[number]))
        return Frame(tuple(_part(self.blocks[number], columns, graph) for number, columns in chosen))

    def numbers(self, graph: GraphWriter) -> Block:
        """Return all columns as one block of numbers, double [rows, width].

        Raises:
            UnsupportedModel: if a column is a text.
        """
        if text := next((block for block in self.blocks if block.kind == "text"), None):
            raise UnsupportedModel(f"the column '{text.names[0]}' holds texts, but the next step calculates with it")
        return self._joined(graph, "number")

    def texts(self, graph: GraphWriter) -> Block:
        """Return all columns as one block of texts, [rows, width].

        Raises:
            UnsupportedModel: if a column is a number.
        """
        if number := next((block for block in self.blocks if block.kind == "number"), None):
            raise UnsupportedModel(f"the column '{number.names[0]}' holds numbers, but the next step reads texts")
        return self._joined(graph, "text")

    def columns(self, graph: GraphWriter) -> list["Frame"]:
        """Return each column as a frame of its own."""
        return [self.select([index], graph) for index in range(self.width)]

    def __add__(self, other: "Frame") -> "Frame":
        return Frame(self.blocks + other.blocks)

    def _joined(self, graph: GraphWriter, kind: Kind) -> Block:
        if not self.blocks:
            raise UnsupportedModel("no column is left for the next step")
        tensors = [block.tensor or graph.input(block.names[0], kind) for block in self.blocks]
        tensor = tensors[0] if len(tensors) == 1 else graph.add("Concat", *tensors, axis=1)
        return Block(tensor, kind, self.names, tuple(origin for block in self.blocks for origin in block.origins))


def note_thresholds(column: Origin | None, thresholds: Sequence[float], graph: GraphWriter) -> None:
    """Remember the raw values at which a column passes thresholds; a column of no raw field is left out."""
    if column is not None and column.scale:
        graph.note_critical(column.field, [column.field_value(float(threshold)) for threshold in thresholds])


def note_categories(
    column: Origin | None, categories: Sequence[float | str], graph: GraphWriter, refuses_others: bool = False
) -> None:
    """Remember the categories of a column as those of its raw field.

    Args:
        column: Where the column comes from; a column of no raw field is left out.
        categories: The categories, without a missing one.
        graph: The graph that remembers.
        refuses_others: Whether the library raises an error for any other value that is not missing.
    """
    if column is None or not column.scale:
        return
    exact = (column.scale, column.offset) == (1.0, 0.0)
    values = [value if exact or isinstance(value, str) else column.field_value(value) for value in categories]
    graph.note_critical(column.field, values)
    graph.fact(column.field).add_categories(values, refuses_others)


def refuse_missing(columns: Sequence[Origin | None], graph: GraphWriter) -> None:
    """Remember that the library raises an error for a missing value of these columns."""
    for column in columns:
        if column is not None:
            fact = graph.fact(column.field)
            fact.accepts_missing = fact.accepts_missing and not column.nullable
            fact.restrict(*column.domain)


def refuse_outside(column: Origin | None, lower: float | None, upper: float | None, graph: GraphWriter) -> None:
    """Remember that the library raises an error for a number of the column out of a range; None does not limit."""
    if column is None or not column.scale:
        return
    limits = [None if limit is None else column.field_value(limit) for limit in (lower, upper)]
    graph.fact(column.field).restrict(*(limits if column.scale > 0 else limits[::-1]))


def _part(block: Block, columns: list[int], graph: GraphWriter) -> Block:
    if columns == list(range(block.width)):
        return block
    assert block.tensor is not None  # a raw field has one column
    tensor = graph.add("Gather", block.tensor, graph.constant(np.array(columns, np.int64)), axis=1)
    return Block(tensor, block.kind, tuple(block.names[i] for i in columns), tuple(block.origins[i] for i in columns))
