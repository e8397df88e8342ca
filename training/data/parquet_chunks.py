"""Read Parquet files one chunk at a time, and draw a random sample of their rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError

#: Rows of a chunk; the last chunk of a file may have fewer.
ROWS = 8_192


@dataclass(frozen=True)
class ParquetChunk:
    """Consecutive rows of a file.

    Attributes:
        path: The file.
        start: The number of the first row within the file, counted from 0.
        first: The number of the first row within the table, counted from 0.
        rows: The number of rows.
    """

    path: Path
    start: int
    first: int
    rows: int

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Read these columns of the rows.

        Raises:
            DataError: if the file is damaged, or was changed since it was opened first.
        """
        try:
            return _scan(self.path).slice(self.start, self.rows).select(cs.by_name(*columns)).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise unreadable(self.path, "parquet", error) from None


def unreadable(path: Path, form: str, error: Exception) -> DataError:
    """Return the error to raise for a file that cannot be read as its format."""
    reason = str(error).splitlines()[0].split("`", 1)[0].strip()  # the rest quotes the data
    return DataError(f"{path}: cannot be read as {form}: {reason or 'it is damaged'}")


def split_files(paths: Sequence[Path]) -> tuple[ParquetChunk, ...]:
    """Return the chunks of Parquet files, in the order of their rows; a file without rows has none."""
    chunks: list[ParquetChunk] = []
    total = 0
    for path in paths:
        rows = _height(path)
        starts = range(0, rows, ROWS)
        chunks += [ParquetChunk(path, start, total + start, min(ROWS, rows - start)) for start in starts]
        total += rows
    return tuple(chunks)


def sample_rows(chunks: Sequence[ParquetChunk], rows: int, seed: int) -> NDArray[np.int64]:
    """Draw rows at random, without replacement and with equal probability.

    Args:
        chunks: All chunks of the table.
        rows: How many rows to draw.
        seed: The same seed draws the same rows.

    Returns:
        The numbers of the rows within the table, counted from 0 and ascending, int64 [rows].
    """
    generator = np.random.default_rng(seed)
    sizes = np.array([chunk.rows for chunk in chunks])
    counts = generator.multivariate_hypergeometric(sizes, rows, method="marginals")
    return np.concatenate(
        [
            chunk.first + np.sort(generator.choice(chunk.rows, count, replace=False))
            for chunk, count in zip(chunks, counts, strict=True)
        ]
    )


def read_rows(chunks: Sequence[ParquetChunk], rows: NDArray[np.int64]) -> Iterator[pl.DataFrame]:
    """Read the rows with these numbers (ascending, int64) and yield one frame per file."""
    for path, group in groupby(chunks, key=lambda chunk: chunk.path):
        columns = _columns(path)
        yield pl.concat([chunk.read(columns)[rows_within(chunk, rows)] for chunk in group])


def rows_within(chunk: ParquetChunk, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of the rows are in a chunk.

    Args:
        chunk: The chunk.
        rows: Numbers of rows within the table, ascending, int64.

    Returns:
        The numbers of those in the chunk, counted from its first row, int64.
    """
    begin, end = np.searchsorted(rows, [chunk.first, chunk.first + chunk.rows])
    return rows[begin:end] - chunk.first


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
