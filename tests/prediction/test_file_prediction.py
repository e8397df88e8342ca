"""Predictions of files: equal to those of a server, resumable, in bounded memory, and with the problems of each row."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
import yaml

from model_deployer.contract.artifact import SPEC, Artifact, open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, EnvironmentFault, Interrupted, UsageError
from model_deployer.prediction import file_prediction
from model_deployer.prediction.file_prediction import FilePrediction, Summary, predict_file
from model_deployer.serving.engines.offline import predict
from model_deployer.serving.rows.formats import STREAM
from model_deployer.training.data import table_batches
from tests.support import offline_tables, tensor_models, tiny
from tests.support.processes import ROOT, Server
from tests.support.servers import Profile, SharedServers

FORMATS = ("csv", "parquet", "arrow", "jsonl")


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    tiny.write(tmp_path / "model")
    return open_artifact(tmp_path / "model")


def answers_of(model: Artifact, table: Path, output: Path, **options: Any) -> pl.DataFrame:
    """Predict a file and return the output."""
    predict_file(model, FilePrediction(str(table), output, **options))
    return read(output)


def read(output: Path) -> pl.DataFrame:
    if output.suffix == ".parquet":
        return pl.read_parquet(output)
    names = pl.read_csv(output, n_rows=0).columns
    numbers = [name for name in names if name.startswith("probabilities.") or name in ("value", "lower", "upper")]
    return pl.read_csv(output, schema_overrides={**dict.fromkeys(numbers, pl.Float32), "error": pl.String})


def answers_of_server(server: Server, table: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Return what the server answers to the table in its own format, in requests of as many rows as it accepts."""
    parts = []
    for start in range(0, table.height, limit):
        stream = table[start : start + limit].write_ipc_stream(None, compat_level=pl.CompatLevel.oldest()).getvalue()
        headers = {"content-type": STREAM, "accept": STREAM}
        answer = httpx.post(f"{server.url}/predict", content=stream, headers=headers, timeout=30).raise_for_status()
        parts.append(pl.read_ipc_stream(answer.content))
    return pl.concat(parts)


@pytest.mark.parametrize("contract", [tiny.CONTRACT, tiny.WITH_SETS, tiny.OF_A_NUMBER], ids=["two", "three", "number"])
def test_answers_are_those_of_a_server(servers: SharedServers, contract: Contract, tmp_path: Path) -> None:
    """Every format of the table and of the output has the answers of a server, bit for bit."""
    server = servers.get(Profile(contract=contract))
    model = open_artifact(server.model)
    table = offline_tables.frame(offline_tables.rows(1_300))
    expected = answers_of_server(server, table.drop("id"), contract.limits.rows)
    for suffix in FORMATS:
        path = offline_tables.write(table, tmp_path / f"table.{suffix}")
        for output in ("parquet", "csv"):
            answers = answers_of(model, path, tmp_path / f"{suffix}.{output}")
            assert answers.drop("error").equals(expected), (suffix, output)
            assert answers["error"].null_count() == table.height


def test_refused_rows_have_the_problems_of_the_service(server: Server, tmp_path: Path) -> None:
    """The problems of a row are those that the service names, in every format of the table."""
    model = open_artifact(server.model)
    changes: list[dict[str, Any]] = [
        {"distance": 5000.5}, {"origin": "SECRET"}, {"seats": None, "origin": None}, {"remark": "x" * 201},
        {"distance": -1.0, "seats": 900}, {"carrier": "y" * 1_001},
    ]  # fmt: skip
    rows = offline_tables.rows(1_000)
    for position, change in enumerate(changes):
        rows[150 * position + 7] |= change
    refused = {150 * position + 7 for position in range(len(changes))}
    expected = {row: problems_of_server(server, rows[row]) for row in refused}
    table = offline_tables.frame(rows)
    for suffix in FORMATS:
        path = offline_tables.write(table, tmp_path / f"table.{suffix}")
        output = tmp_path / f"{suffix}.parquet"
        assert predict_file(model, FilePrediction(str(path), output)) == Summary(994, 6, (), ("id",))
        answers = pl.read_parquet(output)
        errors = {row: json.loads(text) for row, text in enumerate(answers["error"]) if text is not None}
        assert errors == expected
        assert "SECRET" not in "".join(answers["error"].drop_nulls())
        assert set(answers["decision"].is_null().arg_true()) == refused


