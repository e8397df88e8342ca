"""Tables as people export them, each a few rows of a real one."""

from pathlib import Path

import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from tests.training.reading.files import read

NUMBERS = [(0.1257302210933933, 1.7311363702046545, "a", "no"), (-0.1321048632913019, 5.863783547983777, "b", "yes")]

#: A loan book of a European bank: decimal commas, letters beyond ASCII, empty values.
LOANS_EU = """emp_title;state;annual_income;debt_to_income;interest_rate;issue_month
Küchenchef;NJ;90000,0;18,01;14,07;Mar-2018
werknemer café;HI;40000,0;5,04;12,61;Feb-2018
;NV;76000,0;;6,72;Jan-2018
"""

#: The same with signs: amounts with thousands separators in quotes, a target in percent.
LOANS_US = """emp_title,state,annual_income,total_credit_limit,interest_rate
global config engineer,NJ,"$90,000","70,795",14.07%
"owner, partner",HI,"$40,000","28,800",12.61%
beauty stylist,IN,"$70,000","57,300",5.31%
"""

DATES_US = "sold,price,units\n11/08/2023,11.34,75.8\n08/11/2022,8.93,54.2\n"
DATES_ISO = "sold,price,units\n2023-11-08,11.34,75.8\n2022-08-11,8.93,54.2\n"


#: Printed tables: of SAP with a title, of MySQL, of PostgreSQL, and of Markdown.
PRINTED = [
    """31.12.2024        Dynamic list display        1
------------------------
|  Material|  Stock |y |
|----------|--------|--|
|  100001  | 1.234,5|no|
|  100002  |    7,5-|no|
------------------------
""",
    """+----------+---------+----+
| Material | Stock   | y  |
+----------+---------+----+
|   100001 | 1.234,5 | no |
|   100002 |    7,5- | no |
+----------+---------+----+
""",
    """ Material |  Stock  | y
----------+---------+----
   100001 | 1.234,5 | no
   100002 |    7,5- | no
""",
    """| Material | Stock | y |
|:---|---:|---|
| 100001 | 1.234,5 | no |
| 100002 | 7,5- | no |
""",
]


@pytest.mark.parametrize("content", PRINTED)
def test_printed_tables(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.txt").write_text(content)
    assert read(tmp_path, "t.txt").frame.to_dict(as_series=False) == {
        "Material": [100001, 100002], "Stock": [1234.5, -7.5], "y": ["no", "no"]
    }  # fmt: skip


@pytest.mark.parametrize("quoted", ["b", 'b "c" d'])
def test_missing_values_of_databases(tmp_path: Path, quoted: str) -> None:
    (tmp_path / "t.tsv").write_text(f"id\tx\ty\n1\t{quoted}\tno\n2\t\\N\tyes\n\\N\tc\tno\n")
    frame = read(tmp_path, "t.tsv").frame
    assert frame.to_dict(as_series=False) == {"id": [1, 2, None], "x": [quoted, None, "c"], "y": ["no", "yes", "no"]}


@pytest.mark.parametrize(
    "above", ["# columns: x,c,y\n", "y,in EUR\nfrom,1 January 2024\n\n", "# x,c,y\n# made by hand\n", "target,y\n"]
)
def test_lines_above_the_header_that_name_the_target(tmp_path: Path, above: str) -> None:
    (tmp_path / "t.csv").write_text(f"{above}x,c,y\n1,a,no\n2,b,yes\n3,c,no\n")
    assert read(tmp_path, "t.csv").frame["x"].to_list() == [1, 2, 3]


def test_a_header_that_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,c,y\n1,a,no\nx,c,y\n2,c,yes\nx,b,no\n")
    table = read(tmp_path, "t.csv")
    assert table.frame["y"].to_list() == ["no", "yes", "no"]
    assert "one row repeats the header: left out" in table.notes


@pytest.mark.parametrize("separator", [",", ";", ", ", "\t"])
def test_the_same_numbers_in_several_dialects(tmp_path: Path, separator: str) -> None:
    lines = [separator.join(map(str, row)) for row in [("x1", "x2", "c", "y"), *NUMBERS * 20]]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert read(tmp_path, "t.csv").frame.rows()[:2] == NUMBERS


def test_classes_as_decimals(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x1,c,y\n0.12,a,0.0\n-0.13,b,1.0\n0.64,b,0.0\n")
    assert read(tmp_path, "t.csv").frame["y"].to_list() == [0.0, 1.0, 0.0]


def test_an_export_of_a_european_bank(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(LOANS_EU.encode("cp1252"))
    table = read(tmp_path, "t.csv", target="interest_rate")
    assert table.notes == ("read as CSV: ';' between values, cp1252, header in row 1",)
    assert table.frame.shape == (3, 6)
    assert table.frame["emp_title"].to_list() == ["Küchenchef", "werknemer café", None]


def test_an_export_with_signs_and_thousands(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(LOANS_US)
    table = read(tmp_path, "t.csv", target="interest_rate")
    assert table.frame.shape == (3, 5)
    assert table.frame["emp_title"][1] == "owner, partner"


@pytest.mark.parametrize("content", [DATES_US, DATES_ISO])
def test_exports_with_dates(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    assert read(tmp_path, "t.csv", target="units").frame["units"].to_list() == [75.8, 54.2]


def test_quotes_in_the_middle_of_names(tmp_path: Path) -> None:
    rows = "".join(f'Jagger,0.{number},no\nO"Brian,0.1,yes\n' for number in range(30))
    (tmp_path / "t.csv").write_text(f"name,x,y\n{rows}")
    table = read(tmp_path, "t.csv")
    assert table.frame.height == 60
    assert table.frame["name"].unique().sort().to_list() == ["Jagger", 'O"Brian']


def test_quotes_that_are_inches(tmp_path: Path) -> None:
    rows = "".join(f'Jagger,0.{number},no\n"19 inch rack,0.1,yes\n' for number in range(10, 40))
    (tmp_path / "t.csv").write_text(f"name,x,y\n{rows}")
    with pytest.raises(DataError, match=r"t\.csv, row 3: a quote opens here"):
        read(tmp_path, "t.csv")
    assert read(tmp_path, "t.csv", quote="none").frame["name"][1] == '"19 inch rack'


def test_a_folder_of_years(tmp_path: Path) -> None:
    for year in (2023, 2024):
        (tmp_path / "hive" / f"year={year}").mkdir(parents=True)
        pl.DataFrame({"x": [1, 2], "y": ["a", "b"]}).write_parquet(tmp_path / "hive" / f"year={year}" / "p.parquet")
    assert read(tmp_path, "hive").frame["year"].to_list() == [2023, 2023, 2024, 2024]
