"""Labels of a file are taken as those of ``POST /feedback``: all or none, each row once."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError
from model_deployer.monitoring.traffic.label_file import TakenLabels, take_labels
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from tests.monitoring.traffic.test_traffic import captured
from tests.support import tiny
from tests.support.case_ids import case_id

ROWS: list[dict[str, Any]] = [
    {"request_id": "first", "row": 1, "label": "late"},
    {"row_id": "o1", "label": "on_time", "time": "2026-01-31T12:00:00Z"},
    {"row_id": "o1", "label": "on_time"},
    {"row_id": "0", "label": "late"},
    {"row_id": "0", "label": "on_time"},
    {"request_id": "never asked", "row": 0, "label": "late"},
]


def artifact(folder: Path, contract: Contract = tiny.CONTRACT) -> Artifact:
    tiny.write(folder, contract=contract)
    return open_artifact(folder)


def write(file: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    table = pl.DataFrame(rows, infer_schema_length=None)
    if file.suffix == ".csv":
        table.write_csv(file)
    elif file.suffix == ".parquet":
        table.with_columns(pl.col("time").str.to_datetime(time_zone="UTC")).write_parquet(file)
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"], ids=case_id)
def test_a_file_is_taken_once(tmp_path: Path, suffix: str) -> None:
    store = captured(tmp_path, [])
    files, model = open_files(str(store)), artifact(tmp_path / "files")
    file = write(tmp_path / f"labels{suffix}")
    taken = take_labels(file, files, model)
    assert taken == TakenLabels(taken=5, duplicates=1, contradicting=1, corrected=0, unknown=1)
    traffic = read_traffic(files, "tiny")
    assert traffic.rows["label"].to_list() == ["on_time", "late", None, None, "on_time"]
    again = take_labels(write(tmp_path / "again.csv", [ROWS[0], ROWS[1] | {"label": "late"}]), files, model)
    assert again == TakenLabels(taken=1, duplicates=1, contradicting=0, corrected=1, unknown=0)
    assert read_traffic(files, "tiny").rows["label"].to_list() == ["on_time", "late", None, None, "late"]
    assert len(list((store / "labels").rglob("*.parquet"))) == 2


def test_labels_of_numbers_are_numbers(tmp_path: Path) -> None:
    files, model = open_files(str(captured(tmp_path, []))), artifact(tmp_path / "files", tiny.OF_A_NUMBER)
    take_labels(write(tmp_path / "labels.csv", [{"row_id": "o1", "label": 12}]), files, model)
    assert read_traffic(files, "tiny").rows["label"][4] == "12.0"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"row_id": "o1", "label": "later"}], "row 1: expected one of the labels of the model"),
        ([ROWS[0], {"row_id": "o1", "request_id": "first", "label": "late"}], "row 2: expected either `request_id`"),
        ([{"request_id": "first", "row": "x", "label": "late"}], "row 1: expected the index of the row"),
        ([{"row_id": "o1", "label": "late", "time": "soon"}], "row 1: expected a time such as"),
        ([{"row_id": "o1", "label": "late", "note": "?"}], "remove note"),
        ([{"row_id": "o1"}], "there is no column `label`"),
    ],
    ids=case_id,
)
def test_nothing_is_taken_of_a_file_with_a_mistake(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    store = captured(tmp_path, [])
    with pytest.raises(DataError, match=message):
        take_labels(write(tmp_path / "labels.csv", rows), open_files(str(store)), artifact(tmp_path / "files"))
    assert not (store / "labels").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    files, model = open_files(str(captured(tmp_path, []))), artifact(tmp_path / "files")
    for name, content, message in (
        ("labels.xlsx", b"", "expected a file that ends in .csv, .parquet"),
        ("labels.parquet", b"PAR1", "labels.parquet cannot be read"),
        ("labels.csv", b"label,row_id\n", "there are no labels in it"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            take_labels(tmp_path / name, files, model)
    with pytest.raises(DataError, match="there is no such file"):
        take_labels(tmp_path / "absent.csv", files, model)
