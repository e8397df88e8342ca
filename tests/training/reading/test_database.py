"""Queries of real databases, and files of SQLite and DuckDB."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import sqlalchemy
from pydantic import ValidationError

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.spec import Data, Spec
from tests.support.processes import free_port
from tests.training.reading.files import read

ROWS = [(1, "Köln", 1.5, "2024-01-05", "a"), (2, None, 2.5, "2024-02-06", "b"), (3, "Rom", None, "2024-03-07", "a")]
CREATE = "CREATE TABLE sales (id INTEGER, city TEXT, price REAL, day TEXT, y TEXT)"
INSERT = "INSERT INTO sales VALUES (?, ?, ?, ?, ?)"
EXPECTED = {
    "id": [1, 2, 3],
    "city": ["Köln", None, "Rom"],
    "price": [1.5, 2.5, None],
    "day": [datetime(2024, 1, 5), datetime(2024, 2, 6), datetime(2024, 3, 7)],
    "y": ["a", "b", "a"],
}


def query(folder: Path, text: str, connection: str | None = None, **data: Any) -> Table:
    keys = {"query": text, "connection": connection, "target": "y", **data}
    return read_table(Spec(name="m", data=Data.model_validate(keys)), folder)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(CREATE)
        connection.executemany(INSERT, ROWS)
        connection.commit()
    return path


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(CREATE.replace("day TEXT", "day DATE"))
        connection.executemany(INSERT, ROWS)
    return path


@pytest.mark.parametrize("kind", ["sqlite_file", "duckdb_file"])
def test_a_database_is_a_file_with_one_table(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(kind)
    table = read(tmp_path, path.name)
    assert table.frame.to_dict(as_series=False) == EXPECTED | ({"day": table.frame["day"].to_list()})
    assert table.notes == ("read the table 'sales' of the database",)


@pytest.mark.parametrize("kind", ["sqlite_file", "duckdb_file"])
def test_several_tables_are_asked_about(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(kind)
    connect = sqlite3.connect if kind == "sqlite_file" else duckdb.connect
    with closing(connect(str(path))) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.commit()
    with pytest.raises(DataError, match=r"which table of the database: 'notes', 'sales'\? Name it under `data\.table`"):
        read(tmp_path, path.name)
    assert read(tmp_path, path.name, table="sales").frame.height == 3
    with pytest.raises(DataError, match=r"data\.table: .* has no such table; it has 'notes', 'sales'"):
        read(tmp_path, path.name, table="sale")


@pytest.mark.parametrize("connection", ["sqlite:///shop.sqlite", "shop.sqlite"])
def test_a_query_of_sqlite(tmp_path: Path, sqlite_file: Path, connection: str) -> None:
    table = query(tmp_path, "SELECT * FROM sales WHERE city LIKE 'K%' OR id > 1", connection)
    assert table.frame.to_dict(as_series=False) == EXPECTED


def test_a_query_of_duckdb(tmp_path: Path, duckdb_file: Path) -> None:
    result = query(tmp_path, "SELECT price::DECIMAL(9, 2) AS price, day, y FROM sales", "duckdb:///shop.duckdb").frame
    assert result.sort("day")["price"].to_list() == [1.5, 2.5, None]
    assert result.schema["price"] == pl.Float64


def test_the_version_is_that_of_the_query_and_its_result(tmp_path: Path, sqlite_file: Path) -> None:
    first = query(tmp_path, "SELECT id, y FROM sales", "shop.sqlite")
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("DELETE FROM sales WHERE id = 1")
        connection.execute(INSERT, ROWS[0])
        connection.commit()
    again = query(tmp_path, "SELECT id, y FROM sales", "shop.sqlite")
    assert again.version == first.version
    assert again.frame.equals(first.frame)
    assert query(tmp_path, "SELECT id, y FROM sales ", "shop.sqlite").version != first.version
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("UPDATE sales SET y = 'c' WHERE id = 1")
        connection.commit()
    assert query(tmp_path, "SELECT id, y FROM sales", "shop.sqlite").version != first.version


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT * FROM nowhere", r"data\.query: the query failed: no such table: nowhere"),
        ("DELETE FROM sales", r"data\.query: the query failed: attempt to write a readonly database"),
        (
            "SELECT id, id, y FROM sales",
            r"data\.query: the result names 'id' more than once; rename .* AS",
        ),
        ("SELECT y FROM sales WHERE id > 9", "the table has no rows"),
    ],
)
def test_a_query_that_cannot_be_used(tmp_path: Path, sqlite_file: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        query(tmp_path, text, "shop.sqlite")


def test_connections_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.connection: there is no file .*absent\.db"):
        query(tmp_path, "SELECT 1 AS y", "sqlite:///absent.db")
    with pytest.raises(SpecError, match=r"data\.connection: the environment variable ABSENT_SECRET is not set"):
        query(tmp_path, "SELECT 1 AS y", "postgresql://u:${ABSENT_SECRET}@h/d")
    with pytest.raises(SpecError, match=r"data\.connection: expected the path of a database file, or a URL"):
        query(tmp_path, "SELECT 1 AS y", "nonsense://host/d")
    with pytest.raises(DataError, match=r"data\.query: the query failed: .*connection"):
        query(tmp_path, "SELECT 1 AS y", f"postgresql://u@127.0.0.1:{free_port()}/d")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"path": "t.csv", "query": "SELECT 1"}, "expected either `path` or `query`"),
        ({"path": "t.csv", "connection": "a.db"}, "`connection` needs `query`"),
        ({"query": "SELECT 1", "rows_in_memory": 5}, "`rows_in_memory` is for Parquet files"),
        ({"query": "SELECT 1", "connection": "postgresql://u:secret@h/d"}, "expected no password"),
        ({"query": "SELECT 1", "connection": "postgresql://h/d?password=secret"}, "expected no password"),
    ],
)
def test_sources_that_are_not_clear(data: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Data.model_validate({"target": "y"} | data)
    for url in ("postgresql://u:${SECRET}@h/d", "postgresql://u@h:5432/d", "duckdb:///C:/x.duckdb", "${URL}"):
        assert Data.model_validate({"target": "y", "query": "SELECT 1", "connection": url}).connection == url


def programs() -> Path | None:
    """Return the folder with the programs of PostgreSQL."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    return folders[-1] if folders else Path(on_path).parent if on_path else None


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A PostgreSQL server with a password that needs quoting; yields its URL without the password."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    data = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "postgres" if os.geteuid() == 0 else None  # its programs refuse to run as root

    def execute(program: str, *arguments: object) -> None:
        command = [str(argument) for argument in (folder / program, "-D", data / "cluster", *arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=data, user=user)

    (data / "password").write_text("p@ss/w:rd")
    if user:
        for path in (data, data / "password"):
            shutil.chown(path, user)
    port = free_port()
    try:
        execute("initdb", "-U", "analyst", "-A", "scram-sha-256", "--pwfile", data / "password")
        execute("pg_ctl", "-w", "-l", data / "log", "-o", f"-p {port} -k {data} -h 127.0.0.1", "start")
        try:
            yield f"postgresql://analyst:${{SHOP_PASSWORD}}@127.0.0.1:{port}/postgres"
        finally:
            execute("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data)


@pytest.mark.slow
def test_a_query_of_postgres(tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "p@ss/w:rd")
    url = postgres.replace("postgresql:", "postgresql+psycopg:").replace("${SHOP_PASSWORD}", "p%40ss%2Fw%3Ard")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE sales (id uuid, price numeric(9, 2), at timestamptz, ok boolean, y text)"
        )
        for number in range(3):
            connection.exec_driver_sql(
                f"INSERT INTO sales VALUES ('00000000-0000-0000-0000-00000000000{number}', {number}.25, "
                f"'2024-01-0{number + 1} 12:00+00', {number} > 1, 'a%%')"
            )
    engine.dispose()
    frame = query(tmp_path, "SELECT * FROM sales WHERE y LIKE 'a%' AND y != ':x'", postgres).frame
    assert frame.to_dict(as_series=False) == {
        "id": [f"00000000-0000-0000-0000-00000000000{number}" for number in range(3)],
        "price": [0.25, 1.25, 2.25],
        "at": [datetime(2024, 1, day, 12, tzinfo=UTC) for day in (1, 2, 3)],
        "ok": [False, False, True],
        "y": ["a%", "a%", "a%"],
    }
    with pytest.raises(DataError, match=r"data\.query: the query failed: .*read-only transaction"):
        query(tmp_path, "DELETE FROM sales RETURNING y", postgres)
    monkeypatch.setenv("SHOP_PASSWORD", "wrong")
    with pytest.raises(DataError) as caught:
        query(tmp_path, "SELECT * FROM sales", postgres)
    assert "password authentication failed" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_text_of_a_database_that_is_not_utf8(tmp_path: Path, sqlite_file: Path) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("UPDATE sales SET city = CAST(x'4bf66c6e' AS TEXT)")
        connection.commit()
    with pytest.raises(DataError, match="the database cannot be read: "):
        read(tmp_path, "shop.sqlite")
