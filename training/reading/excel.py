"""Read a sheet of a spreadsheet: Excel's formats and OpenDocument."""

import logging
import re
from dataclasses import dataclass
from typing import Any

import fastexcel
import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.content import Content
from model_deployer.training.reading.header import (
    MAX_HEADER_ROWS,
    default_names,
    find_header,
    first_data_row,
    footer_question,
    footer_rows,
)
from model_deployer.training.reading.merged_cells import merged_rows
from model_deployer.training.reading.table_file import TableFile, named
from model_deployer.training.spec import Spec

# It warns of every empty column.
logging.getLogger("fastexcel").setLevel(logging.ERROR)


@dataclass(frozen=True)
class _Area:
    """A part of a sheet: its columns as letters, its first row counted from 0, and its number of rows or None."""

    sheet: str
    columns: str | None
    first: int
    rows: int | None


def read_excel(content: Content, spec: Spec) -> TableFile:
    """Read a sheet; numbers, booleans and times keep their type, and text stays text.

    Raises:
        DataError: if the file is damaged, it has several sheets and ``data.sheet`` names none of them, it has no
            header, or the last rows look like totals and ``data.footer_rows`` does not say how many they are.
    """
    source = content.source if isinstance(content.source, bytes) else str(content.source)
    try:
        workbook = fastexcel.read_excel(source)
        area = _area(workbook, content, spec)
        return _read(workbook, area, content, spec)
    except fastexcel.FastExcelError:
        raise DataError(
            f"{content.path}: the spreadsheet cannot be read; open it, remove its password if it has one, and save it "
            f"again as .xlsx"
        ) from None


def _area(workbook: fastexcel.ExcelReader, content: Content, spec: Spec) -> _Area:
    sheet = _sheet(workbook, content, spec)
    if spec.data.range is None:
        return _Area(sheet, None, 0, None)
    left, top, right, bottom = re.fullmatch(r"([A-Z]+)(\d+):([A-Z]+)(\d+)", spec.data.range).groups()  # type: ignore[union-attr]
    return _Area(sheet, f"{left}:{right}", int(top) - 1, int(bottom) - int(top) + 1)


def _sheet(workbook: fastexcel.ExcelReader, content: Content, spec: Spec) -> str:
    names = workbook.sheet_names
    if spec.data.sheet is not None:
        if spec.data.sheet in names:
            return spec.data.sheet
        listed = ", ".join(f"'{name}'" for name in names)
        raise DataError(f"{spec.location('data', 'sheet')}: {content.path} has no such sheet; it has {listed}")
    filled = [name for name in names if _is_filled(workbook, name)]
    if not filled:
        raise DataError(f"{content.path}: the table has no rows")
    if len(filled) > 1:
        listed = ", ".join(f"'{name}'" for name in filled)
        raise DataError(f"{content.path}: which sheet holds the table: {listed}? Name it under `data.sheet`")
    return filled[0]


def _is_filled(workbook: fastexcel.ExcelReader, name: str) -> bool:
    sheet = workbook.load_sheet(name, header_row=None, n_rows=1, dtypes="string")
    return sheet.visible == "visible" and sheet.total_height > 0


def _load(workbook: fastexcel.ExcelReader, area: _Area, **options: Any) -> pl.DataFrame:
    frame: pl.DataFrame = workbook.load_sheet(
        area.sheet, header_row=None, use_columns=area.columns, **options
    ).to_polars()
    return frame


def _read(workbook: fastexcel.ExcelReader, area: _Area, content: Content, spec: Spec) -> TableFile:
    rows = MAX_HEADER_ROWS if area.rows is None else min(area.rows, MAX_HEADER_ROWS)
    preview = _load(workbook, area, skip_rows=area.first, n_rows=rows, dtypes="string")
    top = [["" if value is None else value for value in row] for row in preview.iter_rows()]
    header, names, first = _header(top, area, content, spec)
    size = None if area.rows is None else area.rows - first
    frame = _body(workbook, area, area.first + first, size)
    if spec.data.footer_rows:
        end = frame["row"][-min(spec.data.footer_rows, frame.height)] if frame.height else 0
        frame = _body(workbook, area, area.first + first, int(end))
    numbers, frame = frame["row"], frame.drop("row")
    if area.columns is None:
        _refuse_two_tables(frame, names, content)
    _refuse_merged_rows(area, area.first + first, numbers, content)
    if spec.data.footer_rows is None:
        _refuse_footer(frame, numbers, area.first + first, content)
    where = f"header in row {area.first + header + 1}" if header is not None else "no header"
    return TableFile(named(frame, names, content.path), (f"read as Excel: sheet '{area.sheet}', {where}",))


