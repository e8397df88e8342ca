"""Read tables of databases: the result of a query, or a table of an SQLite or DuckDB file.

Databases are opened for reading only.
"""

import hashlib
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl
import polars.selectors as cs

from model_deployer.contract.errors import DataError, EnvironmentFault, SpecError
from model_deployer.system.extras import packages_of
from model_deployer.training.reading import mysql
from model_deployer.training.reading.content import Content
from model_deployer.training.reading.environment import with_variables
from model_deployer.training.reading.file_kind import kind_of
from model_deployer.training.reading.query_rows import frame_of, no_rows, refuse_repeated
from model_deployer.training.reading.table_file import TableFile
from model_deployer.training.spec import Spec

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: A DuckDB without tables of its own: it reads files, whose paths start at the folder of model.yaml.
FILES = "duckdb://"

#: The drivers of databases whose URL does not name one, among those of the extra ``sql``.
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

_CONNECT_SECONDS = 15

#: The rows that are hashed at a time.
_SLICE_ROWS = 50_000

#: Reads a query with the errors of its database.
_Reader = Callable[[str], pl.DataFrame]


def opens_duckdb(spec: Spec, folder: Path) -> bool:
    """Return whether ``data.query`` is one of DuckDB, which may name files in the place of tables.

    Raises:
        SpecError: if ``data.connection`` names a variable that is not set.
    """
    return _url(spec, folder).startswith("duckdb:")


def read_query(spec: Spec, folder: Path, query: str) -> tuple[TableFile, str]:
    """Read the result of ``data.query``.

    A database may return rows in any order, so that they are sorted unless the query orders them.

    Args:
        spec: The model.yaml.
        folder: Its folder, where the path of a database file starts.
        query: The query to run; it may read copies of the files that ``data.query`` names.

    Returns:
        The result, and its version: ``sha256:`` and the digest of the query and its result.

    Raises:
        DataError: if the database cannot be reached, or the query fails or names a column twice.
        SpecError: if ``data.connection`` names a variable that is not set, or no known kind of database.
        EnvironmentFault: if the extra ``sql`` is not installed.
    """
    url = _url(spec, folder)
    try:
        frame = _standard(_reader(url, folder, spec)(query))
    except _database_errors() as error:
        raise DataError(f"{spec.location('data', 'query')}: the query failed: {_reason(error)}") from None
    if not re.search(r"\border\s+by\b", query, re.IGNORECASE):
        frame = frame.sort(cs.all() - cs.nested() - cs.object(), nulls_last=True, maintain_order=True)
    is_text = url.startswith("sqlite")
    return TableFile(frame, is_text=is_text), _version(str(spec.data.query), frame)


def read_sqlite(content: Content, spec: Spec) -> TableFile:
    """Read a table of an SQLite file; strings may be numbers or times, since its columns have no fixed types.

    Raises:
        DataError: if the file is damaged, or it has several tables and ``data.table`` names none of them.
    """
    tables = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return _read_table(content, spec, tables, _sqlite(_stored(content)))


def read_duckdb(content: Content, spec: Spec) -> TableFile:
    """Read a table of a DuckDB file.

    Raises:
        DataError: if the file is damaged, or it has several tables and ``data.table`` names none of them.
        EnvironmentFault: if the extra ``sql`` is not installed.
    """
    tables = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'main'"
    return _read_table(content, spec, tables, _duckdb(str(_stored(content)), None))


def _read_table(content: Content, spec: Spec, tables: str, read: _Reader) -> TableFile:
    try:
        names = sorted(read(tables)["name"].to_list())
        name = _table(names, content.path, spec)
        frame = _standard(read('SELECT * FROM "{}"'.format(name.replace('"', '""'))))
    except _database_errors() as error:
        raise DataError(f"{content.path}: the database cannot be read: {_reason(error)}") from None
    return TableFile(frame, (f"read the table '{name}' of the database",), is_text=True)


def _table(names: Sequence[str], path: Path, spec: Spec) -> str:
    listed = ", ".join(f"'{name}'" for name in names) or "none"
    if spec.data.table is not None:
        if spec.data.table in names:
            return spec.data.table
        raise DataError(f"{spec.location('data', 'table')}: {path} has no such table; it has {listed}")
    if len(names) != 1:
        raise DataError(
            f"{path}: which table of the database: {listed}? Name it under `data.table`, or write a query under "
            f"`data.query`"
        )
    return names[0]


def _stored(content: Content) -> Path:
    if isinstance(content.source, bytes):
        raise DataError(f"{content.path}: a database needs to be a file of its own; unpack it first")
    return content.source


def _url(spec: Spec, folder: Path) -> str:
    """Return the URL of the database, also if ``data.connection`` is the path of a file."""
    connection = with_variables(spec.data.connection or FILES, "connection", spec)
    if "://" in connection:
        return connection
    file = folder / Path(connection).expanduser()
    return f"{kind_of(file, Content(file, file).head(64))}:///{file}"


def _reader(url: str, folder: Path, spec: Spec) -> _Reader:
    """Return what reads a query of the database with this URL."""
    name, _, rest = url.partition("://")
    if name in ("sqlite", "duckdb"):
        path = folder / Path(rest.removeprefix("/")).expanduser() if rest.strip("/") else None
        if path is not None and not path.is_file():
            raise DataError(f"{spec.location('data', 'connection')}: there is no file {path}")
        if name == "duckdb":
            return _duckdb(str(path) if path else ":memory:", folder)
        if path is not None:
            return _sqlite(path)
    return _sqlalchemy(url, spec)


