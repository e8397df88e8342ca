import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnx
import pandas
import pytest
import torch
from onnx import helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, MinMaxScaler, OneHotEncoder, StandardScaler

from model_deployer.adoption.source.detect import detect
from model_deployer.adoption.source.opened_file import open_file
from model_deployer.adoption.source.source import Source
from model_deployer.adoption.source.statement import Subject
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.source.width import width_in, width_out

NAMES = ["age", "bmi", "glucose", "pressure"]
X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.where(X[:, 0] > 0, "yes", "no")
MODEL = make_pipeline(StandardScaler(), LogisticRegression()).fit(pandas.DataFrame(X, columns=NAMES), Y)

APP = """
import pickle, os
os.mkdir("made")
model = pickle.load(open("model.pkl", "rb"))
FEATURES = ["age", "bmi", "glucose", "pressure"]
labels = {0: "Healthy", 1: "Sick"}
class Row(BaseModel):
    age: float
    bmi: float
def predict():
    values = [float(request.form["age"]), float(request.form.get("bmi"))]
    probability = model.predict_proba([values])[0][1]
    return "high" if probability > 0.62 else "low"
"""


def values(source: Source, subject: Subject) -> list[tuple[Any, str, str]]:
    return [(item.value, item.origin, item.place) for item in source.about(subject)]


