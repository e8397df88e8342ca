"""Parquet files read a piece at a time, and a random sample of their rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError

#: Rows of a piece.
ROWS = 8_192


@dataclass(frozen=True)
class ParquetChunk:
    """Successive rows of a file.

    Attributes:
        path: The file.
        start: Its first row, counted from 0 within the file.
        first: The same, counted within the table.
        rows: How many there are.
    """

    path: Path
    start: int
    first: int
    rows: int

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Its rows, in these columns.

        Raises:
            DataError: The file is damaged, or was changed.
        """
        try:
            return _scan(self.path).slice(self.start, self.rows).select(cs.by_name(*columns)).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise unreadable(self.path, "parquet", error) from None


def unreadable(path: Path, form: str, error: Exception) -> DataError:
    """What is said of a file that cannot be read as the format that it should have."""
    reason = str(error).splitlines()[0].split("`", 1)[0].strip()  # what follows quotes the data
    return DataError(f"{path}: cannot be read as {form}: {reason or 'it is damaged'}")


def cut(paths: Sequence[Path]) -> tuple[ParquetChunk, ...]:
    """The pieces of Parquet files, in the order of their rows; a file without rows has none."""
    pieces: list[ParquetChunk] = []
    total = 0
    for path in paths:
        rows = _height(path)
        starts = range(0, rows, ROWS)
        pieces += [ParquetChunk(path, start, total + start, min(ROWS, rows - start)) for start in starts]
        total += rows
    return tuple(pieces)


def draw(pieces: Sequence[ParquetChunk], rows: int, seed: int) -> NDArray[np.int64]:
    """The numbers, ascending and counted from 0, of so many rows of the pieces; each set of them is equally likely."""
    generator = np.random.default_rng(seed)
    sizes = np.array([piece.rows for piece in pieces])
    counts = generator.multivariate_hypergeometric(sizes, rows, method="marginals")
    return np.concatenate(
        [
            piece.first + np.sort(generator.choice(piece.rows, count, replace=False))
            for piece, count in zip(pieces, counts, strict=True)
        ]
    )


def take(pieces: Sequence[ParquetChunk], rows: NDArray[np.int64]) -> Iterator[pl.DataFrame]:
    """Rows of given ascending numbers: a frame for every file."""
    for path, group in groupby(pieces, key=lambda piece: piece.path):
        columns = _columns(path)
        yield pl.concat([piece.read(columns)[within(piece, rows)] for piece in group])


def within(piece: ParquetChunk, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which rows of a piece, counted from its first, have one of the given ascending numbers."""
    begin, end = np.searchsorted(rows, [piece.first, piece.first + piece.rows])
    return rows[begin:end] - piece.first


def _columns(path: Path) -> list[str]:
    try:
        return _scan(path).collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, "parquet", error) from None


def _height(path: Path) -> int:
    try:
        return int(_scan(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, "parquet", error) from None


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)
