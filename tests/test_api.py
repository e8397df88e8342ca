"""`import model_deployer as md`: what a data scientist does in a notebook."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml

import model_deployer as md
from model_deployer.contract.errors import DataError, ModelNotFound, SpecError, UsageError
from model_deployer.serving.engines.offline import predict
from tests.support import offline_tables, tiny
from tests.support.processes import ROOT


def table(rows: int = 300) -> pl.DataFrame:
    """A table whose target depends on its columns."""
    random = np.random.default_rng(0)
    area, city = random.uniform(20, 200, rows), random.choice(["Bern", "Köln", "Paris"], rows)
    price = 3 * area + 50 * (city == "Paris") + random.normal(0, 5, rows)
    return pl.DataFrame({"area": area, "city": city, "sold": random.choice(["yes", "no"], rows), "price": price})


QUICK: dict[str, Any] = {"estimator": {"name": "linear"}}


@pytest.mark.slow
def test_importing_loads_nothing_heavy() -> None:
    """A server imports this package: it loads neither torch nor pandas nor polars, and not BentoML."""
    script = "import sys, model_deployer as md; md.DeployerError; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "pandas", "polars", "bentoml", "onnxruntime", "sklearn"}
    assert {"train", "load", "read"} <= set(dir(md))
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        md.trane  # noqa: B018


@pytest.mark.slow
def test_a_frame_becomes_a_model(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DataFrame of each library becomes the same model, and the files are those of `deployer train`."""
    monkeypatch.chdir(tmp_path)
    frame = table()
    model = md.train(data=frame, target="price", name="homes", unit="kEUR", **QUICK)
    assert model.tag == "homes:1.0.0"
    assert repr(model).startswith("<Model homes:1.0.0: regression of price, ")
    assert model.contract.names == ["area", "city", "sold"]
    assert yaml.safe_load(Path("homes/model.yaml").read_text()) == {
        "name": "homes", "unit": "kEUR", **QUICK, "data": {"path": "table.parquet", "target": "price"},
    }  # fmt: skip
    assert pl.read_parquet("homes/table.parquet").equals(frame)
    assert set(model.metrics["model"]) == {"model", "trivial", "linear"}
    assert set(model.importance["feature"]) == {"area", "city", "sold"}
    assert model.importance["feature"][0] == "area"
    assert model.candidates["chosen"].to_list() == [True]
    assert model.report.is_file()

    pandas = pd.DataFrame(frame.to_dict(as_series=False), index=range(1000, 1300))
    again = md.train({"name": "homes", "unit": "kEUR"}, data=pandas, target="price", **QUICK)
    assert again.tag == "homes:1.0.1"
    assert again.artifact.manifest.origin.data_version == model.artifact.manifest.origin.data_version
    from_file = md.train("homes/model.yaml")
    assert from_file.tag == "homes:1.0.2"
    changed = md.train("homes/model.yaml", folder="other", ignore=["sold"])
    assert yaml.safe_load(Path("other/model.yaml").read_text())["data"]["path"] == "../homes/table.parquet"
    assert (changed.tag, changed.contract.names) == ("homes:2.0.0", ["area", "city"])

    answers = model.predict(pandas)
    assert isinstance(answers, pd.DataFrame)
    assert answers.index.equals(pandas.index)
    assert list(answers.columns) == ["value", "lower", "upper", "error"]
    expected = model.predict(frame)
    assert expected["value"].to_list() == answers["value"].tolist()
    assert np.corrcoef(expected["value"], frame["price"])[0, 1] > 0.95


