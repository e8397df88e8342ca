"""Convert a model to a file that can be read without its library."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from . import loading, torch_network


def convert(step: "dict[str, Any]", folder: Path) -> bytes:
    """Return a model in another format: CatBoost and XGBoost as JSON, torch, Keras and SavedModel as ONNX.

    Args:
        step: ``kind`` and ``path`` of the source, ``key`` within a pickle, and ``opset`` or ``width`` for ONNX. For
            CatBoost ``columns``, the names of the columns of a model without names, and ``categories``, the texts of
            each column that may be categories.
        folder: A folder for files in between.

    Raises:
        ValueError: if there is no conversion of this kind.
        RuntimeError: if the converter fails; the message is the last line of its output.
    """
    if step["kind"] in ("catboost", "xgboost", "pickle", "joblib"):
        return _booster_json(step, folder)
    if step["kind"] in loading.TORCH:
        return torch_network.export(Path(step["path"]), step, folder)
    if step["kind"] in ("keras", "keras_h5", "saved_model"):
        return _tensorflow_onnx(step, folder)
    raise ValueError(f"there is no conversion of {step['kind']}")


def _booster_json(step: "dict[str, Any]", folder: Path) -> bytes:
    loaded = loading.load([step])
    model = loaded.booster if hasattr(loaded, "booster") else loaded.estimator
    is_catboost = type(model).__module__.startswith("catboost")
    form = {"format": "json", "pool": _categories(loaded, step)} if is_catboost else {}
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    booster.save_model(str(folder / "model.json"), **form)
    return (folder / "model.json").read_bytes()


def _categories(loaded: Any, step: "dict[str, Any]") -> Any:
    """Return rows with all categories that are known: a model has their hashes, and its file gets texts of a pool."""
    names = loaded.names or step.get("columns") or []
    categories, indices = step.get("categories") or {}, loaded.estimator.get_cat_feature_indices()
    known = {index: categories.get(names[index]) for index in indices if index < len(names)}
    count = max([len(texts) for texts in known.values() if texts], default=0)
    if not count:
        return None
    columns: list[list[Any]] = [[0.0] * count for _ in loaded.estimator.feature_names_]
    for index in indices:
        texts = known.get(index) or [""]
        columns[index] = [texts[row % len(texts)] for row in range(count)]
    return import_module("catboost").Pool([list(row) for row in zip(*columns)], cat_features=indices)


def _tensorflow_onnx(step: "dict[str, Any]", folder: Path) -> bytes:
    """Convert by way of a SavedModel: the direct export of Keras 3 loses its Normalization layers."""
    saved = step["path"]
    if step["kind"] != "saved_model":
        saved = str(folder / "saved_model")
        _save_keras(step["path"], saved)
    target = folder / "model.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved, "--output", str(target)]
    completed = subprocess.run(
        [*command, "--opset", str(step.get("opset", 18))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if completed.returncode:
        lines = completed.stdout.decode(errors="replace").strip().splitlines() or ["no output"]
        raise RuntimeError(lines[-1])
    return target.read_bytes()


def _save_keras(path: str, folder: str) -> None:
    """Write a network of Keras as a SavedModel; before 2.13 it is in a session of TensorFlow 1."""
    models = import_module("keras").models
    if hasattr(models.Model, "export"):
        models.load_model(path, compile=False).export(folder)
        return
    tensorflow = import_module("tensorflow")
    with tensorflow.Graph().as_default(), tensorflow.Session() as session:  # where the names of its inputs are free
        model = models.load_model(path, compile=False)
        inputs, outputs = ({item.op.name: item for item in items} for items in (model.inputs, model.outputs))
        tensorflow.saved_model.simple_save(session, folder, inputs, outputs)
