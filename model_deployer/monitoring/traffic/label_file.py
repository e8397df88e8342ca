"""Labels from a file: validated as those of ``POST /feedback``, compared with the store, and written as one file."""

import io
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import DataError
from model_deployer.contract.labels import LABEL_FIELDS, label_records
from model_deployer.contract.outputs import Regression
from model_deployer.contract.traffic import LABEL_COLUMNS, partition
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles, read_table

#: The problems of a file that are listed.
_MAX_LISTED = 10

_TYPES: Mapping[str, Any] = {
    "request_id": pl.String,
    "row": pl.Int64,
    "row_id": pl.String,
    "label": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "received": pl.Datetime("us", "UTC"),
}

_KEYS = ("request_id", "row", "row_id")


@dataclass(frozen=True)
class TakenLabels:
    """What became of the labels of a file.

    Attributes:
        taken: The labels that were written.
        duplicates: Those that were left out: the file or the store has the same label for the row.
        contradicting: Those that follow a different label for the same row in the file; the last one counts.
        corrected: Those that replace a different label of the store.
        unknown: The written ones whose row was not captured, so far.
    """

    taken: int
    duplicates: int
    contradicting: int
    corrected: int
    unknown: int


def take_labels(file: Path, files: TrafficFiles, artifact: Artifact) -> TakenLabels:
    """Write the labels of a file into a traffic store: all of them, or none.

    Args:
        file: A CSV, Parquet or JSON lines file with the columns ``label`` and ``request_id`` and ``row``, or
            ``row_id``; and ``time``, when it came to be known. The row is 0 by default.
        files: The traffic store.
        artifact: The model.

    Raises:
        DataError: if the file cannot be read, a label cannot be used, or the store cannot be read or written.
    """
    name, now = artifact.manifest.name, time.time()
    entries = _entries(file, isinstance(artifact.contract.output, Regression))
    records, problems = label_records(entries, artifact.contract.output, now)
    if problems:
        lines = [f"row {problem.row + 1}: {problem.message}" for problem in problems[:_MAX_LISTED]]
        more = f"\n  and {len(problems) - _MAX_LISTED:,} more" if len(problems) > _MAX_LISTED else ""
        details = "\n  ".join(lines)
        raise DataError(f"{file}: {len(problems):,} problems, and no label was taken:\n  {details}{more}")
    new, taken = _compared(records, _last_labels(read_table(files, "labels", name)))
    traffic = read_table(files, "traffic", name)
    if new:
        path = f"{partition('labels', artifact.tag, datetime.fromtimestamp(now, UTC))}/file-{uuid.uuid4().hex}.parquet"
        files.write(path, _parquet(new))
    return TakenLabels(**taken, taken=len(new), unknown=_unknown(new, traffic))


def _entries(file: Path, is_number: bool) -> list[dict[str, Any]]:
    """Return the labels as JSON values, without empty cells."""
    table = _read(file)
    unknown = sorted(set(table.columns) - LABEL_FIELDS)
    if unknown or "label" not in table.columns:
        missing = "" if "label" in table.columns else "; there is no column `label`"
        extra = f"; remove {', '.join(unknown)}" if unknown else ""
        raise DataError(f"{file}: expected the columns {', '.join(sorted(LABEL_FIELDS))}{missing}{extra}")
    if table.is_empty():
        raise DataError(f"{file}: there are no labels in it")
    numbers = {"row": int} | ({"label": float} if is_number else {})
    return [
        {name: _value(value, numbers.get(name)) for name, value in row.items() if value is not None}
        for row in table.iter_rows(named=True)
    ]


def _read(file: Path) -> pl.DataFrame:
    readers = {
        ".csv": lambda: pl.read_csv(file, infer_schema=False),
        ".parquet": lambda: pl.read_parquet(file),
        ".jsonl": lambda: pl.read_ndjson(file, infer_schema_length=None),
        ".ndjson": lambda: pl.read_ndjson(file, infer_schema_length=None),
    }
    if file.suffix.lower() not in readers:
        raise DataError(f"{file}: expected a file that ends in {', '.join(readers)}")
    try:
        return readers[file.suffix.lower()]()
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None


def _value(value: Any, number: type[int] | type[float] | None) -> Any:
    """Return a cell as a JSON value; a text that is not the number it should be stays as it is, and is a problem."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if number and isinstance(value, str):
        try:
            return number(value)
        except ValueError:
            return value
    return value


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in _KEYS)


def _last_labels(stored: pl.DataFrame) -> dict[tuple[Any, ...], str]:
    """Return the label of the store for each row, by the key that it was sent with."""
    if stored.is_empty():
        return {}
    ordered = stored.sort("received", maintain_order=True)
    return {tuple(row[:-1]): row[-1] for row in ordered.select(*_KEYS, "label").iter_rows()}


def _compared(
    records: Iterable[dict[str, Any]], stored: Mapping[tuple[Any, ...], str]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the labels that are new, and the numbers of the others."""
    counts = {"duplicates": 0, "contradicting": 0, "corrected": 0}
    seen: dict[tuple[Any, ...], str] = {}
    new = []
    for record in records:
        key, label = _key(record), record["label"]
        before = seen.get(key, stored.get(key))
        if before == label:
            counts["duplicates"] += 1
            continue
        if before is not None:
            counts["contradicting" if key in seen else "corrected"] += 1
        seen[key] = label
        new.append(record)
    return new, counts


def _unknown(new: list[dict[str, Any]], traffic: pl.DataFrame) -> int:
    """Return the number of labels whose row was not captured."""
    if traffic.is_empty():
        return len(new)
    requests = set(traffic.select("request_id", "row").iter_rows())
    row_ids = set(traffic["row_id"].drop_nulls())
    return sum(
        record["row_id"] not in row_ids
        if record["request_id"] is None
        else (record["request_id"], record["row"]) not in requests
        for record in new
    )


def _parquet(records: list[dict[str, Any]]) -> bytes:
    columns = {name: [_stored(record[name], name) for record in records] for name in LABEL_COLUMNS}
    content = io.BytesIO()
    pl.DataFrame(columns, schema=_TYPES).write_parquet(content)
    return content.getvalue()


def _stored(value: Any, name: str) -> Any:
    return datetime.fromtimestamp(value, UTC) if name in ("time", "received") and value is not None else value
