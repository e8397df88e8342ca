"""Complete training runs in this process, of models that are fitted quickly."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_deployer.api import Model
from model_deployer.contract import store
from model_deployer.contract.artifact import REPORT, Artifact
from model_deployer.contract.errors import ArtifactError, CheckFailed
from model_deployer.contract.evaluation import LINEAR, MODEL, UnmeasuredCurve
from model_deployer.contract.features import Categorical
from model_deployer.contract.outputs import Classification
from model_deployer.handoff.formats.formats import Formats
from model_deployer.serving.config.model_selection import select_model
from model_deployer.serving.engines import offline
from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.run import train
from tests.support.json_documents import unknown_keys

pytestmark = pytest.mark.slow

ROWS = 900

#: A row of each of these parts under a split by time.
VALIDATION, TEST = 700, ROWS - 1


def trained(
    folder: Path, frame: pl.DataFrame, keys: str, ignore: str = "", estimator: str = "{name: linear}"
) -> Artifact:
    frame.write_parquet(folder / "t.parquet")
    data = f"{{path: t.parquet, target: y, ignore: [{ignore}]}}"
    (folder / "model.yaml").write_text(f"name: m\ndata: {data}\nestimator: {estimator}\n{keys}\n")
    return store.load(train(read_dataset(folder / "model.yaml")).tag)


def table(labels: int) -> pl.DataFrame:
    random = np.random.default_rng(0)
    x, z = random.normal(size=(2, ROWS))
    score = x + random.normal(size=ROWS)
    codes = np.digitize(score, np.quantile(score, np.arange(1, labels) / labels))
    return pl.DataFrame({"x": x, "z": z, "y": [f"label {code}" for code in codes]})


def test_the_model_does_not_see_a_leak_that_slices_are_made_of(home: Path, tmp_path: Path) -> None:
    """The column is the target itself: a model that used it would make no errors."""
    frame = table(2)
    frame = frame.with_columns(leak=frame["y"], region=pl.Series(["north", "south", "south"] * (ROWS // 3)))
    model = trained(tmp_path, frame, "slices: [leak, region]\ngates: {slice_gap: 3}", "leak, region")
    assert model.contract.names == ["x", "z"]
    assert model.evaluation.metrics_of(MODEL)["accuracy"].value < 0.85
    assert "leak" not in (model.path / "model.onnx").read_bytes().decode("latin-1")
    named = {result.slice: result for result in model.evaluation.slices or () if result.named}
    assert set(named) == {"leak = label 0", "leak = label 1", "region = north", "region = south"}
    assert not any(result.learnt for result in named.values())
    assert model.evaluation.rows is not None
    assert named["region = north"].rows + named["region = south"].rows == model.evaluation.rows.test
    assert "not an input of the model" in (model.path / "report.html").read_text()
    assert "leak" not in json.dumps([case.row for case in model.golden()])


def test_slice_column_changes_nothing_else(home: Path, tmp_path: Path) -> None:
    """A column that only slices are made of changes nothing but the slices."""
    frame = table(2)
    plain = trained(tmp_path, frame, "")
    sliced = trained(tmp_path, frame.with_columns(leak=frame["y"]), "slices: [leak]", "leak")
    files = [(model.path / "model.onnx").read_bytes() for model in (plain, sliced)]
    assert files[0] == files[1].replace(b"1.0.1", b"1.0.0")


def test_miscalibrated_slice_fails_the_gate(home: Path, tmp_path: Path) -> None:
    """A model whose probabilities are wrong for some rows is not saved.

    The labels of the north are turned around, and the region is not an input of the model.
    """
    frame = table(2).with_columns(north=pl.Series([True, False, False] * (ROWS // 3)))
    relabelled = pl.when(pl.col("north") & (pl.col("y") == "label 0")).then(pl.lit("label 1"))
    frame = frame.with_columns(y=relabelled.otherwise("y"))
    with pytest.raises(CheckFailed, match=r"gates\.slice_calibration: measured 0\.\d+ in the slice north = true"):
        trained(tmp_path, frame, "slices: [north]\ngates: {slice_calibration: 0.1}", "north")


def test_three_labels_are_answered_with_sets_that_are_measured(home: Path, tmp_path: Path) -> None:
    model = trained(tmp_path, table(3), "gates: {metrics: {set_size: {at_most: 2.9}, coverage: {at_least: 0.8}}}")
    output = model.contract.output
    assert isinstance(output, Classification)
    assert output.coverage == 0.9
    assert output.set_threshold is not None and 0 < output.set_threshold < 0.5
    metrics = model.evaluation.metrics_of(MODEL)
    assert metrics["coverage"].value == pytest.approx(0.9, abs=0.08)
    assert 1 < metrics["set_size"].low < metrics["set_size"].high < 3
    assert "set_size" not in model.evaluation.metrics_of(LINEAR)
    assert all(case.prediction["decision"] in case.prediction["set"] for case in model.golden())
    again = trained(tmp_path, table(3), "seed: 1\ntolerance: 1")
    assert again.evaluation.behaviour is not None
    assert not unknown_keys(again.evaluation) | unknown_keys(again.reference) | unknown_keys(model.evaluation)
    assert again.contract.output != output
    assert again.tag == "m:1.0.1"


def test_tiny_table_is_trained_without_a_curve(home: Path, tmp_path: Path) -> None:
    """A tiny table has no learning curve, and is trained on all the same."""
    frame = pl.DataFrame({"x": np.arange(10.0), "y": np.arange(10.0) ** 2})
    model = trained(tmp_path, frame, "")
    assert model.evaluation.curve == UnmeasuredCurve(reason="6 training rows are too few for a learning curve")
    assert "Would more rows help?" in (model.path / "report.html").read_text()


@pytest.mark.parametrize(("row", "logarithm"), [(None, True), (VALIDATION, False), (TEST, False)])
def test_logarithm_needs_positive_targets_everywhere(
    home: Path, tmp_path: Path, row: int | None, logarithm: bool
) -> None:
    """The logarithm of the target is fitted only if every known target has one."""
    random = np.random.default_rng(0)
    x = random.normal(size=ROWS)
    amounts = np.exp(1.5 * x + random.normal(size=ROWS) / 3)
    if row is not None:
        amounts[row] = 0.0
    frame = pl.DataFrame({"x": x, "y": amounts, "t": np.arange(ROWS)})
    frame.write_parquet(tmp_path / "t.parquet")
    spec = "name: m\ndata: {path: t.parquet, target: y, time: t}\nestimator: {name: linear}"
    (tmp_path / "model.yaml").write_text(spec)
    evaluation = train(read_dataset(tmp_path / "model.yaml")).evaluation
    assert evaluation.logarithm is logarithm
    assert np.isfinite(evaluation.candidates[0].loss)


def test_own_features_are_nodes_of_the_graph_and_callers_send_columns_only(home: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    price, area = np.exp(random.normal(size=(2, ROWS)))
    city = random.choice(["Bern", "Oslo", "Rome"], ROWS)
    expensive = np.log(price / area) + random.normal(size=ROWS) > 0
    frame = pl.DataFrame({"price": price, "area": area, "city": city, "y": np.where(expensive, "yes", "no")})
    keys = """
