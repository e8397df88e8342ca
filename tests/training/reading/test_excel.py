from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from model_deployer.contract.errors import DataError
from tests.training.reading.files import read, read_one

ROWS = [["id", "when", "ready", "remark", "y"]] + [
    [f"0{number}", date(2024, 1, 1 + number), number % 2 == 0, "1,5" if number else "-", number / 2]
    for number in range(8)
]


def write(path: Path, **sheets: list[list[Any]]) -> None:
    """Write a workbook; the cells of a sheet begin in its first row and column."""
    book = xlsxwriter.Workbook(str(path))
    formats = {
        date: book.add_format({"num_format": "yyyy-mm-dd"}),
        timedelta: book.add_format({"num_format": "[h]:mm:ss"}),
    }
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for row, cells in enumerate(rows):
            for column, value in enumerate(cells):
                if value is not None:
                    sheet.write(row, column, value, formats.get(type(value)))
    book.close()


def test_cells_keep_their_types(tmp_path: Path) -> None:
    write(tmp_path / "t.xlsx", Data=ROWS, Empty=[])
    table = read_one(tmp_path / "t.xlsx")
    assert table.notes == ("read as Excel: sheet 'Data', header in row 1",)
    assert table.frame.schema == {
        "id": pl.String, "when": pl.Datetime("us"), "ready": pl.Boolean, "remark": pl.String, "y": pl.Float64
    }  # fmt: skip
    assert table.frame.row(3) == ("03", datetime(2024, 1, 4), False, "1,5", 1.5)


def test_whole_numbers_are_integers(tmp_path: Path) -> None:
    write(tmp_path / "t.xlsx", Data=[["x", "y"], [1, 0.0], [2, 1.0], [None, 1.0]])
    assert read(tmp_path, "t.xlsx").frame.to_dict(as_series=False) == {"x": [1, 2, None], "y": [0, 1, 1]}


def test_durations_keep_their_type(tmp_path: Path) -> None:
    rows = [[timedelta(hours=number), number / 2] for number in range(40)]
    write(tmp_path / "t.xlsx", Data=[["worked", "y"], *rows])
    assert read(tmp_path, "t.xlsx").frame["worked"][30] == timedelta(hours=30)


def test_several_sheets_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path / "t.xlsx", Data=ROWS, Notes=[["made by hand"]])
    with pytest.raises(DataError, match=r"t\.xlsx: which sheet holds the table: 'Data', 'Notes'\? .*`data\.sheet`"):
        read_one(tmp_path / "t.xlsx")
    assert read_one(tmp_path / "t.xlsx", sheet="Data").frame.height == 8
    with pytest.raises(DataError, match=r"data\.sheet: .* has no such sheet; it has 'Data', 'Notes'"):
        read_one(tmp_path / "t.xlsx", sheet="data")


def test_titles_and_totals_around_a_table(tmp_path: Path) -> None:
    """Titles above the header are left out; a total is asked about."""
    rows = [[], [None, "Sales 2024"], [], *([None, *row] for row in ROWS), [None, "Total", None, None, None, 14]]
    write(tmp_path / "t.xlsx", Data=rows)
    with pytest.raises(DataError, match=r"t\.xlsx, row 13: the last row looks like totals .*`data\.footer_rows: 1`"):
        read_one(tmp_path / "t.xlsx")
    table = read_one(tmp_path / "t.xlsx", footer_rows=1)
    assert table.notes == ("read as Excel: sheet 'Data', header in row 4",)
    assert table.frame.columns == ROWS[0]
    assert table.frame["y"].sum() == 14
    assert read_one(tmp_path / "t.xlsx", range="B4:F12").frame.equals(table.frame)
    assert read_one(tmp_path / "t.xlsx", range="C4:D6").frame.shape == (2, 2)
    assert read_one(tmp_path / "t.xlsx", header_row=4, footer_rows=0).frame.height == 9


def test_two_tables_next_to_each_other_are_asked_about(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["x", "y", None, "a", "b"]]
    rows += [[number, number / 2, None, *([number, -number] if number < 3 else [])] for number in range(8)]
    write(tmp_path / "t.xlsx", Data=rows)
    with pytest.raises(DataError, match=r"t\.xlsx: .* next to each other: 'x' to 'y' and 'a' to 'b'; .*`data\.range`"):
        read(tmp_path, "t.xlsx")
    assert read(tmp_path, "t.xlsx", range="A1:B9").frame.shape == (8, 2)
    write(tmp_path / "spaced.xlsx", Data=[["x", None, "y"], *([number, None, number / 2] for number in range(8))])
    assert read(tmp_path, "spaced.xlsx").frame.columns == ["x", "y"]


def test_merged_rows_are_asked_about(tmp_path: Path) -> None:
    """Merged cells in a header or title are fine; of those in the table, the rows below the first one lack a value."""
    book = xlsxwriter.Workbook(str(tmp_path / "t.xlsx"))
    sheet = book.add_worksheet("A & B")
    sheet.merge_range("A1:C2", "Title of two rows")
    for column, name in enumerate(("region", "x", "y")):
        sheet.write(2, column, name)
    for row in range(3, 15):
        sheet.write_row(row, 1, [row, row / 2])
    sheet.merge_range("A4:A8", "north")
    sheet.merge_range("A9:A15", "south")
    book.close()
    with pytest.raises(DataError, match=r"t\.xlsx, row 4: the cells A4:A8 are merged"):
        read(tmp_path, "t.xlsx")
    assert read(tmp_path, "t.xlsx", range="B3:C15").frame.shape == (12, 2)


def test_a_spreadsheet_that_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "t.xlsx", Data=ROWS)
    with pytest.raises(DataError, match="damaged or cut off"):
        read_one(tmp_path / "t.xlsx", (tmp_path / "t.xlsx").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"save it again as \.xlsx"):
        read_one(tmp_path / "t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)


def test_columns_without_cells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "t.xlsx", Data=[["x", None, "empty", "y"], [1, None, None, "a"], [None], [2, None, None, "b"]])
    frame = read_one(tmp_path / "t.xlsx").frame
    assert frame.to_dict(as_series=False) == {"x": [1, 2], "empty": [None, None], "y": ["a", "b"]}
    assert not caplog.records


def test_an_empty_workbook(tmp_path: Path) -> None:
    write(tmp_path / "t.xlsx", Data=[])
    with pytest.raises(DataError, match="the table has no rows"):
        read_one(tmp_path / "t.xlsx")