def _sqlite(path: Path) -> _Reader:
    def read(query: str) -> pl.DataFrame:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            cursor = connection.execute(query)
            return frame_of([column[0] for column in cursor.description or ()], cursor.fetchall())
        finally:
            connection.close()

    return read


def _duckdb(path: str, folder: Path | None) -> _Reader:
    with packages_of("sql"):
        import duckdb  # noqa: PLC0415

    def read(query: str) -> pl.DataFrame:
        with duckdb.connect(path, read_only=path != ":memory:") as connection:
            connection.execute("SET python_enable_replacements = false")  # no variables of this module as tables
            if folder is not None:
                connection.execute("SET file_search_path = $1", [str(folder.absolute())])
            relation = connection.sql(query)
            if relation is None:
                raise no_rows()
            refuse_repeated(relation.columns)
            return pl.DataFrame(relation)

    return read


def _sqlalchemy(url: str, spec: Spec) -> _Reader:
    engine = _engine(url, spec)

    def read(query: str) -> pl.DataFrame:
        with _connected(engine, spec) as connection:
            if engine.dialect.name in ("mysql", "mariadb"):
                connection.exec_driver_sql(mysql.READ_ONLY)
            options = {"no_parameters": True, "postgresql_readonly": True}
            result = connection.execution_options(**options).exec_driver_sql(query)
            if not result.returns_rows:
                raise no_rows()
            return frame_of(list(result.keys()), [tuple(row) for row in result.fetchall()])

    return read


def _engine(url: str, spec: Spec) -> "Engine":
    with packages_of("sql"):
        import sqlalchemy  # noqa: PLC0415
    location = spec.location("data", "connection")
    name, _, rest = url.partition("://")
    driver = _DRIVERS.get(name, name)
    try:
        with packages_of("sql") if driver in _DRIVERS.values() else nullcontext():
            return sqlalchemy.create_engine(
                f"{driver}://{rest}",
                connect_args=_driver_options(driver),
                poolclass=sqlalchemy.pool.NullPool,
                hide_parameters=True,
            )
    except sqlalchemy.exc.ArgumentError:
        raise SpecError(
            f"{location}: expected the path of a database file, or a URL such as "
            f"`postgresql://user:${{PASSWORD}}@host/database` or `duckdb:///file.duckdb`"
        ) from None
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"{location}: `{driver}` needs the module '{error.name}'; install the package that has it, or name a "
            f"driver that is installed"
        ) from None


def _driver_options(driver: str) -> dict[str, Any]:
    """Return the arguments of a driver of the extra ``sql``."""
    if driver not in _DRIVERS.values():
        return {}
    options: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    return options | {"conv": mysql.decoders()} if driver.endswith("pymysql") else options


def _connected(engine: "Engine", spec: Spec) -> "Connection":
    """Open a connection.

    Raises:
        SpecError: if the driver does not know an option of the URL, or needs a file or a package for it that is absent.
    """
    try:
        return engine.connect()
    except (AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:  # not those of databases
        raise SpecError(
            f"{spec.location('data', 'connection')}: the driver {engine.driver} cannot connect with these options: "
            f"{_reason(error)}"
        ) from None


def _standard(frame: pl.DataFrame) -> pl.DataFrame:
    """Return decimals as floats, times in microseconds, and objects such as UUIDs as strings."""
    objects = [column.name for column in frame if column.dtype == pl.Object]
    frame = frame.with_columns(
        pl.Series(name, [None if value is None else str(value) for value in frame[name]], pl.String) for name in objects
    )
    return frame.with_columns(
        cs.decimal().cast(pl.Float64),
        cs.datetime().dt.cast_time_unit("us"),
        *(pl.col(column.name).cast(pl.String) for column in frame if column.dtype in (pl.Categorical, pl.Enum)),
    )


def _version(query: str, frame: pl.DataFrame) -> str:
    digest = hashlib.sha256(f"{query}\0{frame.schema}\0".encode())
    readable = frame.with_columns(cs.binary().bin.encode("hex"), cs.duration().cast(pl.Int64))
    for rows in readable.iter_slices(_SLICE_ROWS):
        digest.update(rows.write_ndjson().encode())
    return f"sha256:{digest.hexdigest()}"


def _database_errors() -> tuple[type[Exception], ...]:
    """Return the base classes of the errors of the databases whose packages are installed."""
    errors: list[type[Exception]] = [sqlite3.Error, pl.exceptions.PolarsError, UnicodeDecodeError]
    try:
        import duckdb  # noqa: PLC0415
        import sqlalchemy.exc  # noqa: PLC0415
    except ModuleNotFoundError:
        return tuple(errors)
    return (*errors, duckdb.Error, sqlalchemy.exc.SQLAlchemyError)


def _reason(error: Exception) -> str:
    """Return the first line of the message of a database, without a value that it could not convert."""
    arguments = getattr(getattr(error, "orig", None), "args", None) or (error,)
    message = str(arguments[-1])
    line = next((line.strip() for line in message.splitlines() if line.strip()), type(error).__name__)
    if any(kind.__name__ == "DataError" for kind in type(error).__mro__):
        line = re.sub(r"""(["']).*\1""", "...", line)
    return re.sub(r"^\([\w.]+\)\s*", "", line)[:300]
