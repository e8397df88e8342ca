"""Columns of images: PNG and JPEG files as bytes, or in base64."""

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Image
from model_deployer.contract.image_file import InvalidImage, decode_base64, read_image


def conformed_images(column: pl.Series, feature: Image, offset: int = 0) -> pl.Series:
    """Return a column of files as a conformed frame holds images.

    Args:
        column: The files, as bytes or in base64.
        feature: The feature.
        offset: The number of rows of the table that come before these, for the row number in the error.

    Returns:
        The files as Binary.

    Raises:
        DataError: if the column has another type, or a value is not such an image; the message counts rows from 1.
    """
    if column.dtype not in (pl.Binary, pl.String):
        raise DataError(f"column '{column.name}' holds {column.dtype}; expected {feature.expected()}, or its bytes")
    files = [_content(feature, value, f"'{column.name}', row {offset + row + 1}") for row, value in enumerate(column)]
    return pl.Series(column.name, files, dtype=pl.Binary)


def _content(feature: Image, value: bytes | str | None, location: str) -> bytes:
    if value is None:
        raise DataError(f"column {location}: an image cannot be missing; leave the row out with `data.where`")
    try:
        content = decode_base64(value) if isinstance(value, str) else value
        read_image(feature, content)
    except InvalidImage as error:
        raise DataError(f"column {location}: {error}") from None
    return content
