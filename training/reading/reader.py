"""Read one file of a table, whatever kind of file it is."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from model_deployer.training.reading.content import Content, open_content
from model_deployer.training.reading.database import read_duckdb, read_sqlite
from model_deployer.training.reading.delimited import read_delimited
from model_deployer.training.reading.excel import read_excel
from model_deployer.training.reading.file_kind import FileKind
from model_deployer.training.reading.json_rows import read_json_array, read_json_lines
from model_deployer.training.reading.pandas_index import parquet_index
from model_deployer.training.reading.table_file import TableFile, unreadable
from model_deployer.training.spec import Spec

#: What polars raises for damaged files; it panics on some of them.
DAMAGES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


def read_file(path: Path, spec: Spec, is_only: bool = False) -> TableFile:
    """Read a file; its kind is that of its first bytes, unless ``data.format`` states it.

    Args:
        path: The file.
        spec: The model.yaml.
        is_only: Whether it is the only file of the table: others decide how the text of its columns is read.

    Raises:
        DataError: if the file cannot be read as a table.
        SpecError: if model.yaml states wrongly how the file is written.
        EnvironmentFault: if a package that reads this kind of file is missing.
    """
    content, kind = open_content(path, None if spec.data.format == "auto" else spec.data.format)
    return read_delimited(content, spec, is_only) if kind == "csv" else _READERS[kind](content, spec)


def _read_parquet(content: Content, spec: Spec) -> TableFile:
    try:
        frame = pl.read_parquet(content.source, glob=False, hive_partitioning=False)
    except DAMAGES as error:
        raise unreadable(content.path, "Parquet", error) from None
    return TableFile(frame, is_text=False, index=parquet_index(content))


def _read_arrow(content: Content, spec: Spec) -> TableFile:
    try:
        read = pl.read_ipc if content.head(6) == b"ARROW1" else pl.read_ipc_stream
        return TableFile(read(content.bytes()), is_text=False)
    except DAMAGES as error:
        raise unreadable(content.path, "Arrow", error) from None


_READERS: dict[FileKind, Callable[[Content, Spec], TableFile]] = {
    "arrow": _read_arrow,
    "duckdb": read_duckdb,
    "excel": read_excel,
    "json": read_json_array,
    "jsonl": read_json_lines,
    "parquet": _read_parquet,
    "sqlite": read_sqlite,
}
