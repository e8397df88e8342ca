"""Queries of a real MariaDB, with the driver of the extra ``sql``."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pymysql
import pytest

from model_deployer.contract.errors import DataError, EnvironmentFault, SpecError
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import Data, Spec
from tests.support.processes import free_port

PASSWORD = "p@ss/w:rd"
PROGRAMS = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])

STATEMENTS = [
    "CREATE DATABASE shop CHARACTER SET utf8mb4",
    f"CREATE USER analyst@'%' IDENTIFIED BY '{PASSWORD}'",
    "GRANT ALL ON shop.* TO analyst@'%'",
    "USE shop",
    "SET sql_mode = ''",
    "CREATE TABLE sales (id int, big bigint unsigned, price decimal(9, 2), day date, at datetime(6), ok boolean, "
    "bits bit(9), city varchar(20), body json, raw blob, y enum('a', 'b'))",
    "INSERT INTO sales VALUES (1, 18446744073709551615, 1.25, '2024-01-05', '2024-01-05 12:00:01.5', TRUE, "
    """b'100000001', 'Köln 🙂', '{"a": 1}', x'00ff', 'a')""",
    "INSERT INTO sales VALUES (2, 1, 99.5, '0000-00-00', '0000-00-00', FALSE, b'0', 'a%', '[]', '', 'b')",
    "INSERT INTO sales (id) VALUES (3)",
    "CREATE TABLE days (day date, y int) ENGINE = MyISAM",
    "INSERT INTO days VALUES ('2024-01-05', 1), ('2024-02-00', 2)",
]


def query(text: str, connection: str) -> pl.DataFrame:
    return read_table(Spec(name="m", data=Data(query=text, connection=connection, target="y")), Path()).frame


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    """A MariaDB with a password that needs quoting; yields its URL without the password."""
    server, install = (shutil.which(name, path=PROGRAMS) for name in ("mariadbd", "mariadb-install-db"))
    if not server or not install:
        pytest.skip("MariaDB is not installed (apt-get install mariadb-server)")
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    options = ["--no-defaults", f"--datadir={folder}/data"]
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "mysql")
        options.append("--user=mysql")
    port, log = free_port(), folder / "log"
    command = [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(command, check=True, capture_output=True)
    listening = [f"--socket={folder}/socket", f"--port={port}", "--bind-address=127.0.0.1", f"--log-error={log}"]
    process = subprocess.Popen([server, *options, *listening], stderr=subprocess.DEVNULL)
    try:
        with closing(connected(folder / "socket")) as connection, connection.cursor() as cursor:
            for statement in STATEMENTS:
                cursor.execute(statement)
        yield f"mysql://analyst:${{SHOP_PASSWORD}}@127.0.0.1:{port}/shop"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def connected(socket: Path) -> pymysql.Connection:
    """Return a connection as root, as soon as the server accepts one."""
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=str(socket), user="root", autocommit=True, charset="utf8mb4")
        except pymysql.err.OperationalError:
            time.sleep(0.1)
    raise TimeoutError("MariaDB does not start")


@pytest.fixture
def url(mariadb: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    return mariadb


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mysql", "mariadb", "mysql+pymysql"])
def test_values_of_mysql(url: str, name: str) -> None:
    frame = query("SELECT * FROM sales WHERE city LIKE '%' OR id = 3 ORDER BY id", url.replace("mysql", name, 1))
    assert frame.to_dict(as_series=False) == {
        "id": [1, 2, 3],
        "big": [18446744073709551615, 1, None],
        "price": [1.25, 99.5, None],
        "day": [date(2024, 1, 5), None, None],
        "at": [datetime(2024, 1, 5, 12, 0, 1, 500000), None, None],
        "ok": [1, 0, None],
        "bits": [257, 0, None],
        "city": ["Köln 🙂", "a%", None],
        "body": ['{"a": 1}', "[]", None],
        "raw": [b"\x00\xff", b"", None],
        "y": ["a", "b", None],
    }


@pytest.mark.slow
def test_a_day_of_mysql_that_is_none(url: str) -> None:
    with pytest.raises(
        DataError, match=r"column 'day', row 2 of the result: .* date, .* this is str; convert"
    ) as caught:
        query("SELECT * FROM days ORDER BY y", url)
    assert "2024" not in str(caught.value)
    assert query("SELECT IF(day(day) = 0, NULL, day) AS day, y FROM days", url).height == 2


@pytest.mark.slow
@pytest.mark.parametrize("text", ["DELETE FROM days RETURNING y", "DROP TABLE days", "TRUNCATE days"])
def test_mysql_is_opened_for_reading_only(url: str, text: str) -> None:
    """MyISAM has no transactions: a change could not be taken back."""
    with pytest.raises(DataError, match=r"data\.query: the query failed: Cannot execute statement in a READ ONLY"):
        query(text, url)
    assert query("SELECT count(*) AS y FROM days", url)["y"].to_list() == [2]


@pytest.mark.slow
def test_queries_of_mysql_that_fail(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"data\.query: the query failed: Table 'shop\.nope' doesn't exist$"):
        query("SELECT * FROM nope", url)
    with pytest.raises(SpecError, match=r"data\.connection: the driver pymysql cannot connect .* argument 'nonsense'"):
        query("SELECT 1 AS y", f"{url}?nonsense=1")
    with pytest.raises(SpecError, match=r"data\.connection: the driver pymysql cannot connect .* No such file"):
        query("SELECT 1 AS y", f"{url}?ssl_ca=absent.pem")
    with pytest.raises(EnvironmentFault, match=r"data\.connection: `mysql\+aiomysql` needs the module 'aiomysql'"):
        query("SELECT 1 AS y", url.replace("mysql", "mysql+aiomysql", 1))
    monkeypatch.setenv("SHOP_PASSWORD", "wrong")
    with pytest.raises(DataError, match="Access denied for user 'analyst'") as caught:
        query("SELECT 1 AS y", url)
    assert "wrong" not in str(caught.value)
