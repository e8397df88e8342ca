"""The index that pandas writes into files as a column: it says where a row was in a frame, and nothing about it."""

import json
import re
from collections.abc import Collection

import polars as pl

from model_deployer.training.reading.content import Content

#: The name that pandas invents for an index without one, in Parquet and Arrow files.
_INVENTED = re.compile(r"__index_level_\d+__")

#: The name of an index in a CSV file or sheet: none, or what pandas calls a column without a name when it reads it.
_UNNAMED = re.compile(r"|Unnamed: \d+(_level_\d+)?")


def parquet_index(content: Content) -> tuple[str, ...]:
    """Return the columns of a Parquet file that pandas wrote as the index of a frame; none if it did not write it."""
    try:
        metadata = pl.read_parquet_metadata(content.source)
        columns = json.loads(metadata["pandas"])["index_columns"]
    except (pl.exceptions.PolarsError, OSError, KeyError, TypeError, ValueError):
        return ()
    return tuple(column for column in columns if isinstance(column, str))


def index_columns(frame: pl.DataFrame, recorded: Collection[str], used: Collection[str]) -> list[str]:
    """Return the columns of a frame that are an index of pandas, and that model.yaml does not name.

    Args:
        frame: A table.
        recorded: The columns that a file records as its index.
        used: The columns that model.yaml names.
    """
    return [
        column.name
        for column in frame
        if column.name not in used
        and (column.name in recorded or _INVENTED.fullmatch(column.name) or _is_unnamed_index(column))
    ]


def _is_unnamed_index(column: pl.Series) -> bool:
    """Return whether a column without a name numbers the rows, or did so before some of them were taken."""
    if not _UNNAMED.fullmatch(column.name) or not column.dtype.is_integer():
        return False
    return column.null_count() == 0 and column.n_unique() == len(column)
