"""Read delimited text such as CSV: every value as a string, in the dialect and encoding that the file has."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from itertools import islice
from pathlib import Path

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.byte_counts import ByteCounts, count_bytes, count_empty_ends
from model_deployer.training.reading.content import Content
from model_deployer.training.reading.dialect import (
    NO_DELIMITER,
    NULL,
    Dialect,
    Record,
    UnclosedQuote,
    infer_dialect,
    records,
    shown,
    without_rules,
)
from model_deployer.training.reading.header import footer_question, footer_rows
from model_deployer.training.reading.plain_types import (
    SAMPLE_ROWS,
    PlainTypes,
    are_numbers,
    are_plain,
    exempt_columns,
    plain_types,
)
from model_deployer.training.reading.table_file import TableFile, named, unreadable
from model_deployer.training.reading.text import Text, read_text
from model_deployer.training.spec import Spec

#: Records that are turned into a frame at a time where Python reads them.
_CHUNK_RECORDS = 50_000

#: The end of a file in which its last lines are looked for.
_TAIL_BYTES = 1 << 20

_NOT_UTF8 = "invalid utf-8"


def read_delimited(content: Content, spec: Spec, may_have_types: bool = False) -> TableFile:
    """Read a delimited text.

    Args:
        content: The bytes of the file.
        spec: The model.yaml; what ``data`` does not state of the dialect is inferred.
        may_have_types: Whether columns of plain numbers may be numbers; it saves time.

    Returns:
        The rows, all values being strings, and null for an empty value and for ``NULL``. Rows that repeat the header,
        as where files were joined, are left out.

    Raises:
        DataError: if a quote is not closed, a row has more values than the header, the header names a column twice,
            or the last rows look like totals or notes and ``data.footer_rows`` does not say how many they are.
        SpecError: if the encoding, or the row of the header, is stated wrongly.
    """
    text = _with_newlines(read_text(content, spec))
    try:
        return _read(text, spec, may_have_types)
    except pl.exceptions.ComputeError as error:
        if _NOT_UTF8 not in str(error):
            raise unreadable(content.path, "CSV", error) from None
    return _read(_with_newlines(read_text(content, spec, is_utf8=False)), spec, may_have_types)


def _read(text: Text, spec: Spec, may_have_types: bool) -> TableFile:
    dialect = infer_dialect(text, spec)
    text = without_rules(text) if dialect.separators.has_rules else text
    body = _without_footer(text, spec.data.footer_rows or 0)
    counts = count_bytes(body.content, dialect.separators)
    has_types = may_have_types and not are_numbers(spec.data.missing)
    frame = _frame(body, dialect, counts, exempt_columns(spec) if has_types else None)
    if frame.width > 1 and all(column.null_count() for column in frame):  # there may be blank lines
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    if spec.data.quote is None:
        _refuse_swallowed_rows(frame, text.path, dialect, counts)
    frame, repeated = _without_headers(frame, dialect)
    if spec.data.footer_rows is None:
        _refuse_footer(frame, text, counts)
    note = f"read as CSV: {dialect.describe(text.encoding)}"
    return TableFile(
        named(frame, dialect.names, text.path),
        (note, *repeated, *_short_rows(frame, body, dialect)),
        has_semicolons=dialect.separators.delimiter == ";",
    )


def _with_newlines(text: Text) -> Text:
    r"""Return a text whose lines end with ``\n``; those of old spreadsheets end with ``\r`` alone."""
    if "\n" in text.sample or "\r" not in text.sample:
        return text
    content = replace(text.content, source=text.content.bytes().replace(b"\r", b"\n"))
    return replace(text, content=content, sample=text.sample.replace("\r", "\n"))


def _frame(text: Text, dialect: Dialect, counts: ByteCounts, exempt: Collection[str] | None) -> pl.DataFrame:
    """Read the values into columns that are called ``0``, ``1`` and so on.

    Args:
        text: The text.
        dialect: Its dialect.
        counts: Counts of its bytes.
        exempt: The names of columns that are strings in any case; None if all are.
    """
    separators = dialect.separators
    is_usual = not (separators.is_escaped or counts.has_inner_quotes)
    if is_usual and exempt is not None and not separators.is_spaced:
        typed = _frame_with_types(text, dialect, counts, exempt)
        if typed is not None:
            return typed
    frame = _frame_of_strings(text, dialect) if is_usual else _frame_by_python(text, dialect)
    if dialect.separators.is_spaced:
        return frame.with_columns(pl.all().str.strip_chars(" ").replace("", None))
    return frame


def _without_headers(frame: pl.DataFrame, dialect: Dialect) -> tuple[pl.DataFrame, Sequence[str]]:
    """Return the rows without those that repeat the header, and a note if there are any."""
    names = {str(index): name for index, name in enumerate(dialect.names) if name}
    if not dialect.header or len(names) < 2:
        return frame, ()
    first = next(iter(names))
    if frame[first].dtype != pl.String or not (frame[first] == names[first]).any():
        return frame, ()
    is_header = pl.all_horizontal(pl.col(index).eq_missing(pl.lit(name)) for index, name in names.items())
    kept = frame.filter(~is_header)
    count = frame.height - kept.height
    rows = f"{count:,} rows repeat" if count > 1 else "one row repeats"
    return (kept, (f"{rows} the header: left out",)) if count else (frame, ())


def _frame_with_types(text: Text, dialect: Dialect, counts: ByteCounts, exempt: Collection[str]) -> pl.DataFrame | None:
    """Read plain numbers as numbers; None if there are none, or what is read may be something else."""
    if counts.lines < SAMPLE_ROWS:
        return None
    ruled = {str(index) for index, name in enumerate(dialect.names) if name in exempt}
    try:
        types = plain_types(_read_csv(text, dialect, {}, SAMPLE_ROWS), ruled)
        frame = _read_csv(text, dialect, types) if types else None
    except pl.exceptions.PolarsError:  # a value is something else, which the reading as text explains
        return None
    return frame if frame is not None and are_plain(frame, counts) else None


def _frame_of_strings(text: Text, dialect: Dialect) -> pl.DataFrame:
    try:
        return _read_csv(text, dialect, {})
    except pl.exceptions.PolarsError as error:
        if _NOT_UTF8 in str(error):
            raise
        return _frame_by_python(text, dialect)


def _read_csv(text: Text, dialect: Dialect, types: PlainTypes, rows: int | None = None) -> pl.DataFrame:
    names = [str(index) for index in range(len(dialect.names))]
    return pl.read_csv(
        text.content.source,
        has_header=False,
        separator=dialect.separators.delimiter,
        quote_char=dialect.separators.quote,
        skip_lines=dialect.first - 1,
        schema={name: types.get(name, pl.String) for name in names},
        infer_schema=False,
        null_values=NULL,
        n_rows=rows,
        glob=False,
    )


def _frame_by_python(text: Text, dialect: Dialect) -> pl.DataFrame:
    """Read what polars cannot read, such as quotes within a value, or find the row that is at fault.

    Raises:
        DataError: if a quote is not closed, or a row has more values than the header.
    """
    width = len(dialect.names)
    schema = {str(index): pl.String for index in range(width)}
    rows = _checked(text, dialect)
    frames = [pl.DataFrame(schema=schema)]
    while chunk := list(islice(rows, _CHUNK_RECORDS)):
        padded = [record.cells + [""] * (width - len(record.cells)) for record in chunk]
        frames.append(pl.DataFrame(padded, schema=schema, orient="row"))
    return pl.concat(frames).with_columns(pl.all().replace(["", NULL], None))


def _checked(text: Text, dialect: Dialect) -> Iterator[Record]:
    width, path = len(dialect.names), text.path
    lines = StringIO(text.content.bytes().decode("utf-8-sig"), newline="")
    for _ in range(dialect.first - 1):
        lines.readline()
    try:
        for record in records(lines, dialect.separators, strict=True):
            row = record.first + dialect.first - 1
            if len(record.cells) > width:
                raise DataError(
                    f"{path}, row {row}: {len(record.cells)} values, but the header has {width}; put quotes around "
                    f"values that hold {shown(dialect.separators.delimiter)} (decimals may do), correct "
                    f"`data.delimiter`, or state under `data.footer_rows` how many rows at the end are not data"
                )
            yield record
    except UnclosedQuote as error:
        row = error.line + dialect.first - 1
        if dialect.separators.delimiter == NO_DELIMITER:
            raise DataError(
                f"{path}, row {row}: text follows a quote, and no delimiter was recognized; state it under "
                f"`data.delimiter`, or, if quotes are part of the values, set `data.quote: none`"
            ) from None
        raise _unclosed(path, row) from None


def _unclosed(path: Path, row: int) -> DataError:
    return DataError(
        f"{path}, row {row}: a quote opens here and does not close at the end of a value; close or double it, or, if "
        f"quotes are part of the values, set `data.quote: none`"
    )


def _refuse_swallowed_rows(frame: pl.DataFrame, path: Path, dialect: Dialect, counts: ByteCounts) -> None:
    """Refuse a value that holds whole rows, because its quote was meant to be part of it.

    Raises:
        DataError: if there is one; the message names its row.
    """
    delimiter, count = dialect.separators.delimiter, len(dialect.names) - 1
    if dialect.separators.quote is None or not count or counts.lines <= frame.height + dialect.first:
        return
    for position, column in enumerate(frame):
        if column.dtype != pl.String:
            continue
        has_rows = column.str.contains("\n", literal=True) & (
            column.str.count_matches(delimiter, literal=True) >= count
        )
        for index in has_rows.fill_null(False).arg_true().to_list():
            if _is_rows(str(column[index]), position, delimiter, count):
                before = [series.str.count_matches("\n", literal=True).sum() for series in frame[:index]]
                raise _unclosed(path, dialect.first + index + sum(map(int, before)))


def _is_rows(value: str, position: int, delimiter: str, count: int) -> bool:
    """Return whether a value is the end of a row, any number of whole rows, and the beginning of another one.

    Args:
        value: A value of several lines.
        position: The number of values before it in its row.
        delimiter: The character between values.
        count: How many delimiters a row has.
    """
    first, *middle, last = [line.count(delimiter) for line in value.split("\n")]
    is_likely = bool(middle) or count > 2  # fewer delimiters may be commas of an address
    return is_likely and first == count - position and last == position and set(middle) <= {count}


def _without_footer(text: Text, rows: int) -> Text:
    """Return the text without its last lines; blank ones do not count."""
    if not rows:
        return text
    data = text.content.bytes()
    for _ in range(rows):
        data = data[: data.rstrip().rfind(b"\n") + 1]
    return replace(text, content=replace(text.content, source=data))


def _refuse_footer(frame: pl.DataFrame, text: Text, counts: ByteCounts) -> None:
    rows = footer_rows(frame)
    if rows:
        row = _line_of_last(text.content, rows, counts.lines)
        raise DataError(f"{text.path}, row {row}: {footer_question(rows)}")


def _line_of_last(content: Content, rows: int, lines: int) -> int:
    """Return the number of the line that is the last but ``rows - 1`` of those that are not blank."""
    data = content.bytes()[-_TAIL_BYTES:].rstrip()
    for _ in range(rows - 1):
        data = data[: data.rfind(b"\n")].rstrip()
    tail = content.bytes()[-_TAIL_BYTES:]
    return lines + 1 - tail.count(b"\n", len(data))


def _short_rows(frame: pl.DataFrame, text: Text, dialect: Dialect) -> Sequence[str]:
    """Return a note on rows with fewer values than the header, if there are any."""
    width = len(dialect.names)
    missing = frame.to_series(width - 1).null_count()
    if width == 1 or not missing or missing <= count_empty_ends(text.content, dialect.separators.delimiter):
        return ()
    short = [record.first + dialect.first - 1 for record in _checked(text, dialect) if 0 < len(record.cells) < width]
    if not short:
        return ()
    rows = f"{len(short):,} rows have" if len(short) > 1 else "one row has"
    first = f", the first is row {short[0]}" if len(short) > 1 else f", row {short[0]}"
    return (f"{rows} fewer values than the header{first}; the values at the end count as missing",)
