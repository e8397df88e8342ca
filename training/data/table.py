"""Read the table that a model.yaml names; its version is a digest of its content."""

import hashlib
import json
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError
from model_deployer.contract.yaml_source import KeyPath, suggestion
from model_deployer.training.data.joined_files import join_files, read_files, select_columns, typed_partitions
from model_deployer.training.data.query_files import write_query_files
from model_deployer.training.data.shaping import add_lags, lag_sources, lags, rename, select_rows
from model_deployer.training.data.values import Values
from model_deployer.training.reading.content import Content, open_content
from model_deployer.training.reading.database import opens_duckdb, read_query
from model_deployer.training.reading.pandas_index import index_columns, parquet_index
from model_deployer.training.reading.parquet_chunks import (
    ParquetChunk,
    read_rows,
    sample_rows,
    split_files,
)
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
            is_duckdb = opens_duckdb(spec, folder)
            query, notes = write_query_files(spec, folder, Path(target)) if is_duckdb else (spec.data.query, [])
            result, digest = read_query(spec, folder, query)
        table = _table([result], [SourceFile(Path("data.query"))], spec, digest)
        return replace(table, notes=(*notes, *table.notes))
    with urls_in_errors():
        return _read_files(spec, folder)


def _read_files(spec: Spec, folder: Path) -> Table:
    files = find_files(str(spec.data.path), "path", spec, folder)
    with ThreadPoolExecutor(1) as thread:
        version = thread.submit(_version, files)
        chunks = _chunks(files, spec)
        if spec.data.rows_in_memory is None or sum(chunk.rows for chunk in chunks) <= spec.data.rows_in_memory:
            return _table(read_files(files, spec), files, spec, version.result())
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
    shaped_by = dict(spec.data.shape)
    if columns := lags(spec):
        shaped_by["lags"] = [asdict(lag) for lag in columns]
    if not shaped_by:
        return version
    shape = json.dumps(shaped_by, sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(version.encode() + shape).hexdigest()}"


def _chunks(files: list[SourceFile], spec: Spec) -> tuple[ParquetChunk, ...]:
    if spec.data.rows_in_memory is None:
        return ()
    for file in files:
        content, kind = open_content(file.path)
        if kind != "parquet" or isinstance(content.source, bytes):
            raise DataError(
                f"{spec.location('data', 'rows_in_memory')}: {file.path} is not Parquet, the only format that can be "
                f"read in chunks; convert it, for example with polars: `scan_csv(...).sink_parquet(...)`"
            )
    return split_files([file.path for file in files], typed_partitions(files, spec))


def _table(tables: list[TableFile], files: list[SourceFile], spec: Spec, version: str) -> Table:
    """Join the files, read their text, and leave out an index."""
    renamed = [replace(table, frame=rename(table.frame, spec)) for table in tables]
    values = join_files(renamed, [file.path for file in files], spec, lambda frame: _used_columns(frame, spec))
    # A question ends the run; before it is answered, times and numbers may be text.
    frame, lag_notes = (values.frame, []) if values.questions else add_lags(values.frame, spec)
    frame = select_rows(frame, spec)
    index = index_columns(frame, tables[0].index, _named_columns(spec))
    notes = [note for table in tables for note in table.notes]
    notes += [f"column '{name}' is read from the names of the folders" for name, _ in files[0].partition]
    notes += [f"column '{name}' is an index of pandas, not a feature: left out" for name in index]
    notes += lag_notes
    left_out = {*index, *_left_out(spec)}
    kept = select_columns(frame, [name for name in frame.columns if name not in left_out])
    return Table(replace(values, frame=kept), _shaped_version(version, spec), notes=tuple(dict.fromkeys(notes)))


def _named_columns(spec: Spec) -> Collection[str]:
    """Return the columns that model.yaml names."""
    return spec.data.columns | {*spec.slices, *spec.features, *spec.data.formats}


def _used_columns(frame: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    _check_columns(frame, spec)
    left_out = _left_out(spec) - lag_sources(spec)
    return select_columns(frame, [name for name in frame.columns if name not in left_out])


def _left_out(spec: Spec) -> set[str]:
    """Return the columns that are ignored and not used for slices."""
    return set(spec.data.ignore) - set(spec.slices)


def _check_columns(frame: pl.DataFrame, spec: Spec) -> None:
    """Require every column that model.yaml names, and refuse names that polars reads as a pattern."""
    data = spec.data
    roles = ("time", "group", "weight") if spec.has_several_numbers else ("target", "time", "group", "weight")
    required: list[tuple[KeyPath, str | None]] = [(("data", role), getattr(data, role)) for role in roles]
    required += [(("data", "targets", index), name) for index, name in enumerate(data.targets)]
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
