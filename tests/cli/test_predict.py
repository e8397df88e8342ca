"""`deployer predict`: what it prints, its exit codes, and Ctrl-C."""

import signal
import subprocess
from pathlib import Path

import polars as pl
import pytest

from model_deployer.prediction import file_prediction
from model_deployer.prediction.unfinished_table import UnfinishedTable
from model_deployer.training.data import table_batches
from tests.support import in_process, offline_tables, tiny
from tests.support.processes import run


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    """A folder with a table; the model is in the store."""
    tiny.save(tmp_path / "files")
    offline_tables.write(offline_tables.frame(offline_tables.rows(50)), tmp_path / "t.csv")
    return tmp_path


def predict(folder: Path, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return in_process.deployer("predict", *arguments, cwd=folder, home=home)


def test_program_predicts_a_file(folder: Path) -> None:
    done = run("deployer", "predict", "tiny", "t.csv", "-o", "a.csv", "--keep", "id", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a.csv: 50 rows answered by tiny:1.0.0, 0 refused\n"
    assert done.stderr == ""
    assert pl.read_csv(folder / "a.csv")["id"].to_list() == list(range(50))


def test_refused_rows_are_counted_and_set_the_exit_code(folder: Path, home: Path) -> None:
    table = offline_tables.frame(offline_tables.rows(50)).with_columns(seats=pl.lit(0), weather=pl.lit("rain"))
    offline_tables.write(table.drop("temp"), folder / "t.parquet")
    done = predict(folder, home, "tiny:1.0.0", "t.parquet", "--output", "a.parquet")
    assert done.returncode == 1
    assert done.stdout == "a.parquet: 0 rows answered by tiny:1.0.0, 50 refused: see the column `error`\n"
    assert done.stderr.splitlines() == [
        "columns that tiny:1.0.0 does not use: id, weather",
        "optional fields that the table does not have: temp",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "absent.csv", "-o", "a.csv"], "there is no file"),
        (["large", "t.csv", "-o", "a.csv"], "the store does not hold a model 'large'; it holds tiny"),
        (["tiny", "t.csv", "-o", "a.csv", "--keep", "idd"], "did you mean 'id'?"),
        (["tiny", "t.csv", "-o", "absent/a.csv"], "--output must name a file in an existing folder"),
        (["tiny", "empty.csv", "-o", "a.csv"], "the table has no rows"),
    ],
)
def test_wrong_input_is_one_message(folder: Path, home: Path, arguments: list[str], message: str) -> None:
    (folder / "empty.csv").write_text((folder / "t.csv").read_text().splitlines()[0] + "\n")
    done = predict(folder, home, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not list(folder.glob("a.csv*"))


def test_a_damaged_file_is_one_message(folder: Path, home: Path) -> None:
    path = offline_tables.write(offline_tables.frame(offline_tables.rows(5_000)), folder / "t.parquet")
    content = bytearray(path.read_bytes())
    content[100:-3_000] = bytes(len(content) - 3_100)
    path.write_bytes(content)
    done = predict(folder, home, "tiny", "t.parquet", "-o", "a.csv")
    assert done.returncode == 2
    assert "t.parquet" in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ctrl_c_keeps_what_is_done(folder: Path, home: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_prediction, "_PART_ROWS", 1)
    monkeypatch.setattr(table_batches, "_MAX_ROWS", 16_384)
    table = pl.concat([offline_tables.frame(offline_tables.rows(500))] * 100)
    offline_tables.write(table, folder / f"t.{suffix}")
    add = UnfinishedTable.add

    def press(self: UnfinishedTable, frame: pl.DataFrame) -> None:
        add(self, frame)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(UnfinishedTable, "add", press)
    done = predict(folder, home, "tiny", f"t.{suffix}", "-o", "a.parquet")
    assert done.returncode == 130
    assert "interrupted after 16,384 rows; the same command with --resume continues after them" in done.stderr
    monkeypatch.setattr(UnfinishedTable, "add", add)
    done = predict(folder, home, "tiny", f"t.{suffix}", "-o", "a.parquet", "--resume")
    assert done.stdout.startswith("a.parquet: 50,000 rows answered")
