"""Where the header of a sheet or text is, and which rows at its end are not data.

The rows are lists of strings, as a person sees them, so that this is the same for delimited text and for Excel.
"""

import math
import re
from collections.abc import Sequence

import polars as pl

#: The rows among which the header is looked for.
MAX_HEADER_ROWS = 50

#: Rows at the end that are looked at, and rows before them that they are compared with.
_MAX_FOOTER_ROWS = 5
_BODY_ROWS = 200

_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")

#: The name of a column in a table without a header.
_DEFAULT_NAME = r"column_\d+"

#: How the label of a total begins, in the languages of most exports.
_TOTAL = (
    r"(?i)^\s*(grand total|sub-?total|totals?|sum|balance|summe|gesamt|gesamtsumme|insgesamt|saldo|somme|suma|totale"
    r"|totaal|summa|razem|celkem|toplam|итого|合計|总计)\s*:?\s*$"
)


def find_header(rows: Sequence[Sequence[str]], width: int, target: str) -> int | None:
    """Return the index of the row with the names of the columns, or None if there is none.

    A row that holds the target is the header; of several ones, the first with as many values as the rows below them
    that is not a comment. Otherwise, it is the first such row, unless its values are numbers.

    Args:
        rows: The first rows, with an empty string for an empty cell.
        width: The number of values in most rows.
        target: The name of the column to predict; empty if it is not known.
    """
    rows = rows[:MAX_HEADER_ROWS]
    with_target = [index for index, row in enumerate(rows) if target and _names_target(row, width, target)]
    if with_target:
        return max(with_target, key=lambda index: (_may_be_header(rows[index], width), len(rows[index]) == width))
    if re.fullmatch(_DEFAULT_NAME, target):
        return None
    full = next((index for index, row in enumerate(rows) if _may_be_header(row, width)), None)
    first = next((index for index, row in enumerate(rows) if len(row) == width), 0)
    if full is None or any(_NUMBER.fullmatch(value) for value in rows[full]):
        full = first if any(rows[first]) else full or 0  # a header with more columns without a name than with one
    return None if _holds_values(rows[full]) else full


def first_data_row(rows: Sequence[Sequence[str]], width: int) -> int:
    """Return the index of the first row of values in a table without a header."""
    return next((index for index, row in enumerate(rows) if _is_full(row, width)), 0)


def default_names(width: int) -> tuple[str, ...]:
    """Return the names of the columns of a table without a header: ``column_1`` and so on."""
    return tuple(f"column_{number}" for number in range(1, width + 1))


def footer_rows(strings: pl.DataFrame) -> int:
    """Return how many rows at the end of a table look like totals or notes, not like data.

    These are rows with a label such as "Total" that no other row has, rows with one value only, if no row before them
    is like that, and a last row of sums; and the rows after them.

    Args:
        strings: The rows as strings, with null for an empty cell.
    """
    first = max(0, strings.height - _MAX_FOOTER_ROWS)
    if strings.width < 2 or strings.height <= _MAX_FOOTER_ROWS:
        return 0
    body = strings[max(0, first - _BODY_ROWS) : first]
    sparse_body = any(sum(value is not None for value in row) < 2 for row in body.iter_rows())
    for index in range(first, strings.height):
        row = strings.row(index)
        is_note = strings.width > 2 and not sparse_body and sum(value is not None for value in row) == 1
        if is_note or _is_total(strings, row, first):
            return strings.height - index
    return int(_is_row_of_sums(strings[:-1], strings.row(-1)))


def footer_question(rows: int) -> str:
    """Return what to ask about the last rows of a table that look like totals or notes."""
    looks, last = ("the last row looks", "row") if rows == 1 else ("the rows from here on look", f"{rows} rows")
    return (
        f"{looks} like totals or notes, not like data; set `data.footer_rows: {rows}` to leave out the last {last}, or "
        f"`data.footer_rows: 0` to keep all"
    )


def _is_total(strings: pl.DataFrame, row: Sequence[str | None], first: int) -> bool:
    position = next((index for index, value in enumerate(row) if value), None)
    if position is None or not re.match(_TOTAL, str(row[position])):
        return False
    return not strings.to_series(position)[:first].str.contains(_TOTAL).any()


def _is_row_of_sums(body: pl.DataFrame, row: Sequence[str | None]) -> bool:
    """Return whether the values of a row are the sums of the columns, and it lacks those that every other row has."""
    gaps = [column for column, value in zip(body, row, strict=True) if value is None]
    sums = [(column, value) for column, value in zip(body, row, strict=True) if value is not None]
    if not gaps or not sums or any(column.null_count() for column in gaps):
        return False
    return all(_is_sum(column, value) for column, value in sums)


def _is_sum(column: pl.Series, value: str) -> bool:
    numbers = column.cast(pl.Float64, strict=False)
    if not _NUMBER.fullmatch(value) or "," in value or numbers.null_count() > column.null_count():
        return False
    return math.isclose(numbers.sum(), float(value), rel_tol=1e-9) and float(value) != 0


def _names_target(row: Sequence[str], width: int, target: str) -> bool:
    return target in map(str.strip, row) and (width == 1 or sum(map(bool, row)) > 1)


def _may_be_header(row: Sequence[str], width: int) -> bool:
    return _is_full(row, width) and not row[0].startswith("#")


def _is_full(row: Sequence[str], width: int) -> bool:
    return width - 1 <= len(row) <= width and sum(map(bool, row)) > width / 2


def _holds_values(row: Sequence[str]) -> bool:
    """Return whether a row holds measured numbers; years and the counting numbers of an export are names."""
    values = [value for value in row if value.strip()]
    numbers = [value for value in values if _NUMBER.fullmatch(value)]
    if not numbers:
        return False
    return len(set(values)) < len(values) or any(not _INTEGER.fullmatch(value) for value in numbers)