def write(folder: Path, **objects: Any) -> None:
    for name, value in objects.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value))


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder as teams hand it over: a scaler, a model, a list of columns, labels, and an app."""
    scaler, encoder = StandardScaler().fit(X), LabelEncoder().fit(Y)
    forest = RandomForestClassifier(3).fit(scaler.transform(X), encoder.transform(Y))
    write(tmp_path, scaler=scaler, model=forest, model_columns=NAMES, label_encoder=encoder)
    write(tmp_path, old_scaler=MinMaxScaler().fit(X[:, :3]))
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "index.html").write_text('<input name="age"><SELECT name="bmi"></SELECT><input type=submit name="go">')
    (tmp_path / "requirements.txt").write_text("flask==2.0\n\nscikit-learn==1.2.2\n")
    (tmp_path / "data.csv").write_text("age,bmi,outcome\n1,2,0\n")
    return tmp_path


def test_a_folder_is_a_set(app: Path) -> None:
    source = detect(app)
    assert [file.path.name for file in source.files] == ["scaler.pkl", "model.pkl"]
    assert source.model.stored is not None
    assert source.model.stored.kind == "sklearn.RandomForestClassifier"
    assert source.versions["scikit-learn"].startswith("1.")
    assert "3 columns" in source.left_out["old_scaler.pkl"]
    assert source.libraries == ["numpy", "sklearn"]
    assert not (app / "made").exists()


def test_each_statement_has_its_source(app: Path) -> None:
    source = detect(app)
    columns = values(source, "columns")
    assert columns[0] == (NAMES, "bytes", "model_columns.pkl")
    assert (NAMES, "app", "app.py line 5") in columns
    assert (["age", "bmi"], "app", "app.py line 7") in columns
    assert (["age", "bmi"], "app", "app.py") in columns
    assert (["age", "bmi"], "app", "index.html") in columns
    assert (["age", "bmi", "outcome"], "app", "data.csv line 1") in columns
    labels = values(source, "labels")
    assert (["no", "yes"], "bytes", "label_encoder.pkl") in labels
    assert ({0: "Healthy", 1: "Sick"}, "app", "app.py line 6") in labels
    assert values(source, "threshold") == [(0.62, "app", "app.py line 13")]
    assert ("scikit-learn==1.2.2", "app", "requirements.txt line 3") in values(source, "requirement")


def test_widths_choose_between_vectorizers(tmp_path: Path) -> None:
    texts = ["good film", "bad film", "nice", "awful thing"]
    vectorizer, other = TfidfVectorizer().fit(texts), TfidfVectorizer(ngram_range=(1, 2)).fit(texts)
    model = LogisticRegression().fit(vectorizer.transform(texts), [1, 0, 1, 0])
    write(tmp_path, vectorizer=vectorizer, other=other, model=model)
    source = detect(tmp_path)
    assert [file.path.name for file in source.files] == ["vectorizer.pkl", "model.pkl"]
    assert source.left_out.keys() == {"other.pkl"}


def test_a_bundle(tmp_path: Path) -> None:
    scaler = StandardScaler().fit(X)
    model = LogisticRegression().fit(scaler.transform(X), Y)
    joblib.dump({"model": model, "scaler": scaler, "columns": NAMES, "threshold": 0.3}, tmp_path / "all.joblib")
    source = detect(tmp_path / "all.joblib")
    assert [file.key for file in source.files] == ["scaler", "model"]
    assert values(source, "columns") == [(NAMES, "bytes", "all.joblib#columns")]
    assert values(source, "threshold") == [(0.3, "bytes", "all.joblib#threshold")]


def test_several_models_are_named(tmp_path: Path) -> None:
    write(tmp_path, first=MODEL, second=LogisticRegression().fit(X, Y))
    with pytest.raises(UnreadableSource, match=r"'first.pkl', 'second.pkl'"):
        detect(tmp_path)
    assert detect(tmp_path, ["second.pkl"]).model.path.name == "second.pkl"
    with pytest.raises(UnreadableSource, match="'third"):
        detect(tmp_path, ["third.pkl"])


@pytest.mark.parametrize(
    ("stored", "takes", "gives"),
    [
        (StandardScaler().fit(X), 4, 4),
        (OneHotEncoder().fit([["a", 1], ["b", 2], ["c", 1]]), 2, 5),
        (TfidfVectorizer().fit(["a text", "the other one"]), 1, 4),
        (MODEL, 4, 4),
    ],
    ids=["scaler", "one-hot", "vectorizer", "pipeline"],
)
def test_widths(stored: Any, takes: int, gives: int, tmp_path: Path) -> None:
    write(tmp_path, model=stored)
    read = detect(tmp_path / "model.pkl").model.stored
    assert read is not None
    assert (width_in(read), width_out(read)) == (takes, gives)


def onnx_bytes(operator: str, domain: str = "") -> bytes:
    sizes: list[Any] = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", sizes[:1], sizes[1:])
    return bytes(helper.make_model(graph).SerializeToString())


def torch_files(folder: Path) -> dict[str, bytes]:
    network, rows = torch.nn.Linear(4, 1).eval(), torch.ones(2, 4)
    torch.jit.trace(network, rows).save(str(folder / "s"))  # type: ignore[no-untyped-call]
    torch.export.save(torch.export.export(network, (rows,)), folder / "e.pt2")
    checkpoint = {"state_dict": network.state_dict(), "pytorch-lightning_version": "2.5.0"}
    files = {"torchscript": (folder / "s").read_bytes(), "torch_export": (folder / "e.pt2").read_bytes()}
    kinds = {"torch": network, "torch_state_dict": network.state_dict(), "lightning_checkpoint": checkpoint}
    for kind, value in kinds.items():
        stream = io.BytesIO()
        torch.save(value, stream)
        files[kind] = stream.getvalue()
    return files


def archive(**members: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "."), text)
    return stream.getvalue()


def test_formats_are_recognized_by_content(tmp_path: Path) -> None:
    """The suffix says nothing."""
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, X[:, 0], feature_name=NAMES), 2)
    layers = {"config": {"layers": [{"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, 4]}}]}}
    metadata = json.dumps({"keras_version": "3.1.0"})
    files = {
        "lightgbm": booster.model_to_string().encode(),
        "catboost": b"CBM1" + bytes(40),
        "onnx": onnx_bytes("Relu"),
        "keras": archive(metadata__json=metadata, config__json=json.dumps(layers), model__weights__h5=""),
        "notebook": json.dumps({"nbformat": 4, "cells": []}).encode(),
        "keras_h5": b"\x89HDF\r\n\x1a\n" + bytes(20) + b"model_config keras_version\0\0\0" + b"2.3.1\0",
        **torch_files(tmp_path),
    }
    for kind, content in files.items():
        (tmp_path / "model.bin").write_bytes(content)
        assert open_file(tmp_path / "model.bin").format.name == kind
    (tmp_path / "model.bin").write_bytes(files["keras"])
    assert detect(tmp_path / "model.bin").versions == {"keras": "3.1.0"}
    (tmp_path / "model.bin").write_bytes(files["lightgbm"])
    assert values(detect(tmp_path / "model.bin"), "columns") == [(NAMES, "bytes", "model.bin")]
    (tmp_path / "model.bin").write_bytes(files["onnx"])
    (signature,) = detect(tmp_path / "model.bin").about("signature")
    assert signature.value == {"inputs": {"x": ["float", ["n", 4]]}, "outputs": {"y": ["float", ["n", 4]]}}


def test_xgboost(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.train({}, xgboost.DMatrix(X, X[:, 0], feature_names=NAMES), 2)
    for form in ("json", "ubj"):
        (tmp_path / "model.pkl").write_bytes(bytes(booster.save_raw(form)))
        source = detect(tmp_path / "model.pkl")
        assert (source.kind, source.versions) == ("xgboost", {"xgboost": xgboost.__version__})
    for booster in (b"gbtree", b"dart"):
        old = b"\0\0\0\x3f\4\0\0\0" + bytes(100) + b"binary:logistic" + bytes(9) + booster + bytes(500)
        (tmp_path / "model.pkl").write_bytes(old)
        assert detect(tmp_path / "model.pkl").versions == {"xgboost": "<3.1"}


def test_an_estimator_of_an_old_lightgbm(tmp_path: Path) -> None:
    """Versions since 3.3 take it for one that is not fitted."""
    model = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(X, X[:, 0])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    assert "lightgbm" not in detect(tmp_path / "model.pkl").versions
    del model.fitted_
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    assert detect(tmp_path / "model.pkl").versions["lightgbm"] == "<3.3"


ADVICE = {
    "an array of numbers": X,
    "is a reference to the class 'LogisticRegression'": LogisticRegression,
    "is a reference to the function 'log1p'": np.log1p,
    "is a 'LogisticRegression' that was not fitted: store it after 'fit'": LogisticRegression(),
    "is a 'Pipeline' that was not fitted": make_pipeline(StandardScaler(), LogisticRegression()),
    "is a table and not a model": pandas.DataFrame(X),
    "holds a list of names": NAMES,
    "holds a value of the type int": 3,
    "is a dict with 'a'": {"a": 1.5},
    "encodes labels": LabelEncoder().fit(Y),
}


@pytest.mark.parametrize("message", ADVICE)
def test_pickles_that_are_not_models(message: str, tmp_path: Path) -> None:
    write(tmp_path, model=ADVICE[message])
    with pytest.raises(UnreadableSource, match=f"'model.pkl' .*{message}"):
        detect(tmp_path / "model.pkl")


FILES = {
    "is empty": b"",
    "run 'git lfs pull'": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "run 'git annex get'": b"/annex/objects/SHA256E-s9--0.pkl\n",
    "truncated": pickle.dumps(MODEL)[:500],
    "truncated:": archive(a="x" * 1000)[:300],
    "an array of numbers": b"\x93NUMPY\x01\x00",
    "is a table": b"PAR1",
    "record of a registry": b'{"run_id": "a", "current_stage": "Production"}',
    "Prophet": b'{"growth": "linear", "changepoints": []}',
    "TensorFlow Lite": b"\x1c\0\0\0TFL3" + bytes(20),
    "safetensors": (12).to_bytes(8, "little") + b'{"w":{}}    ' + bytes(8),
    "only the weights": b"\x89HDF\r\n\x1a\n" + bytes(50),
    "custom operator 'my.domain.MyOp'": onnx_bytes("MyOp", "my.domain"),
    "PMML": b"<?xml version='1.0'?><PMML/>",
    "is a text": b"channels:\n- defaults\ndependencies:\n- python=3.8\n",
    "not a format": b"\xff\xfe\x00\x01",
}


@pytest.mark.parametrize("message", FILES)
def test_files_that_are_not_models(message: str, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(FILES[message])
    with pytest.raises(UnreadableSource, match=message) as raised:
        detect(tmp_path / "model.pkl")
    assert "model.pkl" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_external_data_of_onnx(tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(onnx_bytes("Relu"))
    weight = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    onnx.external_data_helper.set_external_data(weight, "weights.bin")
    model.graph.initializer.append(weight)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnreadableSource, match="its weights are in"):
        detect(tmp_path / "model.onnx")
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    assert detect(tmp_path / "model.onnx").kind == "onnx"


MLMODEL = """
flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl, python_version: 3.9.7}
  sklearn: {pickled_model: model.pkl, sklearn_version: 1.3.2}
