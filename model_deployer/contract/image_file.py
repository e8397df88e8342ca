"""PNG and JPEG files as the pixels that a graph takes. What a file would decode to is known from its header."""

import base64
import binascii
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.features import Feature, Image

#: The largest image that is resized, in pixels: that of a telephone with 48 megapixels.
MAX_PIXELS = 50_000_000

#: The bytes at the beginning of a PNG file and of a JPEG file.
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

#: Pillow's modes of 8 bits per channel, or less: others would lose precision without a word.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


class InvalidImage(Exception):
    """A file cannot be read as an image of the field; the message says why, as a sentence without a capital letter."""


def is_image_file(content: bytes) -> bool:
    """Return whether bytes begin as a PNG or a JPEG file does."""
    return content.startswith(_SIGNATURES)


def require_pillow(features: Sequence[Feature]) -> None:
    """Check that Pillow is installed if one of the features is an image.

    Raises:
        EnvironmentFault: if it is missing.
    """
    images = [feature.name for feature in features if isinstance(feature, Image)]
    if images and importlib.util.find_spec("PIL") is None:
        raise EnvironmentFault(
            f"the field '{images[0]}' is an image, which Pillow decodes: install it with "
            "`pip install 'model-deployer[images]'`"
        )


def decode_base64(text: str) -> bytes:
    """Return the bytes of a text in base64 (RFC 4648).

    Raises:
        InvalidImage: if it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidImage("the text is not base64 (RFC 4648); send it without spaces and without `data:`") from None


@dataclass(frozen=True)
class ImageFile:
    """A file whose header was read.

    Attributes:
        feature: The field.
        pixels: The number of pixels that it decodes to.
    """

    feature: Image
    pixels: int
    _image: Any

    @classmethod
    def open(cls, feature: Image, content: bytes) -> "ImageFile":
        """Read the header of a file; nothing is decoded.

        Args:
            feature: The field.
            content: The bytes of the file.

        Raises:
            InvalidImage: if it is not a PNG or JPEG file, or has another size than the field, or too many pixels.
        """
        from PIL import Image as Pillow  # noqa: PLC0415 (an extra)
        from PIL import UnidentifiedImageError  # noqa: PLC0415

        if not is_image_file(content):
            raise InvalidImage("the value is not a PNG or JPEG file")
        try:
            image = Pillow.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError):
            raise InvalidImage("the file is damaged: its header cannot be read") from None
        except Pillow.DecompressionBombError:
            raise InvalidImage(_too_large(feature)) from None
        width, height = image.size
        if not feature.resize and (height, width) != (feature.height, feature.width):
            raise InvalidImage(f"expected {feature.width} x {feature.height} pixels; it has {width:,} x {height:,}")
        if width * height > MAX_PIXELS:
            raise InvalidImage(_too_large(feature))
        if image.mode not in _MODES or _bits_per_channel(content) > 8:
            raise InvalidImage("expected at most 8 bits per channel; it has more")
        return cls(feature, width * height, image)

    @property
    def decoded_bytes(self) -> int:
        """The memory that Pillow takes to decode the file: four bytes per pixel, twice if it is converted."""
        return (4 if self._image.mode == self._mode else 8) * self.pixels

    @property
    def _mode(self) -> str:
        return "L" if self.feature.channels == 1 else "RGB"

    def read(self) -> NDArray[np.uint8]:
        """Decode the file, and resize it if the field says so, by bilinear interpolation with antialiasing.

        Transparency is left out, and the orientation in EXIF is not applied, as by Pillow itself.

        Returns:
            The pixels, uint8 [height, width, channels]: grey, or red, green and blue.

        Raises:
            InvalidImage: if the file is damaged.
        """
        from PIL import Image as Pillow  # noqa: PLC0415

        feature = self.feature
        try:
            self._image.load()
            image = self._image if self._image.mode == self._mode else self._image.convert(self._mode)
        except Exception:  # the decoders raise errors of many types
            raise InvalidImage("the file is damaged: its pixels cannot be read") from None
        if image.size != (feature.width, feature.height):
            image = image.resize((feature.width, feature.height), Pillow.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8).reshape(feature.shape)


def read_image(feature: Image, content: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a file, uint8 [height, width, channels]; raises as :class:`ImageFile`."""
    return ImageFile.open(feature, content).read()


def example_image(height: int, width: int, channels: int) -> str:
    """Return a small PNG file of this size in base64, for the example of a field: colours that change evenly."""
    rows, columns = (np.linspace(0, 255, size).astype(np.uint8) for size in (height, width))
    planes = np.broadcast_arrays(rows[:, None], columns[None, :], np.uint8(128))
    return base64.b64encode(png_file(np.stack(planes[:channels], axis=2))).decode()


def png_file(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file with pixels, uint8 [height, width, channels]."""
    from PIL import Image as Pillow  # noqa: PLC0415

    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)).save(
        file, "PNG", optimize=True
    )
    return file.getvalue()


def _bits_per_channel(content: bytes) -> int:
    """Return the bits of a channel of a PNG file, which Pillow rounds to 8; and 8 for a JPEG file."""
    return content[24] if content.startswith(_SIGNATURES[0]) else 8


def _too_large(feature: Image) -> str:
    return f"the image has more than {MAX_PIXELS:,} pixels; send at most that many, for {feature.expected()}"