def problems_of_server(server: Server, row: dict[str, Any]) -> list[dict[str, Any]]:
    problems = httpx.post(f"{server.url}/predict", json={"rows": [row]}).json()["errors"]
    return [{name: problem[name] for name in ("field", "code", "message")} for problem in problems]


def test_text_that_cannot_be_read_is_refused_alone(model: Artifact, tmp_path: Path) -> None:
    rows = offline_tables.rows(40)
    table = offline_tables.frame(rows).with_columns(pl.col("distance", "seats", "holiday").cast(pl.String))
    texts = {3: ("distance", "far"), 4: ("seats", "9007199254740993"), 5: ("holiday", "perhaps"), 6: ("seats", "2.5")}
    for row, (name, text) in texts.items():
        table = table.with_columns(pl.when(pl.col("id") == row).then(pl.lit(text)).otherwise(pl.col(name)).alias(name))
    answers = answers_of(model, offline_tables.write(table, tmp_path / "t.csv"), tmp_path / "a.parquet")
    codes = {row: [item["code"] for item in json.loads(text)] for row, text in enumerate(answers["error"]) if text}
    assert codes == {3: ["wrong_type"], 4: ["out_of_range"], 5: ["wrong_type"], 6: ["not_an_integer"]}


def test_more_problems_than_a_response_lists(model: Artifact, tmp_path: Path) -> None:
    """Every row has all of its problems, however many there are."""
    table = offline_tables.frame(offline_tables.rows(3_000)).with_columns(distance=pl.lit(-1.0), seats=pl.lit(0))
    answers = answers_of(model, offline_tables.write(table, tmp_path / "t.parquet"), tmp_path / "a.parquet")
    assert {len(json.loads(text)) for text in answers["error"]} == {2}
    assert answers["decision"].null_count() == 3_000


def test_kept_columns_come_first(model: Artifact, tmp_path: Path) -> None:
    table = offline_tables.frame(offline_tables.rows(30))
    table = table.with_columns(pl.col("id").alias("a,b"), pl.lit("x").alias("*"))
    path = offline_tables.write(table, tmp_path / "t.parquet")
    answers = answers_of(model, path, tmp_path / "a.parquet", keep=["id,remark", "a,b", "*"])
    assert answers.columns[:4] == ["id", "remark", "a,b", "*"]
    assert answers.select("id", "remark", "a,b").equals(table.select("id", "remark", "a,b"))


