"""Captured traffic is read back with its labels, from files that the capture itself wrote."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.monitoring.traffic.traffic import Traffic, join_labels, read_traffic
from model_deployer.monitoring.traffic.traffic_files import Window, open_files
from tests.serving.capture.test_capture import ask, start
from tests.serving.test_gateway import connect
from tests.support import tiny


def captured(folder: Path, labels: list[dict[str, Any]], **settings: Any) -> Path:
    """Capture five rows of two requests and labels, and return the traffic store."""

    async def capture() -> None:
        predictor = start(folder, row_id="order", **settings)
        await ask(predictor, [tiny.ROW | {"order": index} for index in range(3)], "first")
        await ask(predictor, [tiny.ROW | {"order": f"o{index}"} for index in range(2)], "second")
        for label in labels:
            async with connect(predictor) as client:
                assert (await client.post("/feedback", json={"labels": [label]})).status_code == 202
        predictor.close()

    asyncio.run(capture())
    return folder / "store"


def read(store: Path, **window: Any) -> Traffic:
    return read_traffic(open_files(str(store)), "tiny", Window(**window))


def test_labels_are_joined_by_request_or_by_the_callers_id(tmp_path: Path) -> None:
    labels: list[dict[str, Any]] = [
        {"request_id": "first", "row": 1, "label": "late"},
        {"row_id": "o1", "label": "on_time", "time": "2026-01-31T12:00:00Z"},
        {"row_id": 0, "label": "late"},
        {"request_id": "first", "row": 0, "label": "on_time"},
        {"request_id": "never asked", "label": "late"},
        {"row_id": "never asked", "label": "late"},
    ]
    traffic = read(captured(tmp_path, labels))
    assert traffic.rows["label"].to_list() == ["on_time", "late", None, None, "on_time"]
    assert traffic.rows["label_time"][4] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    counts = traffic.labels
    assert (counts.received, counts.matched, counts.corrected, counts.unmatched) == (6, 3, 1, 2)
    assert traffic.versions == ["1.0.0"]


def test_traffic_without_labels_has_none(tmp_path: Path) -> None:
    traffic = read(captured(tmp_path, []))
    assert traffic.rows["label"].null_count() == 5
    assert traffic.labels.received == 0
    assert traffic.refusals.is_empty()


def test_a_window_has_the_rows_of_its_time_and_version(tmp_path: Path) -> None:
    store, now = captured(tmp_path, []), datetime.now(UTC)
    assert len(read(store, since=now - timedelta(hours=1), version="1.0.0").rows) == 5
    assert len(read(store, until=now + timedelta(hours=1)).rows) == 5
    for window in ({"since": now + timedelta(days=2)}, {"until": now - timedelta(days=2)}, {"version": "2.0.0"}):
        with pytest.raises(DataError, match="has no traffic of 'tiny' in this time"):
            read(store, **window)


def test_versions_with_other_fields_are_read_together(tmp_path: Path) -> None:
    store = captured(tmp_path, [])
    folder = next((store / "traffic").rglob("*.parquet")).parent
    newer = Path(str(folder).replace("1.0.0", "2.0.0"))
    newer.mkdir(parents=True)
    table = pl.read_parquet(next(folder.glob("*.parquet")))
    table.rename({"input.distance": "input.age"}).write_parquet(newer / "x.parquet")
    traffic = read(store)
    assert traffic.versions == ["1.0.0", "2.0.0"]
    assert (traffic.rows["input.distance"].null_count(), traffic.rows["input.age"].null_count()) == (5, 5)


def test_rows_of_the_future_are_left_out_and_counted(tmp_path: Path) -> None:
    store = captured(tmp_path, [])
    traffic = read_traffic(open_files(str(store)), "tiny", now=datetime.now(UTC) - timedelta(days=1))
    assert (len(traffic.rows), traffic.future_rows) == (0, 5)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        open_files(str(tmp_path / "absent"))
    store = captured(tmp_path, [])
    file = next((store / "traffic").rglob("*.parquet"))
    file.write_bytes(b"PAR1 damaged")
    with pytest.raises(DataError, match=r"\.parquet: the file is damaged; remove it"):
        read(store)


def test_a_label_that_contradicts_an_earlier_one_replaces_it() -> None:
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    rows = pl.DataFrame({"request_id": ["a"], "row": [0], "row_id": ["x"], "time": times[:1]})
    labels = pl.DataFrame(
        {
            "request_id": ["a", None, "a"],
            "row": [0, None, 0],
            "row_id": [None, "x", None],
            "label": ["no", "yes", "yes"],
            "time": [times[0], None, None],
            "received": [times[0], times[2], times[1]],
        },
        schema_overrides={"time": pl.Datetime("us", "UTC")},
    )
    joined, counts = join_labels(rows, labels)
    assert (joined["label"].to_list(), joined["label_time"].to_list()) == (["yes"], [times[2]])
    assert counts.corrected == 1
