"""Files that a query of DuckDB names: they are read as every other table is, so that nothing is guessed."""

import glob
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.system.extras import packages_of
from model_deployer.training.data.joined_files import join_files, read_files, typed_partitions
from model_deployer.training.data.values import describe
from model_deployer.training.reading.content import open_content
from model_deployer.training.reading.database import FILES
from model_deployer.training.reading.reader import DAMAGES
from model_deployer.training.reading.remote import is_remote, urls_in_errors
from model_deployer.training.reading.source_files import SourceFile, find_files
from model_deployer.training.reading.table_file import unreadable
from model_deployer.training.spec import Spec

#: Functions of DuckDB that guess how text is written and what its values are.
_GUESSES = re.compile(r"read_csv|read_csv_auto|read_json|read_json_auto|read_ndjson|read_ndjson_auto|read_xlsx")

#: The options with which they do not.
_EXPLICIT = ("all_varchar", "auto_detect")

_PART = r"""(?:'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d][\w$]*)"""

#: The name of a table as a query has it.
_NAME = re.compile(rf"{_PART}(?:\s*\.\s*{_PART})*")


@dataclass(frozen=True)
class _Place:
    """A place of a query that names files: what it names, and where it begins and ends."""

    name: str
    start: int
    end: int


def write_query_files(spec: Spec, folder: Path, target: Path) -> tuple[str, list[str]]:
    """Write the files that ``data.query`` names as Parquet files, with the values that they mean.

    Parquet files with one schema stay where they are.

    Args:
        spec: The model.yaml.
        folder: Its folder, where the paths in the query start.
        target: An empty folder for the Parquet files.

    Returns:
        The query with the paths of the Parquet files, and what was read in another form than the usual one.

    Raises:
        DataError: if there is no such file, it cannot be read, or a value can be read in more than one way.
        SpecError: if the query calls a function that guesses types, or it cannot be searched for files.
        EnvironmentFault: if a package that reads the files is missing.
    """
    query = str(spec.data.query)
    places = _places(query, folder, spec)
    copies: dict[str, str] = {}
    notes: list[str] = []
    for name in dict.fromkeys(place.name for place in places):
        with urls_in_errors():
            files = find_files(name, "query", spec, folder)
            if _are_duckdbs(name, files, spec, folder):
                continue
            frame, lines = _read(name, files, spec)
        notes += lines
        copies[name] = _write(frame, target / str(len(copies)) / f"{_alias(name)}.parquet")
    for place in reversed(places):
        query = query[: place.start] + copies.get(place.name, query[place.start : place.end]) + query[place.end :]
    return query, notes


def _places(query: str, folder: Path, spec: Spec) -> list[_Place]:
    """Return the places of a query that name files, in their order."""
    tree = _parsed(query, spec)
    _refuse_guesses(tree, spec)
    common = {entry["key"] for node in _nodes(tree) for entry in node.get("cte_map", {}).get("map", ())}
    tables = [node for node in _nodes(tree) if node.get("type") == "BASE_TABLE" and node["table_name"] not in common]
    places = []
    for table in tables:
        name = ".".join(table[key] for key in ("catalog_name", "schema_name", "table_name") if table.get(key))
        start = len(query.encode()[: table["query_location"]].decode())
        match = _NAME.match(query, start)
        if not _is_file(name, folder, is_quoted=match is None or match[0].startswith("'")):
            continue
        if match is None:  # DuckDB does not say where
            raise SpecError(f"{spec.location('data', 'query')}: name the file as in `SELECT * FROM 'orders.csv'`")
        places.append(_Place(name, *match.span()))
    return sorted(places, key=lambda place: place.start)


def _parsed(query: str, spec: Spec) -> dict[str, Any]:
    """Return the tree of a query as DuckDB parses it; one without tables if it is not SQL, which DuckDB will say."""
    with packages_of("sql"):
        import duckdb  # noqa: PLC0415
    with duckdb.connect() as connection:
        text = connection.execute("SELECT json_serialize_sql($1)", [query]).fetchall()[0][0]
    tree: dict[str, Any] = json.loads(text)
    if tree.get("error_type") == "not implemented" and spec.data.connection in (None, FILES):
        raise SpecError(
            f"{spec.location('data', 'query')}: expected one query that begins with SELECT, FROM or WITH; write "
            f"PIVOT with the values of its columns, as in `PIVOT ... ON month IN (1, 2)`"
        )
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(child)


def _refuse_guesses(tree: dict[str, Any], spec: Spec) -> None:
    calls = [node["function"] for node in _nodes(tree) if node.get("type") == "TABLE_FUNCTION"]
    for call in calls:
        name = call["function_name"].lower()
        if _GUESSES.fullmatch(name) and not any(option in json.dumps(call).lower() for option in _EXPLICIT):
            raise SpecError(
                f"{spec.location('data', 'query')}: {name} guesses dates and numbers; name the file in the place of "
                f"the table, as in `FROM 'orders.csv'`, and it is read as every other table is, with `delimiter` and "
                f"the like under `data`"
            )


def _is_file(name: str, folder: Path, is_quoted: bool) -> bool:
    """Return whether a name is not that of a table of a database; only quotes tell a folder from one."""
    is_path = is_quoted or "." in name or "/" in name
    return is_remote(name) or (is_path and (glob.has_magic(name) or (folder / Path(name).expanduser()).exists()))


def _are_duckdbs(name: str, files: Sequence[SourceFile], spec: Spec, folder: Path) -> bool:
    """Return whether DuckDB reads these files as they are: Parquet files with the same types.

    It would read the columns of all files as those of the first, and the names of folders in its own way.
    """
    if is_remote(name) or (folder / Path(name).expanduser()).is_dir():
        return False
    contents = [open_content(file.path) for file in files]
    if any(kind != "parquet" or content.source != content.path for content, kind in contents):
        return False
    schemas = {_schema(file.path) for file in files}
    partitions = [value.dtype for values in typed_partitions(files, spec) for value in values]
    return len(schemas) == 1 and all(dtype == pl.Int64 for dtype in partitions)


def _schema(path: Path) -> tuple[tuple[str, pl.DataType], ...]:
    try:
        return tuple(pl.read_parquet_schema(path).items())
    except DAMAGES as error:
        raise unreadable(path, "Parquet", error) from None


def _read(name: str, files: Sequence[SourceFile], spec: Spec) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows of files, and what was read in another form than the usual one."""
    tables = read_files(files, spec)
    values = join_files(tables, [file.path for file in files], spec)
    if values.questions:
        raise DataError("\n".join(f"'{name}', {question.message()}" for question in values.questions))
    notes = dict.fromkeys(f"{name}: {note}" for table in tables for note in table.notes)
    return values.frame, [*notes, *describe(values)]


def _write(frame: pl.DataFrame, path: Path) -> str:
    """Write a table, and return its path as a query names it."""
    path.parent.mkdir()
    frame.write_parquet(path)
    return "'{}'".format(str(path).replace("'", "''"))


def _alias(name: str) -> str:
    """Return the name of the table to DuckDB, which other parts of the query use: that of the file."""
    return re.sub(r"[*?\[\]]", "_", Path(name).name.partition(".")[0]) or "table"
