"""The inputs of a network that take numbers in several axes, of fixed or of free sizes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from onnx import TensorProto

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import SourceField
from model_deployer.adoption.network.image_input import UnknownSize
from model_deployer.adoption.network.network import Network, Tensor
from model_deployer.contract.features import Dimensions, check_dimensions

#: The whole numbers that the smaller types of an input can hold.
_BOUNDS: Mapping[int, tuple[float, float]] = {
    TensorProto.BOOL: (0.0, 1.0),
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.INT32: (-(2.0**31), 2.0**31 - 1),
}

#: A free axis in the example of a message.
_EXAMPLE = "[1, 500]"


@dataclass(frozen=True)
class StatedTensor:
    """What model.yaml, or else the table, says of a field that is a tensor.

    Attributes:
        dimensions: The size of each axis, or the smallest and the largest size of a free one; None if the network has
            to say it.
        minimum: The smallest number; None if it is not stated.
        maximum: The largest number; None if it is not stated.
    """

    dimensions: Dimensions | None = None
    minimum: float | None = None
    maximum: float | None = None


def tensor_field(tensor: Tensor, name: str, stated: StatedTensor) -> SourceField:
    """Return the field of an input that takes tensors.

    Raises:
        UnknownSize: if an axis is free, and neither model.yaml nor a table says how large it may be.
        UnsupportedModel: if the input takes texts or tensors of another shape, or too many numbers.
    """
    if tensor.kind == "text":
        raise UnsupportedModel(f"the input '{tensor.name}' is a list of texts: list its columns under `adopt.columns`")
    dimensions = tuple(_dimensions(tensor, name, stated.dimensions or tensor.sizes))
    try:
        check_dimensions(dimensions)
    except ValueError as error:
        raise UnsupportedModel(f"the input '{tensor.name}' cannot be a tensor: {error}") from error
    low, high = _BOUNDS.get(tensor.element, (None, None))
    return SourceField(
        name,
        "number",
        refuses_missing=True,
        is_whole=tensor.is_whole,
        dimensions=dimensions,
        minimum=low if stated.minimum is None else stated.minimum,
        maximum=high if stated.maximum is None else stated.maximum,
    )


def _dimensions(
    tensor: Tensor, name: str, stated: Dimensions | tuple[int | None, ...]
) -> Iterator[int | tuple[int, int]]:
    """Yield the sizes of the axes: those of the network, and what is stated for its free ones."""
    fits = len(stated) == len(tensor.sizes) and all(
        size is None or each in (None, size, (size, size)) for size, each in zip(tensor.sizes, stated, strict=False)
    )
    if not fits:
        known = "x".join(str(size or "?") for size in tensor.sizes)
        raise UnsupportedModel(
            f"the input '{tensor.name}' takes tensors of the sizes {known} for each row, and '{name}' has others: "
            f"correct its `shape` under `features`, such as {example_shape(tensor)}"
        )
    for size, each in zip(tensor.sizes, stated, strict=True):
        if size is None and each is None:
            raise UnknownSize(
                f"the input '{tensor.name}' has dimensions of any size: state under `features` how large they may be, "
                f"such as `{name}: {{kind: tensor, shape: {example_shape(tensor)}}}`, give a table with such tensors, "
                f"or describe the image that it takes"
            )
        yield size or each  # type: ignore[misc]


def example_shape(tensor: Tensor) -> str:
    """Return what model.yaml could say of the shape of an input."""
    return f"[{', '.join(str(size or _EXAMPLE) for size in tensor.sizes)}]"


def within_table(field: SourceField, tensor: Tensor, network: Network) -> SourceField:
    """Return a field of whole numbers that the network looks up in a table, with the numbers of its rows as bounds."""
    rows = network.table_rows(tensor.name)
    if field.dimensions is None or not field.is_whole or rows is None:
        return field
    last = rows - 1.0
    maximum = last if field.maximum is None else min(last, field.maximum)
    return replace(field, minimum=max(0.0, field.minimum or 0.0), maximum=maximum)