signature:
  inputs: '[{"name": "age", "type": "double"}, {"name": "bmi", "type": "double"}]'
"""


def test_mlflow(tmp_path: Path) -> None:
    """The file of the native flavour is read, and not that of Python functions."""
    write(tmp_path, model=MODEL)
    (tmp_path / "MLmodel").write_text(MLMODEL)
    source = detect(tmp_path)
    assert (source.kind, source.model.path.name) == ("pickle", "model.pkl")
    assert source.versions["python"] == "3.9.7"
    assert (["age", "bmi"], "bytes", "MLmodel") in values(source, "columns")
    (tmp_path / "model.pkl").unlink()
    with pytest.raises(UnreadableSource, match=r"'model.pkl', which is missing"):
        detect(tmp_path)
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function: {loader_module: mlflow.pyfunc.model}\n")
    assert detect(tmp_path).kind == "mlflow"


def test_other_folders(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("saved", "cog", "bento", "face")}
    for folder in folders.values():
        folder.mkdir()
    (folders["saved"] / "saved_model.pb").write_bytes(b"\x08\x01")
    assert detect(folders["saved"]).kind == "saved_model"
    (folders["cog"] / "cog.yaml").write_text(
        'build:\n  python_version: "3.10"\n  python_packages: ["scikit-learn==1.2.2"]\npredict: predict.py:Predictor\n'
    )
    with pytest.raises(UnreadableSource, match=r"'predict.py', which is missing"):
        detect(folders["cog"])
    (folders["cog"] / "predict.py").write_text("class Predictor: ...\n")
    source = detect(folders["cog"])
    assert (source.kind, source.model.key) == ("cog", "Predictor")
    assert source.versions == {"scikit-learn": "1.2.2", "python": "3.10"}
    write(folders["bento"], saved_model=MODEL)
    (folders["bento"] / "model.yaml").write_text(
        "module: bentoml.sklearn\ncontext:\n  framework_versions: {scikit-learn: 1.3.2}\n"
    )
    assert detect(folders["bento"]).model.path.name == "saved_model.pkl"
    (folders["face"] / "config.json").write_text('{"architectures": ["BertModel"]}')
    (folders["face"] / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UnreadableSource, match="BertModel"):
        detect(folders["face"])


def test_a_script(tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text("def predict(df):\n    return df.sum(axis=1)\n")
    assert detect(tmp_path / "serve.py").kind == "python"
    (tmp_path / "serve.py").write_text("print(1)\n")
    with pytest.raises(UnreadableSource, match="no function 'predict'"):
        detect(tmp_path / "serve.py")
    with pytest.raises(UnreadableSource, match="does not exist"):
        detect(tmp_path / "other.py")


def test_transformers_in_an_order_that_is_not_known(tmp_path: Path) -> None:
    """Two scalers of the same width may be applied in either order: their bytes do not tell."""
    scaled = MinMaxScaler().fit_transform(X)
    model = LogisticRegression().fit(StandardScaler().fit_transform(scaled), Y)
    write(tmp_path, first=MinMaxScaler().fit(X), model=model, second=StandardScaler().fit(scaled))
    with pytest.raises(UnreadableSource, match=r"'first.pkl' and 'second.pkl' fit before 'model.pkl'.*--step"):
        detect(tmp_path)
    chosen = detect(tmp_path, ["first.pkl", "second.pkl", "model.pkl"])
    assert [file.path.name for file in chosen.files] == ["first.pkl", "second.pkl", "model.pkl"]
    assert chosen.versions["scikit-learn"].startswith("1.")
    assert ("sklearn.preprocessing._data.MinMaxScaler") in {item.path for item in chosen.imports}


def test_widths_show_the_only_order(tmp_path: Path) -> None:
    selector = SelectKBest(k=2).fit(X, Y)
    scaler = StandardScaler().fit(selector.transform(X))
    write(tmp_path, a_scaler=scaler, model=LogisticRegression().fit(X[:, :2], Y), selector=selector)
    assert [file.path.name for file in detect(tmp_path).files] == ["selector.pkl", "a_scaler.pkl", "model.pkl"]


def test_a_scaler_before_a_booster(tmp_path: Path) -> None:
    rows = lightgbm.Dataset(X, (Y == "yes").astype(float))
    lightgbm.train({"verbose": -1}, rows, 2).save_model(tmp_path / "model.txt")
    write(tmp_path, scaler=StandardScaler().fit(X))
    assert [file.path.name for file in detect(tmp_path).files] == ["scaler.pkl", "model.txt"]


def test_copies_of_a_file_count_once(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    write(tmp_path, model=MODEL)
    write(tmp_path / "models", model=MODEL)
    assert detect(tmp_path).model.path == tmp_path / "model.pkl"


def test_one_model_of_a_bundle(tmp_path: Path) -> None:
    write(tmp_path, both={"small": MODEL, "large": MODEL})
    with pytest.raises(UnreadableSource, match=r"'both.pkl#small', 'both.pkl#large'.*--step"):
        detect(tmp_path / "both.pkl")
    assert detect(tmp_path / "both.pkl", ["both.pkl#large"]).model.key == "large"


def test_columns_in_an_index_of_pandas(tmp_path: Path) -> None:
    forest = RandomForestClassifier(2).fit(X, Y)
    index, objects = pandas.Index(NAMES), pandas.Index(NAMES, dtype=object)
    write(tmp_path, columns=index, model=forest, old_columns=objects)
    assert [value for value, _, _ in values(detect(tmp_path), "columns")] == [NAMES, NAMES]


def test_what_is_left_out_may_be_a_model(tmp_path: Path) -> None:
    """Programs and documents are not named, and of the files that are, damaged ones come first."""
    write(tmp_path, model=MODEL)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    (tmp_path / "README.md").write_text("A model")
    (tmp_path / "__init__.py").touch()
    (tmp_path / "table.csv").write_text("age,bmi\n1,2\n")
    (tmp_path / "old.pkl.dvc").write_text("outs:\n- md5: 0b\n  path: old.pkl\n")
    left_out = detect(tmp_path).left_out
    assert list(left_out) == ["old.pkl.dvc", "table.csv", "weights.pt"]
    assert "'dvc pull'" in left_out["old.pkl.dvc"]


def test_weights_of_an_old_torch_are_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert open_file(path).format.name == "torch_state_dict"


def test_a_model_that_is_a_folder_in_a_folder(tmp_path: Path) -> None:
    inner = tmp_path / "models" / "churn"
    inner.mkdir(parents=True)
    (inner / "saved_model.pb").write_bytes(b"\x08\x01\x12\x04__saved_model_init_op")
    write(tmp_path, scaler=StandardScaler().fit(X))
    source = detect(tmp_path)
    assert (source.kind, source.model.path) == ("saved_model", inner)
    assert source.left_out.keys() == {"scaler.pkl"}
    with pytest.raises(UnreadableSource, match="the graph of a SavedModel: hand over its folder"):
        detect(inner / "saved_model.pb")
    write(tmp_path, model=MODEL)
    with pytest.raises(UnreadableSource, match=r"'models/churn', 'model.pkl'"):
        detect(tmp_path)


def test_texts_of_windows(tmp_path: Path) -> None:
    """PowerShell writes UTF-16, and spreadsheets a mark before UTF-8."""
    write(tmp_path, model=MODEL)
    (tmp_path / "requirements.txt").write_text("scikit-learn==1.2.2\n", encoding="utf-16")
    (tmp_path / "data.csv").write_text("age,bmi\n1,2\n", encoding="utf-8-sig")
    source = detect(tmp_path)
    assert [value for value, _, _ in values(source, "requirement")] == ["scikit-learn==1.2.2"]
    assert (["age", "bmi"], "app", "data.csv line 1") in values(source, "columns")


def test_the_version_of_keras_on_the_heap_of_hdf5(tmp_path: Path) -> None:
    """A text of variable length is elsewhere in the file; the attribute has its length, address and index."""
    attribute = b"keras_version\x00\x00\x00" + bytes(24) + struct.pack("<IQI", 6, 256, 2)
    head = (b"\x89HDF\r\n\x1a\n" + attribute + b'{"class_name": "Lambda"}model_config').ljust(256, b"\x00")
    heap = b"GCOL\x01\x00\x00\x00" + struct.pack("<Q", 4096)
    heap += struct.pack("<HH4xQ", 1, 1, 10) + b"tensorflow".ljust(16, b"\x00")
    heap += struct.pack("<HH4xQ", 2, 1, 6) + b"2.15.0\x00\x00"
    (tmp_path / "model.h5").write_bytes(head + heap)
    opened = open_file(tmp_path / "model.h5")
    assert opened.versions == {"keras": "2.15.0"}
    assert [item.verdict for item in opened.imports] == ["code"]
