"""Sources of several formats: the graph answers as the source does in its process."""

import pickle
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnxruntime
import pandas
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.opened_source import open_source
from model_deployer.adoption.read_source import SourceHints, read_source

NAMES = ["age", "bmi", "glucose"]
X = np.random.default_rng(0).normal(size=(80, 3))
Y = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
SCALER = StandardScaler().fit(X)


def answers(path: Path, steps: tuple[str, ...] = ()) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Return the probabilities of the source and of its graph, and the names of its fields."""
    hints = SourceHints(environment="current", steps=steps)
    with open_source(read_source(path, hints), hints, digest_of(path), "adopt.source") as source:
        assert source.graph is not None
        names = [field.name for field in source.interface.fields]
        columns = {name: X[:, index] for index, name in enumerate(names)}
        own, refused = source.cell.process.predict(columns, form=source.runner.form)
        assert refused == {}
    session = onnxruntime.InferenceSession(source.graph.SerializeToString())
    read = {item.name for item in session.get_inputs()}
    feeds = {name: column[:, None] for name, column in columns.items() if name in read}
    return own["probabilities"], session.run(["probabilities"], feeds)[0], names


def test_a_folder_with_a_scaler_a_model_and_a_list_of_columns(tmp_path: Path) -> None:
    forest = RandomForestClassifier(5, random_state=0).fit(SCALER.transform(X), Y)
    for name, value in (("scaler", SCALER), ("model", forest), ("model_columns", NAMES)):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(value))
    (tmp_path / "app.py").write_text("raise SystemExit('the app ran')\nTHRESHOLD = 0.4\n")
    own, graph, names = answers(tmp_path)
    assert names == NAMES
    np.testing.assert_allclose(graph, own, atol=1e-6)
    np.testing.assert_allclose(own, forest.predict_proba(SCALER.transform(X)))
    lines = [line for _, line in read_source(tmp_path, SourceHints()).lines()]
    assert "model_columns.pkl says: columns age, bmi, glucose" in lines
    assert "app.py line 2 says: threshold 0.4" in lines


def test_a_bundle(tmp_path: Path) -> None:
    model = LogisticRegression().fit(SCALER.transform(X), Y)
    joblib.dump({"scaler": SCALER, "clf": model, "columns": NAMES}, tmp_path / "bundle.joblib", compress=3)
    own, graph, names = answers(tmp_path / "bundle.joblib")
    assert names == NAMES
    np.testing.assert_allclose(graph, own, atol=1e-6)


def test_steps_that_the_user_names(tmp_path: Path) -> None:
    model = LogisticRegression().fit(pandas.DataFrame(X, columns=NAMES), Y)
    for name in ("first", "second"):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(model))
    own, graph, names = answers(tmp_path, ("second.pkl",))
    assert names == NAMES
    np.testing.assert_allclose(graph, own, atol=1e-6)


def test_boosters(tmp_path: Path) -> None:
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y == "yes"), 5)
    booster.save_model(tmp_path / "model.bin")
    own, graph, names = answers(tmp_path / "model.bin")
    assert len(names) == 3
    np.testing.assert_allclose(graph, own, atol=1e-6)
    xgboost = pytest.importorskip("xgboost")
    xgboost.XGBClassifier(n_estimators=5).fit(X, Y == "yes").save_model(tmp_path / "model.json")
    own, graph, _ = answers(tmp_path / "model.json")
    np.testing.assert_allclose(graph, own, atol=1e-6)
