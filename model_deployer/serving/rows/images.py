"""The values of images: the type as which msgspec decodes them, their checks, and their columns."""

import re
from abc import ABCMeta
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.features import Feature, Image
from model_deployer.contract.image_file import ImageFile, InvalidImage, decode_base64, is_image_file
from model_deployer.serving import memory
from model_deployer.serving.rows.invalid_value import InvalidValue

Pixels = NDArray[np.uint8]

_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


def has_images(features: Sequence[Any]) -> bool:
    """Return whether one of the fields is an image."""
    return any(isinstance(feature, Image) for feature in features)


def lone_image(features: Sequence[Feature]) -> str | None:
    """Return the name of the image that can be a row by itself: the only one, and no other field is required."""
    required = [feature for feature in features if feature.required]
    return required[0].name if len(required) == 1 and isinstance(required[0], Image) else None


def image_type(feature: Image) -> Any:
    """Return the type of an image, which :func:`serving.rows.decoding.json_decoder` decodes by its function ``read``.

    msgspec requires an instance of the type as the result, so arrays are registered as a subclass.
    """

    def read(value: Any) -> Pixels:
        try:
            return check_image(feature, value)
        except InvalidValue:
            raise ValueError from None

    kind = ABCMeta("Pixels", (), {"read": staticmethod(read)})
    kind.register(np.ndarray)
    return kind


def check_image(feature: Image, value: Any) -> Pixels:
    """Return the pixels of an image, uint8 [height, width, channels]. Their memory is reserved for the request.

    Args:
        feature: The field.
        value: The file as bytes, or its base64 as text or bytes; or its pixels as an array of this shape and dtype.

    Raises:
        InvalidValue: if it is not such an image.
        RequestError: as :func:`model_deployer.serving.memory.reserve`.
    """
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or value.shape != feature.shape:
            shape = ", ".join(map(str, feature.shape))
            raise InvalidValue("invalid_image", f"expected pixels of the type UINT8 and the shape [{shape}]")
        return value
    if not isinstance(value, str | bytes):
        raise InvalidValue("wrong_type")
    try:
        file = ImageFile.open(feature, _content(value))
        memory.reserve(2 * feature.elements)  # in the row, and in the column
        with memory.borrow(file.decoded_bytes):
            return file.read()
    except InvalidImage as error:
        raise InvalidValue("invalid_image", f"{error}") from None


def image_column(values: Sequence[Pixels]) -> Pixels:
    """Return images as an input of the graph, uint8 [rows, height, width, channels]."""
    return np.stack(values)


def _content(value: str | bytes) -> bytes:
    if isinstance(value, str):
        return decode_base64(value)
    return value if is_image_file(value) or not _BASE64.fullmatch(value) else decode_base64(value.decode())