features:
  relation: {expression: log(price / area)}
  relative: {expression: "price / mean(price, by=city)"}
"""
    plain = trained(tmp_path, frame, "")
    own = trained(tmp_path, frame, keys)
    assert own.contract.names == plain.contract.names == ["price", "area", "city"]
    plain_loss, own_loss = (artifact.evaluation.metrics[MODEL]["log_loss"].value for artifact in (plain, own))
    assert own_loss < plain_loss - 0.01


def test_spellings_of_a_category_are_one_category(home: Path, tmp_path: Path) -> None:
    """The model, its golden requests and its reference know one spelling, which the example may not have."""
    frame = table(2)
    codes = frame["y"].replace_strict({"label 0": 0, "label 1": 1}, return_dtype=pl.Int64)
    spellings = [("JFK", "jfk ")[row % 3 == 0] if code else ("Lga", "LGA")[row % 2] for row, code in enumerate(codes)]
    keys = "features: {origin: {normalize: [trim, case], unknown: reject, example: ' lGa'}}"
    model = trained(tmp_path, frame.with_columns(origin=pl.Series(spellings)), keys)
    (origin,) = (feature for feature in model.contract.features if feature.name == "origin")
    assert isinstance(origin, Categorical)
    assert origin.categories is not None
    assert {category.lower() for category in origin.categories} == {"jfk", "lga"}
    assert {case.row["origin"] for case in model.golden()} <= set(origin.categories)
    rows = [case.row for case in model.golden()]
    variants = [row | {"origin": f" {row['origin'].upper()}\n"} for row in rows]
    assert offline.predict(model, variants) == offline.predict(model, rows)


def test_a_class_beside_model_yaml_can_be_the_estimator(home: Path, tmp_path: Path) -> None:
    (tmp_path / "own_estimator.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n\n\nclass Own(LogisticRegression):\n    pass\n"
    )
    table(2).write_parquet(tmp_path / "t.parquet")
    (tmp_path / "model.yaml").write_text(
        "name: m\ndata: {path: t.parquet, target: y}\nestimator: {name: own_estimator.Own}\n"
    )
    artifact = store.load(train(read_dataset(tmp_path / "model.yaml")).tag)
    assert [candidate.name for candidate in artifact.evaluation.candidates] == ["own_estimator.Own"]
    assert str(tmp_path) not in sys.path


OWN_NETWORK = """\
from pytorch_lightning import LightningModule
from torch import cat, nn


class Net(LightningModule):
    def __init__(self, inputs, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs.numbers + inputs.gaps, width), nn.ReLU(), nn.Linear(width, inputs.outputs)
        )

    def forward(self, numbers, gaps, codes):
        return self.layers(cat([numbers, gaps], dim=1))