def test_columns_are_checked_before_any_row(model: Artifact, tmp_path: Path) -> None:
    table = offline_tables.frame(offline_tables.rows(3)).rename({"distance": "distanse"})
    job = FilePrediction(str(offline_tables.write(table, tmp_path / "t.csv")), tmp_path / "a.csv")
    with pytest.raises(DataError, match="no column 'distance'; did you mean 'distanse'"):
        predict_file(model, job)
    table = offline_tables.frame(offline_tables.rows(3)).with_columns(distance=pl.lit([1]), departure=pl.lit(5))
    job = FilePrediction(str(offline_tables.write(table, tmp_path / "t.parquet")), tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"'distance' holds values of type List.*\n.*'departure' holds values"):
        predict_file(model, job)
    table = offline_tables.frame(offline_tables.rows(3)).drop("temp", "remark").with_columns(error=pl.lit(1))
    path = str(offline_tables.write(table, tmp_path / "t.parquet"))
    with pytest.raises(UsageError, match="another column 'error'"):
        predict_file(model, FilePrediction(path, tmp_path / "a.csv", keep=["error"]))
    with pytest.raises(UsageError, match="no column 'idd'; did you mean 'id'"):
        predict_file(model, FilePrediction(path, tmp_path / "a.csv", keep=["idd"]))
    summary = predict_file(model, FilePrediction(path, tmp_path / "a.csv"))
    assert summary == Summary(3, 0, ("temp", "remark"), ("id", "error"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "model", "t.csv", "t.parquet"]


def test_the_table_is_read_as_the_one_of_training(tmp_path: Path) -> None:
    """Columns are renamed and marks are missing as in the model.yaml; its condition for rows does not count."""
    tiny.write(tmp_path / "model")
    data = {
        "path": "train.csv", "target": "arrival", "rename": {"Dist.": "distance", "Temp": "temp"},
        "missing": ["unknown"], "where": "seats > 400", "drop_missing_target": True,
    }  # fmt: skip
    (tmp_path / "model" / SPEC).write_text(yaml.safe_dump({"name": "tiny", "data": data}))
    model = open_artifact(tmp_path / "model")
    table = offline_tables.frame(offline_tables.rows(60))
    expected = answers_of(model, offline_tables.write(table, tmp_path / "t.parquet"), tmp_path / "expected.parquet")
    renamed = table.rename({"distance": "Dist."}).with_columns(pl.col("temp").cast(pl.String).fill_null("unknown"))
    answers = answers_of(model, offline_tables.write(renamed, tmp_path / "t.csv"), tmp_path / "a.parquet")
    assert answers.equals(expected)
    assert answers["error"].null_count() == 60


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(file_prediction, "_PART_ROWS", 1)
    monkeypatch.setattr(table_batches, "_MAX_ROWS", 16_384)
    yield


def test_output_is_not_overwritten(model: Artifact, tmp_path: Path, small_parts: None) -> None:
    path = offline_tables.write(offline_tables.frame(offline_tables.rows(5)), tmp_path / "t.parquet")
    output = tmp_path / "a.parquet"
    answers_of(model, path, output)
    with pytest.raises(UsageError, match="exists; remove it, or name another file"):
        predict_file(model, FilePrediction(str(path), output))
    with pytest.raises(UsageError, match=r"\.parquet or \.csv"):
        predict_file(model, FilePrediction(str(path), tmp_path / "a.xlsx"))


def test_interrupted_run_resumes_only_as_the_same_run(model: Artifact, tmp_path: Path, small_parts: None) -> None:
    table = offline_tables.frame(offline_tables.rows(500))
    path = offline_tables.write(pl.concat([table] * 80), tmp_path / "t.parquet")
    output, done = tmp_path / "a.csv", []

    def interrupt(rows: int, total: int | None) -> None:
        done.append((rows, total))
        if rows > 20_000:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"interrupted after 16,384 rows; .* --resume"):
        predict_file(model, FilePrediction(str(path), output), interrupt)
    assert done == [(0, 40_000), (16_384, 40_000), (32_768, 40_000)]
    assert not output.exists()
    with pytest.raises(UsageError, match="left from an interrupted run; continue it with --resume"):
        predict_file(model, FilePrediction(str(path), output))
    with pytest.raises(UsageError, match="the columns of --keep differ"):
        predict_file(model, FilePrediction(str(path), output, keep=["id"], resume=True))
    times = path.stat()
    os.utime(path, (0, 0))
    with pytest.raises(UsageError, match="the files of the table differ"):
        predict_file(model, FilePrediction(str(path), output, resume=True))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    predict_file(model, FilePrediction(str(path), output, resume=True))
    assert read(output).equals(answers_of(model, path, tmp_path / "whole.csv"))


_KILLED = """
import os, signal, sys
from pathlib import Path
from model_deployer.contract.artifact import open_artifact
from model_deployer.prediction import file_prediction
from model_deployer.training.data import table_batches

def follow(rows, total):
    if rows > 40_000 and sys.argv[4] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print(rows)

file_prediction._PART_ROWS = 1
table_batches._MAX_ROWS = 16_384
job = file_prediction.FilePrediction(sys.argv[2], Path(sys.argv[3]), ["id"], resume=True)
print(file_prediction.predict_file(open_artifact(Path(sys.argv[1])), job, follow))
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_killed_run_resumes(model: Artifact, tmp_path: Path, suffix: str) -> None:
    """A run that is killed goes on after its last complete part, and its output is the same."""
    table = offline_tables.frame(offline_tables.rows(500))
    table = pl.concat([table] * 160).drop("id").with_row_index("id")
    path = offline_tables.write(table, tmp_path / f"t.{suffix}")
    output = tmp_path / "a.parquet"
    command = [sys.executable, "-c", _KILLED, str(model.path), str(path), str(output)]
    killed = subprocess.run([*command, "kill"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    resumed = subprocess.run([*command, "end"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert resumed.stdout.split()[0] == "32768"
    answers = pl.read_parquet(output)
    assert answers.equals(answers_of(model, path, tmp_path / "whole.parquet", keep=["id"]))
    assert answers["id"].cast(pl.UInt32).equals(table["id"])
    assert not output.with_name("a.parquet.unfinished").exists()


def test_two_processes_do_not_write_one_table(model: Artifact, tmp_path: Path) -> None:
    path = str(offline_tables.write(offline_tables.frame(offline_tables.rows(5)), tmp_path / "t.parquet"))

    def start_another(rows: int, total: int | None) -> None:
        with pytest.raises(EnvironmentFault, match="another process is writing"):
            predict_file(model, FilePrediction(path, tmp_path / "a.csv", resume=True))

    predict_file(model, FilePrediction(path, tmp_path / "a.csv"), start_another)


_MEASURED = """
import re, sys
from pathlib import Path
from model_deployer.contract.artifact import open_artifact
from model_deployer.prediction.file_prediction import FilePrediction, predict_file

