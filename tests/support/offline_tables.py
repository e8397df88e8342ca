"""Tables for offline predictions: rows of the tiny model as clients send them, and as files hold them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.support import tiny

Row = dict[str, Any]

_TIMES = ("departure", "booked")


def rows(count: int, seed: int = 0) -> list[Row]:
    """Return legal rows with missing values in the fields that may lack them."""
    random = np.random.default_rng(seed)
    return [_row(random) for _ in range(count)]


def _row(random: np.random.Generator) -> Row:
    moment = datetime(2013, 1, 1 + int(random.integers(28)), int(random.integers(24)), 5).isoformat()
    row = {
        "distance": float(random.integers(0, 50_000)) / 10,
        "temp": float(random.integers(-200, 1_100)) / 10,
        "seats": int(random.integers(1, 500)),
        "holiday": bool(random.integers(2)),
        "origin": str(random.choice(["EWR", "JFK", "LGA"])),
        "carrier": str(random.choice(["AA", "UA", "ZZ"])),
        "departure": moment,
        "booked": f"{moment}Z",
        "remark": str(random.choice(["wheelchair", 'a "quoted", word', "ünï"])),
    }
    optional = [feature.name for feature in tiny.FEATURES if feature.nullable]
    return {name: None if name in optional and random.random() < 0.2 else value for name, value in row.items()}


def frame(rows: list[Row]) -> pl.DataFrame:
    """Return rows as a typed table, with an id of each row."""
    table = pl.DataFrame(rows, infer_schema_length=None)
    times = [table[name].str.to_datetime(time_unit="us") for name in _TIMES]
    return table.with_columns(times).with_row_index("id")


def write(table: pl.DataFrame, path: Path) -> Path:
    """Write a table in the format that the suffix of the file names."""
    formats = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S" + "Z" * (name == "booked")) for name in _TIMES]
    match path.suffix:
        case ".csv":
            table.with_columns(formats).write_csv(path)
        case ".jsonl":
            table.with_columns(formats).write_ndjson(path)
        case ".arrow":
            table.write_ipc(path)
        case ".parquet":
            table.write_parquet(path)
    return path
