"""The files of a table as one table: their columns need to be the same, and one form explains the text of all files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.training.data.values import Values, read_values
from model_deployer.training.reading.parquet_chunks import with_partition
from model_deployer.training.reading.reader import read_file
from model_deployer.training.reading.source_files import SourceFile
from model_deployer.training.reading.table_file import TableFile
from model_deployer.training.spec import Spec


def read_files(files: Sequence[SourceFile], spec: Spec) -> list[TableFile]:
    """Read files, each with the columns that the names of its folders are.

    Raises:
        DataError: if a file cannot be read as a table, or has no rows.
        SpecError: if model.yaml states wrongly how the files are written.
        EnvironmentFault: if a package that reads the files is missing.
    """
    partitions = typed_partitions(files, spec)
    return [
        _read(file.path, partition, spec, is_only=len(files) == 1)
        for file, partition in zip(files, partitions, strict=True)
    ]


def typed_partitions(files: Sequence[SourceFile], spec: Spec) -> list[list[pl.Series]]:
    """Return, for each file, a series with one value for each of its partitions; all files give them one type."""
    names = [name for name, _ in files[0].partition]
    strings = {name: [dict(file.partition)[name] for file in files] for name in names}
    frame = read_values(pl.DataFrame(strings, dict.fromkeys(names, pl.String)), spec, is_untyped=True).frame
    return [[column[index : index + 1] for column in frame] for index in range(len(files))]


def join_files(
    tables: Sequence[TableFile],
    paths: Sequence[Path],
    spec: Spec,
    select: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame,
) -> Values:
    """Join the rows of files, and read their text.

    Args:
        tables: The files.
        paths: Their paths, for messages.
        spec: The model.yaml.
        select: Returns the columns to read of the joined rows.

    Raises:
        DataError: if there are no rows, the columns of the files differ, or a value does not have the form that
            ``data.formats`` states.
    """
    is_text = all(table.is_text for table in tables)
    frames = [table.frame if is_text else _typed(table, spec) for table in tables]
    joined = _concatenate(frames, paths)
    if not joined.height:
        raise DataError(f"{paths[0]}: the table has no rows")
    values = read_values(select(joined), spec, is_text, any(table.has_semicolons for table in tables))
    if is_text and len(frames) > 1:
        _check_text(frames, paths, values, spec)
    return values


def select_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Select columns by name; polars' own selection would read a name such as ``*`` or ``^x$`` as a pattern."""
    return pl.DataFrame({name: frame[name] for name in names})


def _read(path: Path, partition: list[pl.Series], spec: Spec, is_only: bool) -> TableFile:
    table = read_file(path, spec, is_only)
    if not table.frame.height:
        raise DataError(f"{path}: the table has no rows")
    return replace(table, frame=with_partition(table.frame, partition))


def _typed(table: TableFile, spec: Spec) -> pl.DataFrame:
    """Return the rows of a file next to others that have types."""
    return read_values(table.frame, spec, True, table.has_semicolons).frame if table.is_text else table.frame


def _concatenate(frames: Sequence[pl.DataFrame], paths: Sequence[Path]) -> pl.DataFrame:
    """Join the files; a column that is empty or numeric in one file takes a type that suits all files."""
    first = frames[0]
    for frame, path in zip(frames[1:], paths[1:], strict=True):
        if differing := set(first.columns) ^ set(frame.columns):
            listed = ", ".join(f"'{name}'" for name in sorted(differing))
            raise DataError(f"{path}: its columns differ from those of {paths[0]}: {listed}")
    aligned = [select_columns(frame, first.columns) for frame in frames]
    for name in first.columns:
        _check_types([frame[name] for frame in aligned], paths)
    untyped = [
        frame.select(pl.lit(None).alias(s.name) if s.null_count() == s.len() else s for s in frame) for frame in aligned
    ]
    return pl.concat(untyped, how="vertical_relaxed") if len(untyped) > 1 else first


def _check_text(frames: Sequence[pl.DataFrame], paths: Sequence[Path], values: Values, spec: Spec) -> None:
    """Check that no column that is text as a whole has numbers, times or booleans alone in one of the files."""
    names = [name for name in values.frame.columns if values.frame[name].dtype == pl.String]
    parts = [read_values(select_columns(frame, names), spec, is_untyped=True).frame for frame in frames]
    for name in names:
        _check_types([part[name] for part in parts], paths)


def _check_types(columns: Sequence[pl.Series], paths: Sequence[Path]) -> None:
    filled = [(column, path) for column, path in zip(columns, paths, strict=True) if column.null_count() < column.len()]
    for column, path in filled[1:]:
        first, reference = filled[0]
        if column.dtype != first.dtype and not (column.dtype.is_numeric() and first.dtype.is_numeric()):
            raise DataError(f"{path}: column '{column.name}' is {column.dtype}, but {first.dtype} in {reference}")
