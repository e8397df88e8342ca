"""A table as one file holds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from model_deployer.contract.errors import DataError


@dataclass(frozen=True)
class TableFile:
    """The rows of a file.

    Attributes:
        frame: The rows, in the order of the file.
        notes: What a person should know about how the file was read, one sentence each.
        is_text: Whether the strings of the frame may be numbers or times, because the format of the file does not
            tell them from text.
        has_semicolons: Whether semicolons are between its values.
        index: The columns that are an index of pandas and not part of the data.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()
    is_text: bool = True
    has_semicolons: bool = False
    index: tuple[str, ...] = ()


def unreadable(path: Path, form: str, error: BaseException) -> DataError:
    """Return the error to raise for a file that cannot be read as its format."""
    first = "" if isinstance(error, pl.exceptions.PanicException) else str(error).partition("\n")[0]
    reason = first.split("`", 1)[0].strip()  # the rest quotes the data
    return DataError(f"{path}: cannot be read as {form}: {reason or 'it is damaged'}")


def named(frame: pl.DataFrame, names: Sequence[str], path: Path) -> pl.DataFrame:
    """Return the columns with their names; a column without a name and without values is left out.

    Raises:
        DataError: if a name is repeated, or two columns with values have none.
    """
    kept = [
        (name, column)
        for name, column in zip(names, frame, strict=True)
        if name or len(names) == 1 or column.null_count() < len(column)
    ]
    header = [name for name, _ in kept]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        listed = ", ".join(f"'{name}'" for name in repeated if name)
        fault = f"names {listed} more than once" if listed else "lacks the names of several columns with values"
        raise DataError(
            f"{path}: the header {fault}; every column needs its own name; correct the header in a copy of the "
            f"file, or, if the names are in another row, state it under `data.header_row`"
        )
    return pl.DataFrame(dict(kept))
