"""The deletion of a subject leaves nothing of it, and everything of others."""

import asyncio
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import UsageError
from model_deployer.contract.field_hash import field_key, hash_value
from model_deployer.monitoring.traffic.deletion import Deleted, Subject, delete
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from tests.monitoring.traffic.test_traffic import captured
from tests.serving.capture.test_capture import ask, start, with_policy
from tests.support import tiny
from tests.support.in_process import deployer

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


def hashed(folder: Path, key: Path, name: str) -> Path:
    """Capture rows of two origins whose names are hashed, and return the traffic store."""

    async def capture() -> None:
        contract = with_policy("hash", "origin", "temp")
        predictor = start(folder / name, contract, capture_key_file=key, row_id="order")
        rows = [tiny.ROW | {"order": "kept"}, tiny.ROW | {"order": "removed", "origin": "EWR", "temp": 60.5}]
        await ask(predictor, rows)
        predictor.close()

    asyncio.run(capture())
    return folder / name / "store"


def move_to_month(store: Path, month: str, secret: bytes) -> None:
    """Have the rows of a store be those of another month, with the hashes of that month."""
    for file in (store / "traffic").rglob("*.parquet"):
        lines = pl.read_parquet(file, hive_partitioning=False)
        time = datetime.fromisoformat(f"{month}-15T12:00:00Z")
        hashes = [
            hash_value(field_key(secret, time, "origin"), [{"kept": "JFK", "removed": "EWR"}[row_id]])
            for row_id in lines["row_id"]
        ]
        target = file.parents[2] / f"date={month}-15" / "hour=12" / file.name
        target.parent.mkdir(parents=True)
        lines.with_columns(pl.Series("hash.origin", hashes), time=pl.lit(time)).write_parquet(target)
        file.unlink()


def row_ids(store: Path) -> list[str]:
    files = sorted((store / "traffic").rglob("*.parquet"))
    return [row_id for file in files for row_id in pl.read_parquet(file, hive_partitioning=False)["row_id"]]


@pytest.mark.parametrize("value", [("origin", "EWR"), ("temp", "60.50")], ids=["text", "number"])
def test_a_hashed_value_is_found_with_its_key(tmp_path: Path, value: tuple[str, str]) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    store = hashed(tmp_path, key, "present")
    files = open_files(str(store))
    with pytest.raises(UsageError, match=f"'{value[0]}' is captured as a hash: name the file with its key"):
        delete(files, Subject(field=value))
    assert delete(files, Subject(field=value, secrets=(key.read_bytes(),))) == Deleted(1, 0, 0, 0)
    assert row_ids(store) == ["kept"]


def test_each_month_is_searched_with_its_key_and_the_others_are_named(tmp_path: Path) -> None:
    """Rows of an earlier month with the same key, and of another one whose key was replaced since."""
    key, old = tmp_path / "key", tmp_path / "old"
    key.write_text("0123456789abcdef")
    old.write_text("fedcba9876543210")
    store = hashed(tmp_path, key, "present")
    for month, file in (("2026-01", key), ("2025-12", old)):
        earlier = hashed(tmp_path, file, month)
        move_to_month(earlier, month, file.read_bytes())
        shutil.copytree(earlier / "traffic", store / "traffic", dirs_exist_ok=True)
    run = ("capture", "delete", str(store), "--field", "origin=EWR", "--key-file", str(key))
    done = deployer(*run, cwd=tmp_path, home=tmp_path)
    assert done.returncode == 1
    assert f"{store}: 2 rows, 0 refusals, 0 labels and 0 rows of a shadow deleted" in done.stdout
    assert "were not searched: 2025-12 (" in done.stderr
    assert sorted(row_ids(store)) == ["kept", "kept", "kept", "removed"]
    done = deployer(*run, "--key-file", str(old), cwd=tmp_path, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(row_ids(store)) == {"kept"}


def test_a_value_that_is_kept_as_its_bin_cannot_be_searched(tmp_path: Path) -> None:
    store = captured(tmp_path, [], contract=with_policy("bin", "origin"))
    with pytest.raises(UsageError, match="'origin' is captured as its bin, which the rows of many have in common"):
        delete(open_files(str(store)), Subject(field=("origin", "JFK")))


def test_a_subject_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="name whose rows to delete"):
        Subject()
