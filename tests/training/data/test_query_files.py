"""Files that a query names in the place of tables."""

import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.query_files import write_query_files
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.spec import Data, Spec
from tests.training.reading.files import read

#: Days that are ambiguous without the other file, and numbers with a comma.
NORTH = "sold;amount;region\n05/06/2024;1.234,5;north\n07/06/2024;7,25;north\n"
SOUTH = "sold;amount;region\n13/06/2024;1;south\n"


def query(folder: Path, text: str, **data: Any) -> Table:
    keys = {"query": text, "target": "region", **data}
    return read_table(Spec(name="m", data=Data.model_validate(keys)), folder)


def test_a_query_of_files(tmp_path: Path) -> None:
    """Without a connection, a query joins files next to model.yaml."""
    (tmp_path / "orders.csv").write_text("id,price\n1,1.5\n2,2.5\n")
    pl.DataFrame({"id": [1, 2], "region": ["a", "b"]}).write_parquet(tmp_path / "customers.parquet")
    table = query(tmp_path, "SELECT * FROM 'orders.csv' JOIN 'customers.parquet' USING (id)")
    assert table.frame.to_dict(as_series=False) == {"id": [1, 2], "price": [1.5, 2.5], "region": ["a", "b"]}


def test_text_files_of_a_query_are_read_as_other_tables_are(tmp_path: Path) -> None:
    """DuckDB would guess the order of day and month, and read other numbers as text."""
    rows = ["customer;sold;amount", "a;01/02/2024;1.234,5", "b;02/02/2024;7,25", "a;13/02/2024;1", ""]
    (tmp_path / "orders.csv").write_text("\n".join(rows))
    (tmp_path / "regions.csv").write_text("customer,region\na,north\nb,south\n")
    joined = "SELECT sold, amount, region FROM 'orders.csv' JOIN 'regions.csv' USING (customer) ORDER BY sold"
    table = query(tmp_path, joined, target="region")
    assert table.frame["sold"].dt.to_string("%d.%m").to_list() == ["01.02", "02.02", "13.02"]
    assert table.frame["amount"].to_list() == [1234.5, 7.25, 1.0]
    assert "sold: read as `%d/%m/%Y`" in table.notes


def test_an_ambiguous_file_of_a_query_is_a_question(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("sold,region\n01/02/2024,north\n02/03/2024,south\n")
    with pytest.raises(DataError, match="column 'sold': its dates can be read in more than one way"):
        query(tmp_path, "SELECT * FROM 'orders.csv'", target="region")
    table = query(tmp_path, "SELECT * FROM 'orders.csv'", target="region", formats={"sold": "%m/%d/%Y"})
    assert table.frame["sold"].dt.month().to_list() == [1, 2]


@pytest.mark.parametrize("named", ["'sales/*.csv'", "'sales'", "'sales/'", '"sales/*.csv"', "'sales/**/*.csv' AS s"])
def test_files_of_a_query_are_read_as_those_of_a_path(tmp_path: Path, named: str) -> None:
    """DuckDB alone would take the days of the first file for months, and read its numbers as text."""
    (tmp_path / "sales").mkdir()
    (tmp_path / "sales" / "north.csv").write_text(NORTH)
    (tmp_path / "sales" / "south.csv").write_text(SOUTH)
    expected = read(tmp_path, "sales", target="region").frame
    table = query(tmp_path, f"SELECT * FROM {named} ORDER BY sold")
    assert table.frame.equals(expected)
    assert table.frame["sold"].dt.to_string("%d.%m").to_list() == ["05.06", "07.06", "13.06"]
    assert table.frame["amount"].to_list() == [1234.5, 7.25, 1.0]
    assert "sold: read as `%d/%m/%Y`" in table.notes


def write_excel(frame: pl.DataFrame, path: Path) -> None:
    frame.write_excel(path)


def write_gzip(frame: pl.DataFrame, path: Path) -> None:
    path.write_bytes(gzip.compress(frame.write_csv().encode()))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("json", pl.DataFrame.write_json),
        ("jsonl", pl.DataFrame.write_ndjson),
        ("csv.gz", write_gzip),
        ("xlsx", write_excel),
        ("arrow", pl.DataFrame.write_ipc),
    ],
)
def test_globs_of_other_kinds(tmp_path: Path, suffix: str, write: Callable[[pl.DataFrame, Path], None]) -> None:
    for number in (1, 2):
        frame = pl.DataFrame({"code": ["007", "7"], "price": ["1,5", "2,5"], "region": ["a", f"b{number}"]})
        write(frame, tmp_path / f"part{number}.{suffix}")
    expected = read(tmp_path, f"*.{suffix}", target="region").frame
    table = query(tmp_path, f"SELECT * FROM '*.{suffix}' ORDER BY region, code")
    assert table.frame.equals(expected.sort("region", "code"))
    assert expected["price"].to_list() == [1.5, 2.5] * 2


