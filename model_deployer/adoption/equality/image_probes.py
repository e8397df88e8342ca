"""Probe rows of images: plain colours, gradients and noise, which show wrong channels, orders and scales."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.equality.pooled_probes import with_pools
from model_deployer.adoption.equality.probes import Probes
from model_deployer.adoption.equality.vector_probes import MAX_NUMBERS
from model_deployer.contract.features import Image
from model_deployer.contract.image_file import png_file

#: How many images of noise, and of the table, are probes.
NOISY, FROM_TABLE = 8, 16

_CHANNELS = ("red", "green", "blue")


def with_images(probes: Probes | None, images: Sequence[Image], table: pl.DataFrame | None, seed: int) -> Probes:
    """Return probe rows with images: each probe image in a row of its own, and random ones in the other rows.

    Args:
        probes: The rows of the other fields; None if there are none.
        images: The fields that are images.
        table: Rows with all fields; None without a table.
        seed: The seed of the noise and of the choice.
    """
    if not images:
        assert probes is not None
        return probes
    random = np.random.default_rng(seed)
    pools = {image.name: [*_probe_images(image, random), *_of_table(image.name, table, random)] for image in images}
    rows = MAX_NUMBERS // sum(image.elements for image in images)
    return with_pools(probes, pools, pl.Binary(), rows, random)


def _probe_images(image: Image, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield what each probe image shows, and its file."""
    for what, pixels in _patterns(image):
        yield what, png_file(pixels)
    for number in range(NOISY):
        yield f"noise, number {number + 1}", png_file(random.integers(0, 256, image.shape, np.uint8))


def _patterns(image: Image) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    yield "black", np.zeros(image.shape, np.uint8)
    yield "white", np.full(image.shape, 255, np.uint8)
    yield "grey", np.full(image.shape, 128, np.uint8)
    height, width, channels = image.shape
    down = np.linspace(0, 255, height).astype(np.uint8)[:, None, None]
    across = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    yield "darker at the top", np.broadcast_to(down, image.shape).copy()
    yield "darker at the left", np.broadcast_to(across, image.shape).copy()
    if channels == 1:
        return
    for position, name in enumerate(_CHANNELS):
        pixels = np.zeros(image.shape, np.uint8)
        pixels[:, :, position] = 255
        yield name, pixels


def _of_table(name: str, table: pl.DataFrame | None, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    if table is None:
        return
    for row in random.permutation(table.height)[:FROM_TABLE]:
        yield "an image of the table", table[name][int(row)]