peak = 0
def follow(rows, total):
    global peak
    peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)

predict_file(open_artifact(Path(sys.argv[1])), FilePrediction(sys.argv[2], Path(sys.argv[3])), follow)
print(peak)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [pytest.param("csv", marks=pytest.mark.long), "parquet"])
def test_memory_does_not_grow_with_the_table(model: Artifact, tmp_path: Path, suffix: str) -> None:
    """A table that takes 800 MB in memory is predicted in 700 MB."""
    table = pl.concat([offline_tables.frame(offline_tables.rows(500)).drop("id")] * 7_000).with_row_index("id")
    table = table.with_columns(remark=pl.format("{} {}", "id", pl.lit("word " * 38)))
    assert table.estimated_size("mb") > 800
    path = offline_tables.write(table, tmp_path / f"t.{suffix}")
    del table
    command = [sys.executable, "-c", _MEASURED, str(model.path), str(path), str(tmp_path / "a.parquet")]
    environment = os.environ | {"POLARS_MAX_THREADS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    path.unlink()
    assert int(done.stdout) < 700


def test_other_kinds_of_files_are_read_as_in_training(model: Artifact, tmp_path: Path) -> None:
    """Another dialect, encoding or compression, and the folders of a partition, mean the same."""
    table = offline_tables.frame(offline_tables.rows(60))
    expected = answers_of(model, offline_tables.write(table, tmp_path / "t.csv"), tmp_path / "expected.parquet")
    text = (tmp_path / "t.csv").read_text()
    semicolons = tmp_path / "s.csv"
    pl.read_csv(tmp_path / "t.csv", infer_schema=False).write_csv(semicolons, separator=";")
    (tmp_path / "l.csv").write_bytes(text.encode("cp1252"))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "parts" / "origin=JFK").mkdir(parents=True)
    part = table.filter(origin="JFK").drop("origin")
    offline_tables.write(part, tmp_path / "parts" / "origin=JFK" / "t.parquet")
    for name in ("s.csv", "l.csv", "t.csv.gz"):
        assert answers_of(model, tmp_path / name, tmp_path / f"{name}.parquet").equals(expected), name
    answers = answers_of(model, tmp_path / "parts", tmp_path / "parts.parquet")
    assert answers.equals(expected.filter(table["origin"] == "JFK"))


@pytest.mark.parametrize("kind", ["vectors", "sequences", "images"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_columns_of_lists_and_of_files_are_predicted(kind: str, suffix: str, tmp_path: Path) -> None:
    write, contract, rows = {
        "vectors": (tensor_models.write_vectors, tensor_models.CONTRACT, tensor_models.vector_rows),
        "sequences": (tensor_models.write_sequences, tensor_models.WITH_SEQUENCES, tensor_models.sequence_rows),
        "images": (tensor_models.write_images, tensor_models.WITH_IMAGE, tensor_models.image_rows),
    }[kind]
    write(tmp_path / "model")
    requests = rows(contract, 600)
    frame = pl.DataFrame(requests)
    if kind == "images":
        frame = frame.with_columns(pl.col("photo").str.decode("base64"))
    table = tmp_path / f"table.{suffix}"
    _ = frame.write_parquet(table) if suffix == "parquet" else frame.write_ipc(table)
    model = open_artifact(tmp_path / "model")
    answers = answers_of(model, table, tmp_path / "answers.parquet")
    predictions = [prediction for prediction in predict(model, requests) if prediction]
    assert answers["decision"].to_list() == [prediction["decision"] for prediction in predictions]
    fish = np.array([prediction["probabilities"]["fish"] for prediction in predictions], np.float32)
    np.testing.assert_allclose(answers["probabilities.fish"].to_numpy(), fish, rtol=1e-6)
