"""Read Parquet files one chunk at a time, and draw a random sample of their rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from model_deployer.training.reading.table_file import unreadable

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
        partition: The columns that the folders of the file stand for, with one value each.
    """

    path: Path
    start: int
    first: int
    rows: int
    partition: tuple[pl.Series, ...] = field(default=(), compare=False, repr=False)

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Read these columns of the rows.

        Raises:
            DataError: if the file is damaged, or was changed since it was opened first.
        """
        constants = {series.name: series for series in self.partition}
        stored = [name for name in columns if name not in constants]
        try:
            frame = _scan(self.path).slice(self.start, self.rows).select(cs.by_name(*stored)).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise unreadable(self.path, "Parquet", error) from None
        return with_partition(frame, [constants[name] for name in columns if name in constants], columns)


def with_partition(frame: pl.DataFrame, partition: Sequence[pl.Series], order: Sequence[str] = ()) -> pl.DataFrame:
    """Return a frame with the columns that the folders of its file stand for.

    Args:
        frame: The rows of the file.
        partition: One series with one value for each of these columns; a column of the file of the same name is kept.
        order: All columns in the order of the result; by default, the partition comes last.
    """
    columns = {series.name: series for series in frame}
    for series in partition:
        columns.setdefault(series.name, series.new_from_index(0, frame.height))
    return pl.DataFrame({name: columns[name] for name in order or columns})


def split_files(paths: Sequence[Path], partitions: Sequence[Sequence[pl.Series]] = ()) -> tuple[ParquetChunk, ...]:
    """Return the chunks of Parquet files, in the order of their rows; a file without rows has none.

    Args:
        paths: The files.
        partitions: For each file, the columns that its folders stand for.
    """
    chunks: list[ParquetChunk] = []
    total = 0
    for path, partition in zip(paths, partitions or [()] * len(paths), strict=True):
        rows = _height(path)
        chunks += [
            ParquetChunk(path, start, total + start, min(ROWS, rows - start), tuple(partition))
            for start in range(0, rows, ROWS)
        ]
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
        chunks_of_file = list(group)
        columns = _columns(path)
        columns += [series.name for series in chunks_of_file[0].partition if series.name not in columns]
        yield pl.concat([chunk.read(columns)[rows_within(chunk, rows)] for chunk in chunks_of_file])


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
        raise unreadable(path, "Parquet", error) from None


def _height(path: Path) -> int:
    try:
        return int(_scan(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, "Parquet", error) from None


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)
