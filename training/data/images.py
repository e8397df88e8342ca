"""Columns of images: PNG and JPEG files as bytes, in base64, or as their paths."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Image
from model_deployer.contract.image_file import InvalidImage, decode_base64, read_image


def with_image_files(
    frame: pl.DataFrame, names: Sequence[str], folders: Sequence[Path]
) -> tuple[pl.DataFrame, str | None]:
    """Return a table in which the paths of images are replaced by the bytes of these files.

    Args:
        frame: The table.
        names: The columns with images. One of texts holds paths if the first of them is that of a file.
        folders: The folders where a relative path may start; the first one with the file counts.

    Returns:
        The table, and the digest of the files; None if no column holds paths.

    Raises:
        DataError: if some of the paths are not those of files; the message counts rows from 1.
    """
    digest, columns = hashlib.sha256(), []
    for name in names:
        column = frame[name]
        first = column.drop_nulls().head(1).to_list()
        if column.dtype == pl.String and first and _found(first[0], folders) is not None:
            files = [_file(text, folders, f"'{name}', row {row + 1}") for row, text in enumerate(column)]
            for content in files:
                digest.update(hashlib.sha256(content or b"").digest())
            columns.append(pl.Series(name, files, dtype=pl.Binary))
    return frame.with_columns(columns), digest.hexdigest() if columns else None


def _file(text: str | None, folders: Sequence[Path], location: str) -> bytes | None:
    if text is None:
        return None
    path = _found(text, folders)
    if path is None:
        raise DataError(f"column {location}: there is no file of this name; the other rows have paths of images")
    return path.read_bytes()


def _found(text: str, folders: Sequence[Path]) -> Path | None:
    try:
        return next((folder / text for folder in folders if (folder / text).is_file()), None)
    except (OSError, ValueError):  # base64 may be too long for a path
        return None


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