@pytest.mark.parametrize(("suffix", "days"), [("csv", [1, 13]), ("parquet", [1])])
def test_the_names_of_folders_are_columns(tmp_path: Path, suffix: str, days: list[int]) -> None:
    for day in days:
        folder = tmp_path / "sales" / f"day={day:02}.02.2024"
        folder.mkdir(parents=True)
        frame = pl.DataFrame({"x": [1], "region": ["a"]})
        frame.write_csv(folder / "p.csv") if suffix == "csv" else frame.write_parquet(folder / "p.parquet")
    keys = {"formats": {"day": "%d.%m.%Y"}}
    for named in ("sales", f"sales/*/*.{suffix}"):
        frame = query(tmp_path, f"SELECT * FROM '{named}' ORDER BY day", **keys).frame
        assert frame["day"].dt.day().to_list() == days


def test_parquet_files_that_differ(tmp_path: Path) -> None:
    """DuckDB alone would round the numbers of the second file, and leave out its other column."""
    pl.DataFrame({"x": [1, 2], "region": ["a", "b"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"x": [1.7], "region": ["c"]}).write_parquet(tmp_path / "2.parquet")
    assert query(tmp_path, "SELECT * FROM '*.parquet' ORDER BY region").frame["x"].to_list() == [1, 2, 1.7]
    pl.DataFrame({"x": [1], "region": ["c"], "z": [1]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet: its columns differ from those of .*1\.parquet: 'z'"):
        query(tmp_path, "SELECT * FROM '*.parquet'")


def test_parquet_files_of_one_schema_stay_where_they_are(tmp_path: Path) -> None:
    for year in (2023, 2024):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        pl.DataFrame({"x": [year], "region": ["a"]}).write_parquet(folder / "1.parquet")
    target = tmp_path / "copies"
    target.mkdir()
    text = "SELECT * FROM '*/*.parquet' WHERE year = 2024"
    assert write_query_files(Spec(name="m", data=Data(query=text, target="y")), tmp_path, target) == (text, [])
    assert query(tmp_path, text).frame.to_dict(as_series=False) == {"x": [2024], "region": ["a"], "year": [2024]}


def test_words_that_are_not_files(tmp_path: Path) -> None:
    """Text, comments and the names of other tables stay as they are, also if there are such files."""
    (tmp_path / "sales").mkdir()
    (tmp_path / "sales.csv").write_text(NORTH)
    text = (
        "WITH sales AS (SELECT *, replace(region, '*', 'sales.csv') AS \"sales.csv\" FROM 'sales.csv' -- 'sales'\n)"
        "SELECT sales.*, ', ''sales.csv''' AS ä FROM sales, 'sales.csv' AS other WHERE other.amount < 8"
    )
    frame = query(tmp_path, text, formats={"sold": "%d/%m/%Y"}).frame
    assert frame["ä"].to_list() == [", 'sales.csv'"] * 2
    assert frame["sold"].dt.month().to_list() == [6, 6]


@pytest.mark.parametrize("named", ["'sales.csv'", '"sales.csv"', "sales.csv"])
def test_the_name_of_a_file_is_that_of_its_table(tmp_path: Path, named: str) -> None:
    (tmp_path / "sales.csv").write_text(NORTH + SOUTH.partition("\n")[2])
    frame = query(tmp_path, f"SELECT sales.amount, sales.region FROM {named}").frame
    assert sorted(frame["amount"].to_list()) == [1, 7.25, 1234.5]


def test_databases_in_the_place_of_a_table(tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "a.duckdb"))) as connection:
        connection.execute("CREATE TABLE areas AS SELECT 1.5::DECIMAL(9, 2) AS area, 'south' AS region")
    with closing(sqlite3.connect(tmp_path / "b.sqlite")) as other:
        other.execute("CREATE TABLE days AS SELECT '2024-02-01' AS day, 'south' AS region")
        other.commit()
    frame = query(tmp_path, "SELECT * FROM 'a.duckdb' JOIN 'b.sqlite' USING (region)").frame
    assert frame.to_dict(as_series=False) == {"area": [1.5], "region": ["south"], "day": [datetime(2024, 2, 1)]}


def test_files_next_to_a_table_of_duckdb(tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "shop.duckdb"))) as connection:
        connection.execute("CREATE TABLE regions AS SELECT 'south' AS region, 1 AS area")
    (tmp_path / "regions").mkdir()
    (tmp_path / "sales.csv").write_text(SOUTH.replace("1;south", "1,5;south"))
    joined = "SELECT * FROM regions JOIN 'sales.csv' USING (region)"
    for url in ("shop.duckdb", "duckdb:///shop.duckdb"):
        assert query(tmp_path, joined, connection=url).frame["amount"].to_list() == [1.5]
    pivoted = query(tmp_path, "PIVOT regions ON area USING count(*)", connection="shop.duckdb").frame
    assert pivoted.to_dict(as_series=False) == {"region": ["south"], "1": [1]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT * FROM 'absent/*.csv'", r"data\.query: there is no file .*absent"),
        ("SELECT * FROM 'absent.csv'", r"data\.query: the query failed: .*absent\.csv"),
        ("SELEC * FROM 'sales.csv'", r"data\.query: the query failed: .*syntax error"),
        ("SELECT * FROM 'cut.parquet'", r"cut\.parquet: cannot be read as Parquet"),
        ("SELECT * FROM 'bad/*.csv'", r"b\.csv: its columns differ from those of .*a\.csv: 'x', 'z'"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 cut off")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.csv").write_text("x,region\n1,a\n")
    (tmp_path / "bad" / "b.csv").write_text("z,region\n1,a\n")
    with pytest.raises(DataError, match=complaint):
        query(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "PIVOT 'sales.csv' ON region USING sum(amount)",
        "CREATE TABLE s AS FROM 'sales.csv'",
        "SELECT 1; PIVOT 'sales.csv' ON region USING sum(amount)",
    ],
)
def test_a_query_that_cannot_be_searched_for_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "sales.csv").write_text(NORTH)
    with pytest.raises(SpecError, match=r"data\.query: expected one query that begins with SELECT"):
        query(tmp_path, text)


@pytest.mark.parametrize(
    "call", ["read_csv('s.csv')", "read_csv('*.csv', delim = ';')", "\"READ_JSON_auto\"('s.json')"]
)
def test_a_function_that_guesses_types_is_refused(tmp_path: Path, call: str) -> None:
    with pytest.raises(SpecError, match=r"read_\w+ guesses dates and numbers; name the file .* with `delimiter`"):
        query(tmp_path, f"SELECT * FROM (SELECT * FROM {call})")


def test_a_function_with_stated_types_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(NORTH)
    frame = query(tmp_path, "SELECT * FROM read_csv('s.csv', delim = ';', all_varchar = true) ORDER BY sold").frame
    assert frame["amount"].to_list() == [1234.5, 7.25]


def test_a_value_that_cannot_be_converted_is_not_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("name,region\nAnna,a\n")
    with pytest.raises(DataError, match=r"the query failed: .*Could not convert string \.\.\. to INT32") as caught:
        query(tmp_path, "SELECT name::INT AS x, region FROM 's.csv'")
    assert "Anna" not in str(caught.value)
