"""Read the table that a model.yaml names; its version is a digest of its content."""

import hashlib
import json
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError
from model_deployer.contract.yaml_source import KeyPath, suggestion
from model_deployer.training.data.query_files import write_query_files
from model_deployer.training.data.shaping import rename, select_rows
from model_deployer.training.data.values import Values, read_values
from model_deployer.training.reading.content import Content, open_content
from model_deployer.training.reading.database import read_query
from model_deployer.training.reading.pandas_index import index_columns, parquet_index
from model_deployer.training.reading.parquet_chunks import (
    ParquetChunk,
    read_rows,
    sample_rows,
    split_files,
    with_partition,
)
from model_deployer.training.reading.reader import read_file
from model_deployer.training.reading.remote import urls_in_errors
from model_deployer.training.reading.source_files import SourceFile, find_files
from model_deployer.training.reading.table_file import TableFile
from model_deployer.training.spec import Spec


@dataclass(frozen=True)
class Table:
    """A table as it is read, before any value is checked.

    Attributes:
        values: The values of the rows in memory, in the order of the files, and how they were read: all columns except
            those that are ignored and not used for slices.
        version: ``sha256:`` and the digest of the bytes of all files, in order.
        chunks: The chunks of the files; empty if all rows are in ``frame``.
        sampled_rows: The numbers of the rows in ``frame``, int64, ascending, counted from 0 within the table; None if
            all rows are in ``frame``.
        notes: What a person should know about how the table was read, one sentence each.
    """

    values: Values
    version: str
    chunks: tuple[ParquetChunk, ...] = ()
    sampled_rows: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> pl.DataFrame:
        """The rows in memory, in the order of the files."""
        return self.values.frame


def read_table(spec: Spec, folder: Path) -> Table:
    """Read the file or files of ``data.path``, or the result of ``data.query``.

    Files of a folder or glob are read in the order of their names and must have the same columns; the parts of their
    paths that have the form ``name=value`` are columns, too. If there are more rows than ``data.rows_in_memory``, that
    number of rows is sampled with the seed, each row with equal probability.

    Args:
        spec: The model.yaml.
        folder: The folder of the model.yaml; a relative ``data.path`` starts there.

    Raises:
        DataError: if there is no file, a file cannot be read, there are no rows, a header names a column twice, the
            columns of the files differ, a column that model.yaml names is absent, or rows are to be sampled and the
            files are not Parquet.
        SpecError: if model.yaml states the format of the files wrongly.
        EnvironmentFault: if a package that reads the files is missing.
    """
    if spec.data.query is not None:
        with tempfile.TemporaryDirectory() as target:
            is_about_files = spec.data.connection is None
            query, notes = write_query_files(spec, folder, Path(target)) if is_about_files else (spec.data.query, [])
            result, digest = read_query(spec, folder, query)
        table = _table([result], [SourceFile(Path("data.query"))], spec, digest)
        return replace(table, notes=(*notes, *table.notes))
    with urls_in_errors():
        return _read_files(spec, folder)


def _read_files(spec: Spec, folder: Path) -> Table:
    files = find_files(spec, folder)
    partitions = _typed_partitions(files, spec)
    with ThreadPoolExecutor(1) as thread:
        version = thread.submit(_version, files)
        chunks = _chunks(files, partitions, spec)
        if spec.data.rows_in_memory is None or sum(chunk.rows for chunk in chunks) <= spec.data.rows_in_memory:
            tables = [_read(file.path, partition, spec) for file, partition in zip(files, partitions, strict=True)]
            return _table(tables, files, spec, version.result())
        rows = sample_rows(chunks, spec.data.rows_in_memory, spec.seed)
        filled = {chunk.path for chunk in chunks}
        sampled = [file for file in files if file.path in filled]
        index = parquet_index(Content(sampled[0].path, sampled[0].path))
        tables = [TableFile(frame, is_text=False, index=index) for frame in read_rows(chunks, rows)]
        table = _table(tables, sampled, spec, version.result())
    return replace(table, chunks=chunks, sampled_rows=rows)


