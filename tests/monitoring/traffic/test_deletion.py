"""The deletion of a subject leaves nothing of it, and everything of others."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import UsageError
from model_deployer.monitoring.traffic.deletion import Deleted, Subject, delete
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from tests.monitoring.traffic.test_traffic import captured

LABELS: list[dict[str, Any]] = [
    {"request_id": "first", "row": 1, "label": "late"},
    {"request_id": "second", "row": 1, "label": "late"},
    {"row_id": "o1", "label": "on_time"},
    {"row_id": "2", "label": "on_time"},
]


@pytest.mark.parametrize(
    ("subject", "deleted", "left"),
    [
        (Subject(row_id="o1"), Deleted(rows=1, refusals=0, labels=2, shadow=1), ["0", "1", "2", "o0"]),
        (Subject(request_id="first"), Deleted(rows=3, refusals=0, labels=2, shadow=3), ["o0", "o1"]),
        (Subject(field=("origin", "JFK")), Deleted(rows=5, refusals=0, labels=4, shadow=5), []),
        (
            Subject(field=("origin", "LGA")),
            Deleted(0, 0, 0, 0),
            ["0", "1", "2", "o0", "o1"],
        ),
    ],
    ids=["row id", "request", "value", "other value"],
)
def test_a_subject_is_deleted(tmp_path: Path, subject: Subject, deleted: Deleted, left: list[str]) -> None:
    store = captured(tmp_path, LABELS)
    _shadow_all(store)
    files = open_files(str(store))
    assert delete(files, subject) == deleted
    tables = [pl.read_parquet(file, hive_partitioning=False) for file in (store / "traffic").rglob("*.parquet")]
    assert [row_id for table in tables for row_id in table["row_id"]] == left
    if left:
        assert read_traffic(files, "tiny").versions == ["1.0.0"]
    shadow = [pl.read_parquet(file, hive_partitioning=False) for file in (store / "shadow").rglob("*.parquet")]
    assert [row_id for table in shadow for row_id in table["row_id"]] == left
    if subject.row_id:
        assert not any(b"o1" in file.read_bytes() for file in store.rglob("*.parquet"))
    assert delete(files, subject) == Deleted(0, 0, 0, 0)


def _shadow_all(store: Path) -> None:
    """Store rows of a shadow for all captured rows: they have no fields."""
    for file in (store / "traffic").rglob("*.parquet"):
        copy = store / "shadow" / file.relative_to(store / "traffic")
        copy.parent.mkdir(parents=True)
        pl.read_parquet(file, hive_partitioning=False).select(pl.exclude(r"^(input|bin)\..*$")).write_parquet(copy)


def test_a_subject_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="name whose rows to delete"):
        Subject()
