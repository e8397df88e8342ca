"""Which fields of a contract fill the inputs of a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import SourceField
from model_deployer.adoption.network.image_input import StatedImage, UnknownSize, image_input
from model_deployer.adoption.network.network import Tensor
from model_deployer.adoption.network.sequence_input import Fill, StatedSequence, fill_of, sequence_field
from model_deployer.adoption.network.tensor_input import StatedTensor, tensor_field
from model_deployer.contract.source_runner import Pixels


@dataclass(frozen=True)
class Slot:
    """An input of a network, and the fields that fill it, in their order.

    Attributes:
        tensor: The input.
        fields: The fields.
        pixels: For an image, what becomes of its pixels; None for other fields.
        fill: What fills it; a mask and zeros have no field, but the length of a sequence.
        sequence: The name of this sequence, or of that of a field of its own.
        padding: The number after the end of a shorter sequence.
    """

    tensor: Tensor
    fields: tuple[SourceField, ...]
    pixels: Pixels | None = None
    fill: Fill = "values"
    sequence: str | None = None
    padding: float = 0.0

    @property
    def is_tensor(self) -> bool:
        """Whether its field is a tensor."""
        return any(each.dimensions is not None for each in self.fields)


@dataclass(frozen=True)
class StatedFields:
    """What is known of the fields of a network besides its inputs.

    Attributes:
        columns: The names of its columns, in their order; None if they are not known.
        vectors: The fields that are vectors, as model.yaml has them.
        images: The fields that are images, as model.yaml has them.
        pixels: What the source itself says of the pixels that it takes; None if it says nothing.
        sequences: The fields that are sequences, as model.yaml has them.
        tensors: The fields that are tensors, as model.yaml or the table has them.
    """

    columns: Sequence[str] | None = None
    vectors: Sequence[str] = ()
    images: Mapping[str, StatedImage] = field(default_factory=dict)
    pixels: Pixels | None = None
    sequences: Mapping[str, StatedSequence] = field(default_factory=dict)
    tensors: Mapping[str, StatedTensor] = field(default_factory=dict)

    @property
    def with_many_numbers(self) -> list[str]:
        """The fields that are not single values."""
        return [*self.vectors, *self.images, *self.sequences, *self.tensors]


def arrange(inputs: Sequence[Tensor], stated: StatedFields, *, takes_missing: bool = False) -> tuple[Slot, ...]:
    """Return the fields of each input of a network.

    An input with one number for each row is a field with the name of the input. A single input with several is one
    field for each of them, or a vector if model.yaml names one. Several inputs with several numbers are vectors. An
    input with several axes is a tensor, or an image or a vector if model.yaml says so.

    Args:
        inputs: The inputs of the network.
        stated: What is known of its fields.
        takes_missing: Whether the network may have an answer for a missing number.

    Raises:
        UnknownSize: if the width of an input or the size of an image is not fixed.
        UnsupportedModel: if the names do not fit, or an input does not take the images that model.yaml describes.
    """
    slots = _arranged(inputs, stated)
    return tuple(map(_with_missing, slots)) if takes_missing else slots


def _with_missing(slot: Slot) -> Slot:
    """Return an input whose real numbers may be missing; whole numbers and images have no form for that."""
    is_complete = slot.tensor.is_whole or slot.pixels is not None or slot.sequence is not None or slot.is_tensor
    fields = (replace(each, refuses_missing=is_complete) for each in slot.fields)
    return replace(slot, fields=tuple(fields))


def _arranged(inputs: Sequence[Tensor], stated: StatedFields) -> tuple[Slot, ...]:
    has_columns = not (stated.with_many_numbers and stated.columns is None) and not stated.images
    if len(inputs) == 1 and has_columns and len(inputs[0].sizes) < 2:
        return (_columns(inputs[0], stated.columns),)
    own = [tensor for tensor in inputs if not stated.sequences or fill_of(tensor, inputs) == "values"]
    names = _names(own, stated)
    _refuse_other_names(names, stated)
    slots = {tensor.name: _slot(tensor, name, stated) for tensor, name in zip(own, names, strict=True)}
    return tuple(slots.get(tensor.name) or _side(tensor, inputs, stated) for tensor in inputs)


def _side(tensor: Tensor, inputs: Sequence[Tensor], stated: StatedFields) -> Slot:
    """Return an input that has no field of its own: a mask of a sequence, or zeros."""
    (name, *others) = stated.sequences
    if others:
        raise UnsupportedModel(f"the network has the input '{tensor.name}' and several sequences: export it with one")
    return Slot(tensor, (), fill=fill_of(tensor, inputs), sequence=name)


def _slot(tensor: Tensor, name: str, stated: StatedFields) -> Slot:
    """Return an input with a field of its own."""
    if sequence := stated.sequences.get(name):
        return Slot(tensor, (sequence_field(tensor, name, sequence),), sequence=name, padding=sequence.padding)
    if name in stated.tensors or (len(tensor.sizes) > 1 and name not in stated.vectors and name not in stated.images):
        return Slot(tensor, (tensor_field(tensor, name, stated.tensors.get(name, StatedTensor())),))
    if name not in stated.images:
        return Slot(tensor, (_field(tensor, name, _width(tensor, None)),))
    image = image_input(tensor, name, stated.images[name], stated.pixels)
    return Slot(tensor, (SourceField(name, "number", refuses_missing=True, image=image.shape),), image.pixels)


def _columns(tensor: Tensor, columns: Sequence[str] | None) -> Slot:
    width = _width(tensor, columns)
    if columns is not None and len(columns) != width:
        raise UnsupportedModel(
            f"the network reads {width} columns, but {len(columns)} names are stated: list those that it reads, in its "
            f"order, under `adopt.columns`"
        )
    names = columns or [f"x{position}" for position in range(width)]
    return Slot(tensor, tuple(_field(tensor, name, 1) for name in names))


def _names(inputs: Sequence[Tensor], stated: StatedFields) -> Sequence[str]:
    if stated.columns is not None and len(stated.columns) != len(inputs):
        own = ", ".join(tensor.name for tensor in inputs)
        raise UnsupportedModel(f"the network has the inputs {own}, but {len(stated.columns)} names are stated")
    if stated.columns is None and len(inputs) == len(stated.with_many_numbers) == 1:
        return stated.with_many_numbers
    return stated.columns or [tensor.name for tensor in inputs]


def _refuse_other_names(names: Sequence[str], stated: StatedFields) -> None:
    for name in (*stated.images, *stated.sequences):
        if name not in names:
            raise UnsupportedModel(
                f"the network has the inputs {', '.join(names)}, and '{name}' is not one of them: name the field so "
                f"under `features`, or list the fields in the order of the inputs under `adopt.columns`"
            )


def _width(tensor: Tensor, columns: Sequence[str] | None) -> int:
    width = tensor.width
    if width is None and len(tensor.sizes) == 1 and columns:
        width = len(columns)
    if width is None:
        raise UnknownSize(
            f"the input '{tensor.name}' has dimensions of any size: export the model with fixed sizes, list its "
            f"columns under `adopt.columns`, or describe the sequence that it takes under `features`"
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
