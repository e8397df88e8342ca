"""Read rows that are JSON objects: one per line, or all of them in an array."""

import codecs
import json
from typing import Any

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.training.reading.content import Content
from model_deployer.training.reading.table_file import TableFile, unreadable
from model_deployer.training.reading.text import line_at, read_checked_text
from model_deployer.training.spec import Spec


def read_json_lines(content: Content, spec: Spec) -> TableFile:
    """Read a file with one JSON object per line.

    Raises:
        DataError: if a line is not a JSON object; the message names it.
    """
    source = read_checked_text(content, spec).content
    if source.bytes().strip().count(b"\n") == 0 and _list_of_rows(_parsed(source))[0] is not None:
        return read_json_array(content, spec)
    try:
        return TableFile(pl.read_ndjson(_without_mark(source), infer_schema_length=None), is_text=False)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        _refuse_line(source)
        raise unreadable(content.path, "JSON lines", error) from None


def read_json_array(content: Content, spec: Spec) -> TableFile:
    """Read a file with one JSON array of objects.

    Raises:
        DataError: if the file is not JSON, or not an array of objects.
    """
    source = read_checked_text(content, spec).content
    key, rows = _list_of_rows(_parsed(source))
    if not isinstance(rows, list):
        raise DataError(f"{content.path}: expected an array of objects, `[{{...}}, {{...}}]`, or one object per line")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{content.path}, row {number}: expected an object with the names of the columns as keys")
    if not rows:
        raise DataError(f"{content.path}: the table has no rows")
    notes = () if key is None else (f"read as JSON: the rows are under the key '{key}'",)
    try:
        data = _without_mark(source) if key is None else json.dumps(rows).encode()
        return TableFile(pl.read_json(data, infer_schema_length=None), notes, is_text=False)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise unreadable(content.path, "JSON", error) from None


def _parsed(content: Content) -> Any:
    """Return a JSON document.

    Raises:
        DataError: if the file is not JSON.
    """
    try:
        return json.loads(_without_mark(content))
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
