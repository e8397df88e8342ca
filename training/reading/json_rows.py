"""Read rows that are JSON objects: one per line, or all of them in an array."""

import codecs
import json
from typing import Any

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.content import Content
from model_deployer.training.reading.table_file import TableFile
from model_deployer.training.reading.text import line_at, read_checked_text
from model_deployer.training.spec import Spec


def read_json_lines(content: Content, spec: Spec) -> TableFile:
    """Read a file with one JSON object per line.

    Raises:
        DataError: if a line is not a JSON object; the message names it.
    """
    source = read_checked_text(content, spec).content
    if source.bytes().strip().count(b"\n") == 0 and not _is_row(_parsed(source)):
        return read_json_array(content, spec)
    try:
        return TableFile(pl.read_ndjson(_without_mark(source), infer_schema_length=None), is_text=False)
    except (pl.exceptions.PolarsError, OSError, ValueError):
        _refuse_line(source)
        lines = _without_mark(source).splitlines()
        rows = [json.loads(line, parse_constant=_missing) for line in lines if line.strip()]
        return TableFile(_frame(rows, content), is_text=False)


def read_json_array(content: Content, spec: Spec) -> TableFile:
    """Read a file with one JSON array of objects.

    Raises:
        DataError: if the file is not JSON, or not an array of objects.
    """
    source = read_checked_text(content, spec).content
    key, rows = _list_of_rows(_parsed(source))
    if not isinstance(rows, list):
        raise DataError(
            f"{content.path}: expected an array of objects, `[{{...}}, {{...}}]`, or one object per line; pandas "
            f'writes it with `to_json(path, orient="records")`'
        )
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{content.path}, row {number}: expected an object with the names of the columns as keys")
    if not rows:
        raise DataError(f"{content.path}: the table has no rows")
    notes = () if key is None else (f"read as JSON: the rows are under the key '{key}'",)
    return TableFile(_frame(rows, content), notes, is_text=False)


def _frame(rows: list[dict[str, Any]], content: Content) -> pl.DataFrame:
    """Return rows as a table.

    Raises:
        DataError: if a key has objects in some rows and other values in others.
    """
    try:
        return pl.read_json(json.dumps(rows).encode(), infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError):
        _refuse_kinds(rows, content)
        raise DataError(f"{content.path}: its values do not make a table; write it as JSON with flat objects") from None


def _refuse_kinds(rows: list[dict[str, Any]], content: Content) -> None:
    """Raise an error for the first key that has objects or arrays in some rows and other values in others."""
    first: dict[str, tuple[int, str]] = {}
    for number, row in enumerate(rows, start=1):
        for key, value in row.items():
            kind = "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else "a value"
            row_before, kind_before = first.setdefault(key, (number, kind)) if value is not None else (number, kind)
            if kind != kind_before:
                raise DataError(
                    f"{content.path}, row {number}: '{key}' is {kind}, and {kind_before} in row {row_before}; write "
                    f"the same kind in all rows, or leave the key out"
                )


def _is_row(document: Any) -> bool:
    """Return whether a document is one row: neither holds it a list of rows, nor is every value an object or array."""
    if not isinstance(document, dict) or _list_of_rows(document)[0] is not None:
        return False
    return not all(isinstance(value, dict | list) for value in document.values())


def _missing(_: str) -> None:
    """Return what NaN and Infinity mean, which Python writes although JSON does not have them."""


def _parsed(content: Content) -> Any:
    """Return a JSON document.

    Raises:
        DataError: if the file is not JSON.
    """
    try:
        return json.loads(_without_mark(content), parse_constant=_missing)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise DataError(f"{content.path}, line {line}: not valid JSON; correct the file") from None
    except RecursionError:
        raise DataError(f"{content.path}: the JSON is nested too deeply; expected an array of flat objects") from None


def _list_of_rows(document: Any) -> tuple[str | None, Any]:
    """Return the rows of a document, and their key if an object holds them, as answers of an API do."""
    if not isinstance(document, dict):
        return None, document
    lists = [(key, value) for key, value in document.items() if isinstance(value, list) and value]
    return lists[0] if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0][1]) else (None, document)


def _without_mark(content: Content) -> bytes:
    return content.bytes().removeprefix(codecs.BOM_UTF8)


def _refuse_line(content: Content) -> None:
    """Raise an error that names the first line that is not a JSON object, if there is one."""
    data, offset = _without_mark(content), 0
    for line in data.split(b"\n"):
        try:
            is_object = not line.strip() or isinstance(json.loads(line), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise DataError(f"{content.path}, line {line_at(data, offset)}: expected one JSON object per line")
        offset += len(line) + 1
