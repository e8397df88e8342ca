"""The input of a network that takes images: their size, and what becomes of their pixels."""

from dataclasses import dataclass

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.network.network import Tensor
from model_deployer.contract.source_runner import Layout, Pixels

_CHANNELS = (1, 3)

#: What is asked for where the source does not say how it takes pixels; the numbers are those of torchvision.
PIXELS_EXAMPLE = "pixels: {range: [0, 1], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"


class UnknownSize(UnsupportedModel):
    """A dimension of an input is free, and model.yaml does not say what it is."""


@dataclass(frozen=True)
class StatedImage:
    """What model.yaml says of a field that is an image.

    Attributes:
        size: The height and the width; None if the network has to say it.
        channels: The number of channels; None if the network has to say it.
        pixels: What becomes of the pixels; None if the source has to say it.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    pixels: Pixels | None = None

    @property
    def layout(self) -> Layout | None:
        """Where model.yaml says that the channels are."""
        return None if self.pixels is None else self.pixels.layout


@dataclass(frozen=True)
class ImageInput:
    """An input of a network that takes images.

    Attributes:
        shape: The height, the width and the number of channels.
        pixels: What becomes of the pixels, with the layout of the input.
    """

    shape: tuple[int, int, int]
    pixels: Pixels


def image_input(tensor: Tensor, name: str, stated: StatedImage, source: Pixels | None) -> ImageInput:
    """Return how an input of a network takes the images of a field.

    Args:
        tensor: The input.
        name: The name of the field.
        stated: What model.yaml says of it.
        source: What the source itself says of its pixels; None if it says nothing.

    Raises:
        UnknownSize: if neither says how large an image is.
        UnsupportedModel: if the input takes no such images, or it is not known what becomes of the pixels.
    """
    layout, shape = _layout(tensor, name, stated)
    pixels = _unscaled(stated.pixels, tensor.name) if tensor.is_whole else _scaled(stated.pixels, source, name)
    for key, numbers in (("mean", pixels.mean), ("std", pixels.std)):
        if len(numbers) not in (0, 1, shape[2]):
            raise UnsupportedModel(f"`{key}` of the pixels of '{name}' has {len(numbers)} numbers for one channel")
    return ImageInput(shape, pixels.model_copy(update={"layout": layout}))


def _scaled(stated: Pixels | None, source: Pixels | None, name: str) -> Pixels:
    """Return the form of real numbers: what model.yaml says, and else the source."""
    keys = {key: value for pixels in (source, stated) if pixels for key, value in pixels.to_json().items()}
    if not keys.keys() & {"range", "mean", "std"}:
        raise UnsupportedModel(
            f"the source does not say which numbers the network takes for the pixels of '{name}': add "
            f"`{PIXELS_EXAMPLE}` to the field under `features`, with the numbers that its own program has"
        )
    return Pixels.model_validate({"range": (0, 1), **keys})


def _unscaled(pixels: Pixels | None, name: str) -> Pixels:
    """Return the form of whole numbers, which are the pixels themselves."""
    unscaled = Pixels(range=(0, 255))
    if pixels is None:
        return unscaled
    if {"mean", "std"} & pixels.model_fields_set or ("range" in pixels.model_fields_set and pixels.range != (0, 255)):
        raise UnsupportedModel(
            f"the input '{name}' takes whole numbers, which are the pixels themselves: leave `range`, `mean` and `std` "
            f"out of `pixels` under `features`"
        )
    return unscaled.model_copy(update={"order": pixels.order})


def _layout(tensor: Tensor, name: str, stated: StatedImage) -> tuple[Layout, tuple[int, int, int]]:
    known = "x".join(str(size or "?") for size in tensor.sizes)
    fitting = _fitting(tensor, stated) if len(tensor.sizes) == 3 else []
    if not fitting:
        raise UnsupportedModel(
            f"the input '{tensor.name}' takes tensors of the sizes {known} for each row, which are not images of "
            f"'{name}' as model.yaml describes them: correct its `size`, `channels` and `pixels.layout`"
        )
    if len(fitting) > 1:
        raise UnknownSize(
            f"the input '{tensor.name}' does not show whether the channels of '{name}' come first: add `pixels: "
            f"{{layout: channels_first}}` or `channels_last` to the field under `features`"
        )
    ((layout, (height, width, channels)),) = fitting
    if not height or not width:
        raise UnknownSize(
            f"the network takes images of any size: add `size: [height, width]` to '{name}' under `features`"
        )
    if not channels:
        raise UnknownSize(
            f"the network does not say how many channels it takes: add `channels: 3` to '{name}' under `features`"
        )
    return layout, (height, width, channels)


def _fitting(tensor: Tensor, stated: StatedImage) -> list[tuple[Layout, tuple[int, int, int]]]:
    """Return the layouts that agree with what is known, with the shape; 0 for what is not known.

    Of two, the one counts that finds its channels in the input.
    """
    first, second, third = (size or 0 for size in tensor.sizes)
    shapes: dict[Layout, tuple[int, int, int]] = {
        "channels_first": (second, third, first),
        "channels_last": (first, second, third),
    }
    wanted = (*(stated.size or (0, 0)), stated.channels or 0)
    fitting = []
    for layout, shape in shapes.items():
        agrees = all(not own or not other or own == other for own, other in zip(shape, wanted, strict=True))
        height, width, channels = (own or other for own, other in zip(shape, wanted, strict=True))
        if agrees and channels in (0, *_CHANNELS) and stated.layout in (None, layout):
            fitting.append((layout, (height, width, channels)))
    certain = [(layout, shape) for layout, shape in fitting if shapes[layout][2]]
    return certain or fitting
