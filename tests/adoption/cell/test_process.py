import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.adoption.cell.process import CellProcess, Limits, start_cell
from model_deployer.adoption.source.definitions import find_definitions

#: The environment of the tests has the libraries of these sources.
HERE = CellEnvironment(Path(sys.executable), {})

X = np.random.default_rng(0).normal(size=(50, 2))
Y = np.where(X[:, 0] > 0, "yes", "no")
COLUMNS = {"a": X[:, 0], "b": X[:, 1]}


@pytest.fixture
def cell() -> Iterator[CellProcess]:
    with start_cell(HERE) as process:
        yield process


def dumped(value: Any, folder: Path, name: str = "model.pkl") -> Path:
    (folder / name).write_bytes(pickle.dumps(value))
    return folder / name


def step(kind: str, path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": kind, "path": str(path), **options}


def test_classifier(cell: CellProcess, tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    description = cell.load([step("joblib", tmp_path / "model.joblib")])
    assert description["classes"] == ["no", "yes"]
    assert description["class"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert (description["features"], description["has_probabilities"]) == (2, True)
    assert description["versions"]["scikit-learn"].startswith("1.")
    answers, refused = cell.predict(COLUMNS)
    np.testing.assert_array_equal(answers["probabilities"], model.predict_proba(X))
    assert answers["decision"].tolist() == model.predict(X).tolist()
    assert refused == {}
    answers, _ = cell.predict(COLUMNS, outputs=["probabilities"])
    assert list(answers) == ["probabilities"]


def test_the_copy_of_joblib_within_old_versions(cell: CellProcess, tmp_path: Path) -> None:
    """scikit-learn before 0.23 had joblib as a part of its own; the test environment has no such version."""
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib", protocol=2)
    content = (tmp_path / "model.joblib").read_bytes()
    (tmp_path / "old.joblib").write_bytes(content.replace(b"cjoblib.", b"csklearn.externals.joblib."))
    assert b"sklearn.externals.joblib" in (tmp_path / "old.joblib").read_bytes()
    cell.load([step("joblib", tmp_path / "old.joblib")])
    answers, _ = cell.predict(COLUMNS)
    np.testing.assert_array_equal(answers["probabilities"], model.predict_proba(X))


def test_classes_of_python_2(cell: CellProcess, tmp_path: Path) -> None:
    """Python 3 reads the texts of Python 2 in an array as bytes."""
    model = LogisticRegression().fit(X, Y)
    model.classes_ = model.classes_.astype("S3")
    description = cell.load([step("pickle", dumped(model, tmp_path))])
    assert description["classes"] == ["no", "yes"]
    answers, _ = cell.predict(COLUMNS)
    assert answers["decision"].tolist() == model.predict(X).astype(str).tolist()


def test_texts_of_python_2_between_arrays(cell: CellProcess, tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, Y)
    model.classes_ = np.array(["aa", "yes"], object)
    joblib.dump(model, tmp_path / "model.joblib", protocol=2)
    content = (tmp_path / "model.joblib").read_bytes()
    (tmp_path / "model.joblib").write_bytes(content.replace(b"\x8c\2aa", b"U\2n\xf6"))
    assert cell.load([step("joblib", tmp_path / "model.joblib")])["classes"] == ["n\xf6", "yes"]


def test_rows_that_are_refused_are_named(cell: CellProcess, tmp_path: Path) -> None:
    """Each row that the source refuses has its error, without values of it; the others are answered."""
    model = LogisticRegression().fit(X, Y)
    cell.load([step("pickle", dumped(model, tmp_path))])
    a = X[:, 0].copy()
    a[[3, 41]] = np.nan, np.inf
    answers, refused = cell.predict(COLUMNS | {"a": a})
    assert refused.keys() == {3, 41}
    assert refused[3].startswith("ValueError: Input X contains NaN")
    kept = np.setdiff1d(np.arange(50), [3, 41])
    np.testing.assert_allclose(answers["probabilities"][kept], model.predict_proba(X)[kept])
    assert np.isnan(answers["probabilities"][[3, 41]]).all()
    assert answers["decision"][3] is None


def test_names_and_texts(cell: CellProcess, tmp_path: Path) -> None:
    """A model that was fitted on a data frame gets one."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"color": ["red", "blue", None, "red"], "size": [1.0, 2.0, 3.0, 4.0]})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(frame, [0, 1, 0, 1])
    description = cell.load([step("pickle", dumped(model, tmp_path))])
    assert description["names"] == ["color", "size"]
    columns = {"color": np.array(["red", "blue", None, "green"], object), "size": np.array([1.0, 2, 3, 4])}
    answers, _ = cell.predict(columns)
    frame["color"] = pandas.Series(["red", "blue", None, "green"])
    np.testing.assert_array_equal(answers["probabilities"], model.predict_proba(frame))
    assert answers["decision"].dtype == np.int64


def test_other_answers(cell: CellProcess, tmp_path: Path) -> None:
    value, scores = LinearRegression().fit(X, X[:, 0] * 2), LinearSVC().fit(X, Y)
    cell.load([step("pickle", dumped(value, tmp_path))])
    np.testing.assert_array_equal(cell.predict(COLUMNS)[0]["value"], value.predict(X))
    cell.load([step("pickle", dumped(scores, tmp_path))])
    answers, _ = cell.predict(COLUMNS)
    np.testing.assert_array_equal(answers["scores"], scores.decision_function(X))
    assert answers["decision"].tolist() == scores.predict(X).tolist()


def test_a_set_of_files(cell: CellProcess, tmp_path: Path) -> None:
    """A scaler and a model within a dict follow each other."""
    scaler = StandardScaler().fit(X)
    model = LogisticRegression().fit(scaler.transform(X), Y)
    steps = [
        step("pickle", dumped(scaler, tmp_path, "scaler.pkl")),
        step("pickle", dumped({"model": [model], "columns": ["a", "b"]}, tmp_path), key="model.0"),
    ]
    cell.load(steps)
    expected = model.predict_proba(scaler.transform(X))
    np.testing.assert_array_equal(cell.predict(COLUMNS)[0]["probabilities"], expected)


def test_boosters(cell: CellProcess, tmp_path: Path) -> None:
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y == "yes"), 3)
    booster.save_model(tmp_path / "model.txt")
    cell.load([step("lightgbm", tmp_path / "model.txt")])
    answers, _ = cell.predict(COLUMNS)
    np.testing.assert_array_equal(answers["probabilities"][:, 1], booster.predict(X))
    xgboost = pytest.importorskip("xgboost")
    classifier = xgboost.XGBClassifier(n_estimators=3).fit(X, Y == "yes")
    trained = xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(X, np.arange(50) % 3), 2)
    for model, expected in ((classifier, classifier.predict_proba(X)), (trained, trained.predict(xgboost.DMatrix(X)))):
        for name in ("model.json", "model.ubj"):
            model.save_model(tmp_path / name)
            cell.load([step("xgboost", tmp_path / name)])
            np.testing.assert_array_equal(cell.predict(COLUMNS)[0]["probabilities"], expected)


def test_networks(cell: CellProcess, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    rows = torch.tensor(X, dtype=torch.float32)
    expected = network(rows).detach().numpy()
    torch.jit.trace(network, rows).save(str(tmp_path / "script.pt"))  # type: ignore[no-untyped-call]
    torch.save(network, tmp_path / "module.pt")
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(network, (rows,), dynamic_shapes=({0: batch},)), tmp_path / "network.pt2")
    for kind, name in (("torchscript", "script.pt"), ("torch", "module.pt"), ("torch_export", "network.pt2")):
        cell.load([step(kind, tmp_path / name)])
        np.testing.assert_allclose(cell.predict(COLUMNS)[0]["value"], expected, rtol=1e-6)


def test_code_of_a_team(cell: CellProcess, tmp_path: Path) -> None:
    """A function of a data frame, and a class with ``setup`` and ``predict``."""
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    (tmp_path / "service.py").write_text("import helper\ndef predict(df):\n    return df['a'] * helper.FACTOR\n")
    cell.load([step("python", tmp_path / "service.py")])
    np.testing.assert_array_equal(cell.predict(COLUMNS)[0]["value"], X[:, 0] * 2)
    (tmp_path / "predict.py").write_text(
        "from cog import BasePredictor, Input\n"
        "class Predictor(BasePredictor):\n"
        "    def setup(self):\n        self.limit = 0\n"
        "    def predict(self, a: float = Input(description='x'), b: float = Input()) -> str:\n"
        "        return 'high' if a > self.limit else 'low'\n"
    )
    description = cell.load([step("cog", tmp_path / "predict.py")])
    assert description["names"] == ["a", "b"]
    expected = ["high" if value > 0 else "low" for value in X[:, 0]]
    assert cell.predict(COLUMNS)[0]["decision"].tolist() == expected


SCRIPT = """
import pickle, sys
from sklearn.base import BaseEstimator
LIMIT = 0.5
class Threshold(BaseEstimator):
    def fit(self, X, y=None):
        return self
    def predict(self, X):
        return (X[:, 0] > LIMIT).astype(float)
if "--fit" in sys.argv:
    pickle.dump(Threshold().fit(None), open("model.pkl", "wb"))
else:
    raise SystemExit("the script ran again")
"""


def test_a_class_of_main(cell: CellProcess, tmp_path: Path) -> None:
    """A class of ``__main__`` is taken from the script, which does not run; without the script, it is named."""
    (tmp_path / "train.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "train.py", "--fit"], cwd=tmp_path, check=True)
    with pytest.raises(CellError, match="'Threshold' of the module '__main__'"):
        cell.load([step("pickle", tmp_path / "model.pkl")])
    definitions = find_definitions(tmp_path, [("__main__", "Threshold"), ("__main__", "Other")])
    assert [(item.path.name, item.lines) for item in definitions] == [("train.py", {"Threshold": 5})]
    cell.load([step("pickle", tmp_path / "model.pkl")], [item.script for item in definitions])
    np.testing.assert_array_equal(cell.predict(COLUMNS)[0]["value"], (X[:, 0] > 0.5).astype(float))


def test_a_module_that_is_missing(cell: CellProcess, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"cnot_installed.models\nModel\n.")
    with pytest.raises(CellError, match="the module 'not_installed'"):
        cell.load([step("pickle", tmp_path / "model.pkl")])
    (tmp_path / "training.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": ["%time\\n", "class Model:\\n", "    classes_ = [0]"]}]}'
    )
    definitions = find_definitions(tmp_path, [("not_installed.models", "Model")])
    assert definitions[0].lines == {"Model": 3}
    cell.load([step("pickle", tmp_path / "model.pkl")], [item.script for item in definitions])
    assert cell.description["classes"] == [0]


def team_code(folder: Path, body: str) -> dict[str, Any]:
    (folder / "service.py").write_text(f"import os, socket, time\ndef predict(df):\n    {body}\n    return df['a']\n")
    return step("python", folder / "service.py")


def test_a_module_that_another_version_has(cell: CellProcess, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"csklearn.linear_model.logistic\nLogisticRegression\n.")
    message = "'sklearn.linear_model.logistic', which sklearn .* does not have: list the version"
    with pytest.raises(CellError, match=message):
        cell.load([step("pickle", tmp_path / "model.pkl")])


def test_no_network_and_no_files(cell: CellProcess, tmp_path: Path) -> None:
    """A source cannot open a connection, not even to this machine, and cannot write files."""
    if cell.isolation.missing:
        pytest.skip(cell.isolation.missing)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        cell.load([team_code(tmp_path, f"socket.create_connection({address!r}, 5)")])
        _, refused = cell.predict({"a": X[:1, 0]})
        assert refused[0].startswith("OSError")
    target = tmp_path / "written"
    cell.load([team_code(tmp_path, f"open({str(target)!r}, 'w').write('x')")])
    _, refused = cell.predict({"a": X[:1, 0]})
    assert "Read-only file system" in refused[0]
    assert not target.exists()
    cell.load([team_code(tmp_path, "open(os.environ['TMPDIR'] + '/x', 'w').write('x')")])
    assert cell.predict({"a": X[:1, 0]})[1] == {}


def test_no_secrets(cell: CellProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    with start_cell(HERE) as process:
        process.load([team_code(tmp_path, "assert 'API_TOKEN' not in os.environ")])
        assert process.predict(COLUMNS)[1] == {}


def test_memory_is_limited(tmp_path: Path) -> None:
    with start_cell(HERE, Limits(memory_bytes=1 << 30)) as process:
        process.load([team_code(tmp_path, "bytearray(2 << 30)")])
        _, refused = process.predict({"a": X[:1, 0]})
        assert refused == {0: "MemoryError"}


def test_time_is_limited(tmp_path: Path) -> None:
    with start_cell(HERE, Limits(answer_seconds=1.0)) as process:
        with pytest.raises(CellError, match="took more than 1 seconds to predict"):
            process.load([team_code(tmp_path, "time.sleep(60)")])
            process.predict({"a": X[:1, 0]})
        with pytest.raises(CellError, match="SIGKILL"):
            process.predict({"a": X[:1, 0]})


def test_a_process_that_dies(cell: CellProcess, tmp_path: Path) -> None:
    """The message has the last line of what the source printed."""
    cell.load([team_code(tmp_path, "print('the last words', flush=True); os._exit(3)")])
    with pytest.raises(CellError, match="exit code 3 when it had to predict: the last words"):
        cell.predict({"a": X[:1, 0]})


def test_killed_with_its_parent(tmp_path: Path) -> None:
    """A process that computes ends, too, when its parent is killed."""
    code = team_code(tmp_path, f"open({str(tmp_path / 'pid')!r}, 'a'); exec('while True: pass')")
    program = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from model_deployer.adoption.cell.environment import CellEnvironment\n"
        "from model_deployer.adoption.cell.process import start_cell\n"
        "with start_cell(CellEnvironment(Path(sys.executable), {})) as cell:\n"
        f"    cell.load([{code!r}])\n"
        "    print(cell._process.pid, flush=True)\n"
        "    cell.predict({'a': np.ones(1)})\n"
    )
    (tmp_path / "service.py").write_text("def predict(df):\n    while True: pass\n")
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