def _version(files: list[SourceFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        for block in Content(file.path, file.path).blocks():
            digest.update(block)
        for name, value in file.partition:
            digest.update(f"{name}={value}\0".encode())
    return f"sha256:{digest.hexdigest()}"


def _shaped_version(version: str, spec: Spec) -> str:
    """Return the version of a table that is not that of its files alone."""
    if not spec.data.shape:
        return version
    shape = json.dumps(spec.data.shape, sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(version.encode() + shape).hexdigest()}"


def _typed_partitions(files: list[SourceFile], spec: Spec) -> list[list[pl.Series]]:
    """Return, for each file, a series with one value for each of its partitions; all files give them one type."""
    names = [name for name, _ in files[0].partition]
    strings = {name: [dict(file.partition)[name] for file in files] for name in names}
    frame = read_values(pl.DataFrame(strings, dict.fromkeys(names, pl.String)), spec, is_untyped=True).frame
    return [[column[index : index + 1] for column in frame] for index in range(len(files))]


def _chunks(files: list[SourceFile], partitions: list[list[pl.Series]], spec: Spec) -> tuple[ParquetChunk, ...]:
    if spec.data.rows_in_memory is None:
        return ()
    for file in files:
        content, kind = open_content(file.path)
        if kind != "parquet" or isinstance(content.source, bytes):
            raise DataError(
                f"{spec.location('data', 'rows_in_memory')}: {file.path} is not Parquet, the only format that can be "
                f"read in chunks; convert it, for example with polars: `scan_csv(...).sink_parquet(...)`"
            )
    return split_files([file.path for file in files], partitions)


def _read(path: Path, partition: list[pl.Series], spec: Spec) -> TableFile:
    table = read_file(path, spec)
    if not table.frame.height:
        raise DataError(f"{path}: the table has no rows")
    return replace(table, frame=with_partition(table.frame, partition))


def _table(tables: list[TableFile], files: list[SourceFile], spec: Spec, version: str) -> Table:
    """Join the files, read their text, and leave out an index."""
    paths = [file.path for file in files]
    is_text = all(table.is_text for table in tables)
    frames = [rename(_typed(table, spec) if not is_text else table.frame, spec) for table in tables]
    has_semicolons = any(table.has_semicolons for table in tables)
    values = read_values(_combine(frames, paths, spec), spec, is_text, has_semicolons)
    if is_text and len(frames) > 1:
        _check_text(frames, paths, values, spec)
    frame = select_rows(values.frame, spec)
    index = index_columns(frame, tables[0].index, _named_columns(spec))
    notes = [note for table in tables for note in table.notes]
    notes += [f"column '{name}' is read from the names of the folders" for name, _ in files[0].partition]
    notes += [f"column '{name}' is an index of pandas, not a feature: left out" for name in index]
    kept = _select(frame, [name for name in frame.columns if name not in index])
    return Table(replace(values, frame=kept), _shaped_version(version, spec), notes=tuple(dict.fromkeys(notes)))


def _typed(table: TableFile, spec: Spec) -> pl.DataFrame:
    """Return the rows of a file next to others that have types."""
    return read_values(table.frame, spec, True, table.has_semicolons).frame if table.is_text else table.frame


def _named_columns(spec: Spec) -> Collection[str]:
    """Return the columns that model.yaml names."""
    return spec.data.columns | {*spec.slices, *spec.features, *spec.data.formats}


def _combine(frames: list[pl.DataFrame], paths: list[Path], spec: Spec) -> pl.DataFrame:
    frame = _concatenate(frames, paths)
    if not frame.height:
        raise DataError(f"{paths[0]}: the table has no rows")
    _check_columns(frame, spec)
    left_out = set(spec.data.ignore) - set(spec.slices)
    return _select(frame, [name for name in frame.columns if name not in left_out])


def _concatenate(frames: list[pl.DataFrame], paths: list[Path]) -> pl.DataFrame:
    """Join the files; a column that is empty or numeric in one file takes a type that suits all files."""
    first = frames[0]
    for frame, path in zip(frames[1:], paths[1:], strict=True):
        if differing := set(first.columns) ^ set(frame.columns):
            listed = ", ".join(f"'{name}'" for name in sorted(differing))
            raise DataError(f"{path}: its columns differ from those of {paths[0]}: {listed}")
    aligned = [_select(frame, first.columns) for frame in frames]
    for name in first.columns:
        _check_types([frame[name] for frame in aligned], paths)
    untyped = [
        frame.select(pl.lit(None).alias(s.name) if s.null_count() == s.len() else s for s in frame) for frame in aligned
    ]
    return pl.concat(untyped, how="vertical_relaxed") if len(untyped) > 1 else first


def _check_text(frames: list[pl.DataFrame], paths: list[Path], values: Values, spec: Spec) -> None:
    """Check that no column that is text as a whole has numbers, times or booleans alone in one of the files."""
    names = [name for name in values.frame.columns if values.frame[name].dtype == pl.String]
    parts = [read_values(_select(frame, names), spec, is_untyped=True).frame for frame in frames]
    for name in names:
        _check_types([part[name] for part in parts], paths)


def _select(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Select columns by name; polars' own selection would read a name such as ``*`` or ``^x$`` as a pattern."""
    return pl.DataFrame({name: frame[name] for name in names})


def _check_types(columns: list[pl.Series], paths: list[Path]) -> None:
    filled = [(column, path) for column, path in zip(columns, paths, strict=True) if column.null_count() < column.len()]
    for column, path in filled[1:]:
        first, reference = filled[0]
        if column.dtype != first.dtype and not (column.dtype.is_numeric() and first.dtype.is_numeric()):
            raise DataError(f"{path}: column '{column.name}' is {column.dtype}, but {first.dtype} in {reference}")


def _check_columns(frame: pl.DataFrame, spec: Spec) -> None:
    """Require every column that model.yaml names, and refuse names that polars reads as a pattern."""
    data = spec.data
    required: list[tuple[KeyPath, str | None]] = [
        (("data", role), getattr(data, role)) for role in ("target", "time", "group", "weight")
    ]
    required += [(("data", "ignore", index), name) for index, name in enumerate(data.ignore)]
    required += [(("slices", index), name) for index, name in enumerate(spec.slices)]
    errors = [
        f"{spec.location(*path)}: the table has no column '{name}'{_hint(name, frame.columns)}"
        for path, name in required
        if name is not None and name not in frame.columns
    ]
    errors += [
        f"a column cannot be called '{name}', because polars reads the name as a pattern; rename the column"
        for name in frame.columns
        if name.startswith("^") and name.endswith("$")
    ]
    if errors:
        raise DataError("\n".join(errors))


def _hint(name: str, columns: list[str]) -> str:
    if len(columns) == 1:
        return f"; it has only '{columns[0]}'; if this is text with several values per line, state `data.delimiter`"
    listed = ", ".join(f"'{column}'" for column in columns[:20])
    return suggestion(name, columns) or f"; it has {listed}"
