"""Which fields of a contract fill the inputs of a network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import SourceField
from model_deployer.adoption.network.network import Tensor


@dataclass(frozen=True)
class Slot:
    """An input of a network, and the fields that fill it, in their order."""

    tensor: Tensor
    fields: tuple[SourceField, ...]


def arrange(
    inputs: Sequence[Tensor], columns: Sequence[str] | None, vectors: Sequence[str], *, takes_missing: bool = False
) -> tuple[Slot, ...]:
    """Return the fields of each input of a network.

    An input with one number for each row is a field with the name of the input. A single input with several is one
    field for each of them, or a vector if model.yaml names one. Several inputs with several numbers are vectors.

    Args:
        inputs: The inputs of the network.
        columns: The names of its columns, in their order; None if they are not known.
        vectors: The fields that are vectors, as model.yaml has them.
        takes_missing: Whether the network may have an answer for a missing number.

    Raises:
        UnsupportedModel: if the width of an input is not fixed, or the names do not fit.
    """
    slots = _arranged(inputs, columns, vectors)
    return tuple(map(_with_missing, slots)) if takes_missing else slots


def _with_missing(slot: Slot) -> Slot:
    """Return an input whose real numbers may be missing; whole numbers have no form for that."""
    fields = (replace(field, refuses_missing=slot.tensor.is_whole) for field in slot.fields)
    return replace(slot, fields=tuple(fields))


def _arranged(inputs: Sequence[Tensor], columns: Sequence[str] | None, vectors: Sequence[str]) -> tuple[Slot, ...]:
    widths = [_width(tensor, len(columns) if columns and len(inputs) == 1 else None) for tensor in inputs]
    if len(inputs) == 1 and not (vectors and columns is None) and len(inputs[0].sizes) < 2:
        return (_columns(inputs[0], widths[0], columns),)
    names = _names(inputs, columns, vectors)
    return tuple(
        Slot(tensor, (_field(tensor, name, width),)) for tensor, name, width in zip(inputs, names, widths, strict=True)
    )


def _columns(tensor: Tensor, width: int, columns: Sequence[str] | None) -> Slot:
    if columns is not None and len(columns) != width:
        raise UnsupportedModel(
            f"the network reads {width} columns, but {len(columns)} names are stated: list those that it reads, in its "
            f"order, under `adopt.columns`"
        )
    names = columns or [f"x{position}" for position in range(width)]
    return Slot(tensor, tuple(_field(tensor, name, 1) for name in names))


def _names(inputs: Sequence[Tensor], columns: Sequence[str] | None, vectors: Sequence[str]) -> Sequence[str]:
    if columns is not None and len(columns) != len(inputs):
        own = ", ".join(tensor.name for tensor in inputs)
        raise UnsupportedModel(f"the network has the inputs {own}, but {len(columns)} names are stated")
    if columns is None and len(inputs) == len(vectors) == 1:
        return vectors
    return columns or [tensor.name for tensor in inputs]


def _width(tensor: Tensor, columns: int | None) -> int:
    width = tensor.width
    if width is None and len(tensor.sizes) == 1:
        width = columns
    if width is None:
        raise UnsupportedModel(
            f"the input '{tensor.name}' has dimensions of any size: export the model with fixed sizes, or list its "
            f"columns under `adopt.columns`"
        )
    return width


def _field(tensor: Tensor, name: str, width: int) -> SourceField:
    is_vector = width > 1 or len(tensor.sizes) > 1
    if is_vector and tensor.kind == "text":
        raise UnsupportedModel(f"the input '{tensor.name}' is a list of texts: list its columns under `adopt.columns`")
    return SourceField(
        name,
        tensor.kind,
        refuses_missing=tensor.kind == "number",
        is_whole=tensor.is_whole,
        length=width if is_vector else None,
    )