def _header(top: list[list[str]], area: _Area, content: Content, spec: Spec) -> tuple[int | None, tuple[str, ...], int]:
    """Return the index of the header within the area, the names, and the index of the first row after it."""
    if not top:
        raise DataError(f"{content.path}: the table has no rows")
    width = len(top[0])
    header = find_header(top, width, spec.data.target_in_file)
    if spec.data.header_row is not None:
        header = spec.data.header_row - 1 - area.first if spec.data.header_row else None
    if header is None:
        return None, default_names(width), first_data_row(top, width)
    if not 0 <= header < len(top):
        raise DataError(
            f"{spec.location('data', 'header_row')}: expected a row of the table among its first {MAX_HEADER_ROWS}"
        )
    return header, tuple(top[header]), header + 1


def _body(workbook: fastexcel.ExcelReader, area: _Area, skip: int, size: int | None) -> pl.DataFrame:
    """Return the rows that are not blank, with their numbers after the skipped ones in the column ``row``."""
    frame = _load(workbook, area, skip_rows=skip, n_rows=size, schema_sample_rows=None)
    frame = pl.DataFrame([_typed(column).alias(str(index)) for index, column in enumerate(frame)])
    kept = (
        frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
        if frame.width
        else pl.Series([], dtype=pl.Boolean)
    )
    return frame.with_columns(row=pl.int_range(pl.len())).filter(kept)


def _typed(column: pl.Series) -> pl.Series:
    """Return whole numbers as integers, since a sheet has no other type than decimals, and times in microseconds."""
    if column.dtype == pl.Float64 and column.is_finite().all() and (column == column.round()).all():
        return column.cast(pl.Int64) if column.null_count() < len(column) else column
    return column.cast(pl.Datetime("us")) if column.dtype == pl.Datetime else column


def _refuse_two_tables(frame: pl.DataFrame, names: tuple[str, ...], content: Content) -> None:
    """Refuse tables next to each other: an empty column is between them, and one has fewer rows.

    Raises:
        DataError: if there are some; the message says which columns each of them has.
    """
    parts: list[list[int]] = [[]]
    for index, column in enumerate(frame):
        if names[index] or column.null_count() < len(column):
            parts[-1].append(index)
        elif parts[-1]:
            parts.append([])
    heights = [_height(frame, part) for part in parts if part]
    if len(set(heights)) > 1:
        tables = " and ".join(f"'{names[part[0]]}' to '{names[part[-1]]}'" for part in parts if part)
        raise DataError(
            f"{content.path}: the sheet holds several tables next to each other: {tables}; name the cells of one under "
            f"`data.range`, such as B3:F200"
        )


def _height(frame: pl.DataFrame, columns: list[int]) -> int:
    """Return the number of the last row in which one of the columns has a value."""
    filled = frame.select(~pl.all_horizontal(pl.nth(columns).is_null())).to_series()
    return len(filled) - (filled.reverse().arg_max() or 0)


def _refuse_merged_rows(area: _Area, skip: int, numbers: pl.Series, content: Content) -> None:
    """Refuse merged cells over several rows of the table: all rows but the first would lack their value."""
    last = skip + int(numbers[-1]) + 1 if len(numbers) else 0
    left, right = area.columns.split(":") if area.columns else ("A", "ZZZZ")
    for merge in merged_rows(content, area.sheet):
        is_left_out = _order(merge.right) < _order(left) or _order(merge.left) > _order(right)
        if not is_left_out and skip < merge.top < last:
            raise DataError(
                f"{content.path}, row {merge.top}: the cells {merge} are merged, and only the first row has their "
                f"value; undo the merge in a copy of the file, and fill the value into all rows"
            )


def _order(column: str) -> tuple[int, str]:
    """Return what letters of columns are sorted by: Z comes before AA."""
    return len(column), column


def _refuse_footer(frame: pl.DataFrame, numbers: pl.Series, skip: int, content: Content) -> None:
    rows = footer_rows(pl.DataFrame([_as_text(column) for column in frame]))
    if rows:
        row = skip + int(numbers[-rows]) + 1
        raise DataError(f"{content.path}, row {row}: {footer_question(rows)}")


def _as_text(column: pl.Series) -> pl.Series:
    return column.dt.to_string("iso") if column.dtype == pl.Duration else column.cast(pl.String)
