"""Read the columns of a table batch by batch, as the files hold them, without its rows being in memory together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import polars.selectors as cs

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.reader import DAMAGES
from model_deployer.training.reading.remote import urls_in_errors
from model_deployer.training.reading.scanning import scan_file
from model_deployer.training.reading.source_files import SourceFile, find_files
from model_deployer.training.reading.table_file import unreadable
from model_deployer.training.spec import Spec

#: The most values, and the most rows, of a batch.
_MAX_VALUES = 1 << 21
_MAX_ROWS = 1 << 15


@dataclass(frozen=True)
class TableBatches:
    """The rows of the files of a table, in their order.

    Attributes:
        paths: The files.
        schema: The columns; those of CSV files are strings.
        rows: The number of rows, if the files tell it without being read.
    """

    paths: tuple[Path, ...]
    schema: pl.Schema
    rows: int | None
    _frame: pl.LazyFrame

    def read(self, columns: list[str], skip: int, multiple: int = 1) -> Iterator[pl.DataFrame]:
        """Yield the rows in batches of the same size; only the last one may be smaller.

        Args:
            columns: The columns to read.
            skip: The number of rows at the beginning to leave out.
            multiple: The number of rows of a batch is a multiple of this.

        Raises:
            DataError: if a file is damaged.
        """
        size = max(multiple, min(_MAX_ROWS, _MAX_VALUES // len(columns)) // multiple * multiple)
        selected = self._frame.select(cs.by_name(*columns)).slice(skip)
        try:
            yield from selected.collect_batches(chunk_size=size, maintain_order=True)
        except DAMAGES as error:
            raise unreadable(self.paths[0], "a table", error) from None


def open_batches(spec: Spec, folder: Path) -> TableBatches:
    """Open the file or files of ``data.path``; columns have the names of ``data.rename``.

    Args:
        spec: The model.yaml; ``data.where`` and the roles of columns do not matter.
        folder: A relative ``data.path`` starts there.

    Raises:
        DataError: if there is no file, a file cannot be read, a header names a column twice, or the columns of the
            files differ.
        SpecError: if model.yaml states wrongly how the files are written.
        EnvironmentFault: if a package that reads the files is missing.
    """
    with urls_in_errors():
        files = find_files(str(spec.data.path), "path", spec, folder)
        try:
            frames = [_with_partition(scan_file(file.path, spec), file) for file in files]
            frame = renamed(_joined(frames, files), spec)
            rows = frame.select(pl.len()).collect().item() if _is_parquet(files) else None
            return TableBatches(tuple(file.path for file in files), frame.collect_schema(), rows, frame)
        except DAMAGES as error:
            raise unreadable(files[0].path, "a table", error) from None


def renamed(frame: pl.LazyFrame, spec: Spec) -> pl.LazyFrame:
    """Return a table with the names of ``data.rename``; a table may have the new names already."""
    names = frame.collect_schema().names()
    renames = {old: new for old, new in spec.data.rename.items() if old in names and new not in names}
    return frame.rename(renames) if renames else frame


def _joined(frames: list[pl.LazyFrame], files: list[SourceFile]) -> pl.LazyFrame:
    names = [frame.collect_schema().names() for frame in frames]
    for file, other in zip(files, names, strict=True):
        if set(other) != set(names[0]):
            raise DataError(f"{file.path}: its columns differ from those of {files[0].path}")
    return pl.concat([frame.select(cs.by_name(*names[0])) for frame in frames], how="vertical_relaxed")


def _with_partition(frame: pl.LazyFrame, file: SourceFile) -> pl.LazyFrame:
    """Return the rows of a file with the columns that its folders stand for, as strings."""
    names = frame.collect_schema().names()
    return frame.with_columns(
        pl.lit(value, pl.String).alias(name) for name, value in file.partition if name not in names
    )


def _is_parquet(files: list[SourceFile]) -> bool:
    return all(file.path.suffix in (".parquet", ".pq") for file in files)
