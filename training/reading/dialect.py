"""How a delimited text is written: its delimiter, its quotes, and the line of its header."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.header import default_names, find_header, first_data_row
from model_deployer.training.reading.text import Text
from model_deployer.training.spec import Spec

#: The delimiters that are recognized, the more usual ones first. Any other one is stated under ``data.delimiter``.
DELIMITERS = (",", ";", "\t", "|")

#: Between the values of a text with one column: a character that no text has.
NO_DELIMITER = "\x1f"


#: The records of the sample that are compared.
_MAX_RECORDS = 1_000

#: What PostgreSQL and MySQL write for a missing value; no text has it by itself.
NULL = r"\N"

#: A line between the rows of a printed table.
_RULE = rb"(?m)^(?=[^\n]*---)[-=+|: \t]+(?=\r?$)"

_NUMBER = re.compile(r"\s*[-+(]?[^\w\s]?\s*[\d.,' \u00a0\u202f]+\s*[%€$£)]?\s*")


@dataclass(frozen=True)
class Separators:
    """What is between values, and around them.

    Attributes:
        delimiter: The character between two values.
        quote: The character around a value that holds delimiters; None if quotes are part of the values.
        is_spaced: Whether a blank follows each delimiter.
        is_escaped: Whether a backslash is before a quote that is part of a value; otherwise, such a quote is doubled.
        has_rules: Whether the text is a printed table, with lines of dashes and blanks around its values.
    """

    delimiter: str
    quote: str | None
    is_spaced: bool = False
    is_escaped: bool = False
    has_rules: bool = False


@dataclass(frozen=True)
class Dialect:
    """How a delimited text is written.

    Attributes:
        separators: What is between values, and around them.
        header: The line of the header, counted from 1; 0 without a header.
        first: The line of the first row after it.
        names: The names of the columns; an empty one for a column without a name.
    """

    separators: Separators
    header: int
    first: int
    names: tuple[str, ...]

    def describe(self, encoding: str) -> str:
        """Return what a person checks at a glance: ``';' between values, cp1252, header in row 3``."""
        delimiter, quote = self.separators.delimiter, self.separators.quote
        words = ["one column" if delimiter == NO_DELIMITER else f"{shown(delimiter)} between values"]
        words += ["blanks after them left out"] if self.separators.is_spaced else []
        words += ["lines of dashes left out"] if self.separators.has_rules else []
        words += ["backslashes before quotes"] if self.separators.is_escaped else []
        words += [] if quote == '"' else [f"quote {quote}" if quote else "no quotes"]
        without = f"no header, so that the columns are called '{self.names[0]}' to '{self.names[-1]}'"
        return ", ".join([*words, encoding, f"header in row {self.header}" if self.header else without])


@dataclass(frozen=True)
class Record:
    """The values of one row, and the lines that it begins and ends on, counted from 1."""

    cells: list[str]
    first: int
    last: int


def shown(delimiter: str) -> str:
    """Return a delimiter as people write it in a sentence."""
    return "tabs" if delimiter == "\t" else f"'{delimiter}'"


class UnclosedQuote(Exception):
    """A quote that opens on ``line`` is not closed before a delimiter or the end of a line."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def records(lines: Iterable[str], separators: Separators, *, strict: bool = False) -> Iterator[Record]:
    """Yield the records of a delimited text; those of blank lines have no cells.

    Raises:
        UnclosedQuote: if ``strict`` is set, and a quote does not end where a value does.
    """
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        lines,
        delimiter=separators.delimiter,
        quotechar=separators.quote or '"',
        quoting=csv.QUOTE_MINIMAL if separators.quote else csv.QUOTE_NONE,
        skipinitialspace=separators.is_spaced,
        escapechar="\\" if separators.is_escaped else None,
        doublequote=not separators.is_escaped,
        strict=strict,
    )
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            raise UnclosedQuote(first) from None
        if cells is None:
            return
        yield Record(cells, first, reader.line_num)


def infer_dialect(text: Text, spec: Spec) -> Dialect:
    """Infer how a text is written from its sample; what model.yaml states is taken as it is.

    Raises:
        DataError: if the header is not where ``data.header_row`` states it.
    """
    separators = _separators(text, spec)
    text = without_rules(text) if separators.has_rules else text
    rows = _parsed(text, separators)
    if not rows:
        raise DataError(f"{text.path}: the table has no rows")
    width = _width(rows)
    header = _header(rows, width, text, spec)
    names, first = _names(rows, header, width, text, separators)
    names = tuple(map(str.strip, names)) if separators.is_spaced else names
    return Dialect(separators, rows[header].first if header is not None else 0, first, names)


def without_rules(text: Text) -> Text:
    """Return a text with blank lines in place of the lines of dashes in a printed table."""
    content = replace(text.content, source=re.sub(_RULE, b"", text.content.bytes()))
    return replace(text, content=content, sample=re.sub(_RULE, b"", text.sample.encode()).decode())


def _separators(text: Text, spec: Spec) -> Separators:
    data = spec.data
    quote = None if data.quote == "none" else data.quote or '"'
    choices = [
        Separators(delimiter, quote, _is_spaced(text, delimiter))
        for delimiter in ([data.delimiter] if data.delimiter else DELIMITERS)
    ]
    best = choices[0] if data.delimiter else _best(text, choices, data.target_in_file)
    best = best if data.quote else replace(best, quote=_quote(text, best))
    if best.delimiter == "|" and re.search(_RULE, text.sample.encode()):
        return replace(best, is_spaced=True, has_rules=True)
    return replace(best, is_escaped=_is_escaped(text, best))