def test_a_handwritten_file_is_not_overwritten(home: Path, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("name: homes\n")
    with pytest.raises(UsageError, match="not written by `train`"):
        md.train(data=table(), target="price", name="homes", folder=tmp_path)


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"target": "prize"}, DataError, "no column 'prize'; did you mean 'price'"),
        ({"target": "price", "splitt": {}}, SpecError, "splitt: unknown key; did you mean 'split'"),
        ({}, SpecError, "data.target: missing"),
    ],
)
def test_wrong_keys_are_named(home: Path, tmp_path: Path, keys: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        md.train(data=table(), folder=tmp_path, **keys)


def test_data_of_an_unknown_kind(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"type int cannot be read as a table.*DataFrame of polars or pandas"):
        md.train(data=5, target="price", folder=tmp_path)


def test_rows_and_tables_are_answered_alike(home: Path, tmp_path: Path) -> None:
    """Rows as clients send them get the answers of the service, and tables get them as columns."""
    tiny.save(tmp_path)
    model = md.load("tiny")
    rows = offline_tables.rows(40)
    expected = predict(model.artifact, rows)
    assert model.predict(rows) == expected
    assert model.predict(rows[0]) == expected[0]
    rows[3] = rows[3] | {"origin": "XXX", "wings": 2}
    (refused,) = [answer for answer in model.predict(rows) if "error" in answer]
    assert [(problem["field"], problem["code"]) for problem in refused["error"]] == [
        ("wings", "unknown_field"),
        ("origin", "unknown_category"),
    ]
    frame = offline_tables.frame(rows)
    answers = model.predict(frame)
    assert answers["error"].is_not_null().arg_true().to_list() == [3]
    assert [None if answer is None else answer["decision"] for answer in expected][:3] == answers["decision"][
        :3
    ].to_list()
    assert model.predict(frame.lazy()).equals(answers)
    with pytest.raises(DataError, match="no column 'distance'"):
        model.predict(frame.drop("distance"))
    with pytest.raises(DataError, match="no rows"):
        model.predict(frame[:0])
    summary = model.predict_file(
        offline_tables.write(frame, tmp_path / "t.parquet"), tmp_path / "a.parquet", keep=["id"]
    )
    assert (summary.answered, summary.refused) == (39, 1)
    assert pl.read_parquet(tmp_path / "a.parquet").drop("id").equals(answers)


def test_pandas_columns_of_every_type(home: Path, tmp_path: Path) -> None:
    """Columns of pandas, with its marks of missing values, mean what those of polars mean."""
    tiny.save(tmp_path)
    model = md.load()
    rows = offline_tables.rows(60)
    pandas = pd.DataFrame(rows)
    for name, dtype in {"carrier": "category", "seats": "Int64", "distance": "float32", "remark": "string"}.items():
        pandas[name] = pandas[name].astype(dtype)
    pandas["departure"] = pd.to_datetime(pandas["departure"])
    pandas["booked"] = pd.to_datetime(pandas["booked"])
    answers = model.predict(pandas)
    assert answers["error"].isna().all()
    frame = offline_tables.frame(rows).with_columns(pl.col("distance").cast(pl.Float32))
    assert answers["probabilities.late"].tolist() == model.predict(frame)["probabilities.late"].to_list()


def test_a_table_is_read_as_training_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('price,when,day\n"$1,200.50",31/12/2020,01/02/2020\n-,30/11/2020,02/03/2020\n')
    reading = md.read(path)
    assert reading.formats["price"] == "$1,234.5"
    assert reading.frame["price"].to_list() == [1200.5, None]
    assert reading.marks == {"price": ("-",)}
    assert any("price" in note for note in reading.notes)
    path.write_text("day\n01/02/2020\n02/03/2020\n")
    (question,) = md.read(path).questions
    assert question.column == "day"
    assert set(question.answers) == {"%d/%m/%Y", "%m/%d/%Y"}
    answered = md.read(path, formats={"day": "%d/%m/%Y"})
    assert not answered.questions
    assert answered.frame["day"].dt.month().to_list() == [2, 3]
    with pytest.raises(SpecError, match=r"^formatz: unknown key; did you mean 'format'"):
        md.read(path, formatz={})
    with pytest.raises(DataError, match="there is no file"):
        md.read(tmp_path / "absent.csv")


def test_a_model_without_results(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path)
    model = md.load("tiny:1.0.0")
    for frame in (model.metrics, model.importance, model.slices, model.findings, model.candidates):
        assert frame.is_empty()
    assert model.findings.columns == ["severity", "column", "code", "message"]
    assert model.metrics.columns == ["model", "metric", "value", "low", "high"]
    with pytest.raises(ModelNotFound, match="it holds tiny"):
        md.load("large")