"""


def test_a_lightning_module_beside_model_yaml_can_be_the_model(home: Path, tmp_path: Path) -> None:
    """Its code is recorded; it is not needed to serve the model, and the handoff package says what is left out."""
    (tmp_path / "own_network.py").write_text(OWN_NETWORK)
    estimator = "{name: own_network.Net, parameters: {width: 16}, epochs: 5}"
    artifact = trained(tmp_path, table(2), "", estimator=estimator)
    sys.modules.pop("own_network")
    assert list(artifact.manifest.origin.modules) == ["own_network.py"]
    assert [candidate.name for candidate in artifact.evaluation.candidates] == ["own_network.Net"]
    assert artifact.evaluation.metrics_of(MODEL)["roc_auc"].value > 0.7
    assert "own_network.py" in (artifact.path / REPORT).read_text(encoding="utf-8")
    formats = {format_.name: format_.withheld for format_ in Formats(artifact, tmp_path / "package", None).write()}
    assert formats["ONNX"] is None
    assert "own_network.Net" in str(formats["safetensors and torch program"])


def series(days: int) -> pl.DataFrame:
    """Return the daily sales of three stores; those of a day depend on the day before."""
    random = np.random.default_rng(3)
    start = np.datetime64("2023-01-01")
    frames = []
    for name in "abc":
        sales = np.zeros(days)
        for day in range(1, days):
            sales[day] = 0.9 * sales[day - 1] + random.normal()
        dates = pl.Series(start + np.arange(days))
        frames.append(pl.DataFrame({"day": dates, "store": name, "y": sales, "noise": random.normal(size=days)}))
    return pl.concat(frames).sample(fraction=1, shuffle=True, seed=0)


def test_lags_are_fields_that_callers_send_and_a_history_determines(home: Path, tmp_path: Path) -> None:
    frame = series(300)
    features = "features: {change: {expression: 'lag(y, 1, by=store) - rolling_mean(y, 3, by=store)'}}"
    frame.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "model.yaml").write_text(
        f"name: m\ndata: {{path: t.parquet, target: y, time: day}}\nestimator: {{name: linear}}\n{features}\n"
    )
    artifact = store.load(train(read_dataset(tmp_path / "model.yaml")).tag)
    fields = {feature.name: feature for feature in artifact.contract.features}
    assert set(fields) == {"store", "noise", "y_lag_1", "y_lag_2", "y_lag_3"}
    assert fields["y_lag_2"].description == "The value of 'y' in the row 2 rows before, with the same 'store'."
    assert artifact.evaluation.metrics_of(MODEL)["r2"].value > 0.6
    assert not [finding for finding in artifact.evaluation.findings if (finding.column or "").startswith("y_lag")]

    history = frame.drop("noise").with_columns(pl.lit(0.0).alias("noise"))
    sent = history.with_columns(
        pl.col("y").shift(rows).over("store", order_by="day").alias(f"y_lag_{rows}") for rows in (1, 2, 3)
    )
    model = Model(artifact)
    assert model.predict(history).equals(model.predict(sent))
    sent.write_parquet(tmp_path / "sent.parquet")
    history.write_csv(tmp_path / "history.csv")
    answers = []
    for name in ("sent.parquet", "history.csv"):
        summary = model.predict_file(tmp_path / name, tmp_path / f"{name}.out.parquet")
        assert summary.answered == frame.height
        answers.append(pl.read_parquet(tmp_path / f"{name}.out.parquet")["value"].to_list())
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


OWN_TRANSFORMER = """\
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Product(TransformerMixin, BaseEstimator):
    def fit(self, frame, target=None):
        return self

    def transform(self, frame):
        return frame.to_numpy().prod(axis=1, keepdims=True)
"""


def test_a_model_with_a_python_transformer_is_evaluated_but_not_served(home: Path, tmp_path: Path) -> None:
    (tmp_path / "own_transformer.py").write_text(OWN_TRANSFORMER)
    random = np.random.default_rng(5)
    x, z = random.normal(size=(2, ROWS))
    frame = pl.DataFrame({"x": x, "z": z, "y": x * z + random.normal(size=ROWS) / 10})
    plain = trained(tmp_path, frame, "")
    artifact = trained(tmp_path, frame, "transformers: [{name: own_transformer.Product, columns: [x, z]}]")
    assert artifact.evaluation.metrics_of(MODEL)["r2"].value > plain.evaluation.metrics_of(MODEL)["r2"].value + 0.5
    assert artifact.manifest.transformers == {"own_transformer.Product": ("product0",)}
    assert list(artifact.manifest.origin.modules) == ["own_transformer.py"]
    reason = r"own_transformer.Product computes 'product0'\. Write an `expression`"
    for attempt in (
        lambda: Model(artifact).predict(frame),
        lambda: Model(artifact).predict_file(tmp_path / "t.parquet", tmp_path / "out.parquet"),
        lambda: select_model(tmp_path / "service" / "service.py", artifact.tag),
    ):
        with pytest.raises(ArtifactError, match=reason):
            attempt()
    assert plain.reason_not_to_serve is None