def _parsed(text: Text, separators: Separators) -> list[Record]:
    """Return the records of the sample that are not blank; one that the sample cuts off is left out."""
    result: list[Record] = []
    for record in records(StringIO(text.sample, newline=""), separators):
        if any(cell.strip() for cell in record.cells) or len(record.cells) > 1:
            result.append(record)
        if len(result) > _MAX_RECORDS:
            break
    return result if text.is_whole or len(result) < 3 else result[:-1]


def _best(text: Text, choices: Sequence[Separators], target: str) -> Separators:
    """Return the separators that give most rows the same number of clean values."""
    parsed = {choice: _parsed(text, choice) for choice in choices}
    with_target = [choice for choice, rows in parsed.items() if _names_target(rows, target)]
    scores = {choice: _score(parsed[choice]) for choice in with_target or choices}
    best = max(scores, key=lambda choice: scores[choice])
    return best if scores[best] > 0 else Separators(NO_DELIMITER, best.quote)


def _names_target(rows: Sequence[Record], target: str) -> bool:
    return bool(target) and any(len(row.cells) > 1 and target in map(str.strip, row.cells) for row in rows[:50])


def _score(rows: Sequence[Record]) -> float:
    """Return the share of the rows that have the most frequent number of values, times that of clean values."""
    widths = Counter(len(row.cells) for row in rows if len(row.cells) > 1)
    if not widths:
        return 0.0
    width, count = max(widths.items(), key=lambda item: item[1])
    cells = [cell for row in rows[: _MAX_RECORDS // 2] if len(row.cells) == width for cell in row.cells]
    clean = sum(_is_clean(cell) for cell in cells)
    return count / len(rows) * clean / len(cells) if cells else 0.0


def _is_clean(cell: str) -> bool:
    """Return whether a value holds no other delimiter, unless that is the comma of a number."""
    return not any(delimiter in cell for delimiter in (*DELIMITERS, '"')) or bool(_NUMBER.fullmatch(cell))


def _quote(text: Text, separators: Separators) -> str:
    """Return ``'`` if it makes the rows equally long, or is around all values of a column; else ``"``."""
    if "'" not in text.sample:
        return '"'
    double, single = (_parsed(text, replace(separators, quote=quote)) for quote in ('"', "'"))
    if _share(single) > _share(double):
        return "'"
    width = _width(double)
    rows = [row.cells for row in _parsed(text, replace(separators, quote=None)) if len(row.cells) == width]
    return "'" if any(_is_quoted(column) for column in zip(*rows, strict=True)) else '"'


def _is_quoted(column: Sequence[str]) -> bool:
    values = [value for value in column if value]
    return len(values) > 1 and all(len(value) > 1 and value[0] == value[-1] == "'" for value in values)


def _is_escaped(text: Text, separators: Separators) -> bool:
    """Return whether quotes close where values end if backslashes escape them, and only then."""
    if separators.quote is None or f"\\{separators.quote}" not in text.sample:
        return False
    return not _closes(text, separators) and _closes(text, replace(separators, is_escaped=True))


def _closes(text: Text, separators: Separators) -> bool:
    lines = StringIO(text.sample, newline="")
    try:
        for _ in islice(records(lines, separators, strict=True), _MAX_RECORDS):
            pass
    except UnclosedQuote:
        return False
    return True


def _share(rows: Sequence[Record]) -> float:
    width = _width(rows)
    return sum(len(row.cells) == width for row in rows) / max(1, len(rows))


def _width(rows: Sequence[Record]) -> int:
    """Return the number of values that most rows have."""
    widths = Counter(len(row.cells) for row in rows)
    return max(widths, key=lambda width: (widths[width], width)) if widths else 0


def _header(rows: Sequence[Record], width: int, text: Text, spec: Spec) -> int | None:
    if spec.data.header_row is None:
        return find_header([row.cells for row in rows], width, spec.data.target_in_file)
    if spec.data.header_row == 0:
        return None
    for index, row in enumerate(rows):
        if row.first <= spec.data.header_row <= row.last:
            return index
    raise DataError(
        f"{spec.location('data', 'header_row')}: {text.path} has no row with names there; rows are counted as lines, "
        f"from 1, with blank ones"
    )


def _names(
    rows: Sequence[Record], header: int | None, width: int, text: Text, separators: Separators
) -> tuple[tuple[str, ...], int]:
    """Return the names of the columns, and the line after the header.

    A header may lack the last name if each row ends with a delimiter, and the first one if each row begins with its
    own name, as those of R do.
    """
    if header is None:
        return default_names(width), rows[first_data_row([row.cells for row in rows], width)].first
    names = rows[header].cells
    below = [row for row in rows[header + 1 :] if len(row.cells) == width]
    if len(names) == width - 1 and below:
        if not any(row.cells[-1] for row in below):
            names = [*names, ""]
        elif _have_names(below, text, separators):
            names = ["", *names]
    return tuple(names), rows[header].last + 1


def _have_names(rows: Sequence[Record], text: Text, separators: Separators) -> bool:
    """Return whether each row begins with a name of its own: one in quotes, or a number.

    A number without quotes is none if commas are between the values: the header would also be too short if decimals had
    commas.
    """
    names = [row.cells[0] for row in rows]
    lines = text.sample.split("\n")
    in_quotes = separators.quote is not None and all(lines[row.first - 1].startswith(separators.quote) for row in rows)
    are_numbers = separators.delimiter != "," and all(map(str.isdecimal, names))
    return len(set(names)) == len(names) and (in_quotes or are_numbers)


def _is_spaced(text: Text, delimiter: str) -> bool:
    """Return whether a blank follows each delimiter of the sample, or nearly each one."""
    start = text.sample[:100_000]
    last = start.count(f"{delimiter}\n") + start.count(f"{delimiter}\r")
    return start.count(f"{delimiter} ") > 0.9 * (start.count(delimiter) - last)
