"""Load a source by its kind. Only here, the code of a source runs."""

import ast
import inspect
import json
import pickle
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from . import models, notebook, torch_network

#: The kinds of files of torch.
TORCH = ("torch", "torchscript", "torch_export", "torch_state_dict", "lightning_checkpoint")

#: A pickle of dill names its functions at the beginning.
_HEAD_BYTES = 4096


def load(steps: "list[dict[str, Any]]") -> Any:
    """Load a source and return its model.

    Args:
        steps: The files in the order in which they are applied: ``kind`` and ``path``, and ``key``, the place of the
            object within a dict or list, or the name of a function.

    Raises:
        Exception: whatever the libraries of the source raise.
    """
    objects = [_LOADERS[step["kind"]](Path(step["path"]), step) for step in steps]
    last = objects[-1]
    if not hasattr(last, "describe"):
        name = getattr(last, "__name__", "function")
        last = models.Function(name, last) if inspect.isroutine(last) else models.estimator_of(last)
    return models.Steps(objects[:-1], last) if len(objects) > 1 else last


def define(definitions: "list[dict[str, Any]]") -> "dict[str, Exception]":
    """Make classes and functions of a team's scripts those of ``__main__``, as when the script stored the model.

    Also those of other modules that cannot be imported here.

    Args:
        definitions: For each script the ``module`` that the model names, the ``path`` of the script, and the ``code``
            of its imports, classes, functions and constants.

    Returns:
        By name, the errors of classes and functions that cannot be defined; a model may not need them.
    """
    modules, failures = {"__main__": types.ModuleType("__main__")}, {}
    for definition in definitions:
        name = definition["module"]
        if name not in modules and not _is_importable(name):
            modules.update(_with_parents(name))
        if name in modules:
            failures.update(_execute(definition["code"], definition["path"], modules[name].__dict__))
    sys.modules.update(modules)
    return failures


def _execute(code: str, path: str, names: "dict[str, Any]") -> "dict[str, Exception]":
    """Execute the statements of a script, and return the errors of those that fail, by the names that they set.

    A module that is not there is missed only by the classes that use it.
    """
    failures: dict[str, Exception] = {}
    for node in ast.parse(code).body:
        try:
            exec(compile(ast.Module([node], type_ignores=[]), path, "exec"), names)
        except Exception as error:  # the code of a team may raise anything
            failures[getattr(node, "name", "")] = error
    failures.pop("", None)
    return failures


def _with_parents(name: str) -> "dict[str, Any]":
    """Return an empty module, and the packages that it is in."""
    parts = name.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return {name: types.ModuleType(name) for name in names if name not in sys.modules}


def _is_importable(module: str) -> bool:
    try:
        return bool(import_module(module))
    except ImportError:
        return False


def _pickle(path: Path, step: "dict[str, Any]") -> Any:
    read = _reader(path)
    try:
        value = read(str(path))
    except (UnicodeDecodeError, ValueError):
        value = _read_python_2(path)
    return _part(value, step.get("key"))


def _reader(path: Path) -> "Callable[[str], Any]":
    """Return the function that reads a pickle: that of dill for functions by value, else joblib's."""
    with path.open("rb") as file:
        is_dill = b"dill._dill" in file.read(_HEAD_BYTES)
    if is_dill:
        return lambda name: import_module("dill").loads(Path(name).read_bytes())
    try:
        joblib = import_module("joblib")
    except ImportError:
        return _read_pickle
    # scikit-learn before 0.23 has a copy of joblib, whose arrays joblib does not know by that name.
    sys.modules["sklearn.externals.joblib.numpy_pickle"] = joblib.numpy_pickle
    return joblib.load  # type: ignore[no-any-return]


def _read_pickle(path: str) -> Any:
    return pickle.loads(Path(path).read_bytes())


def _read_python_2(path: Path) -> Any:
    """Read a pickle of Python 2, whose texts are bytes; joblib reads them only if all pickles of this process may."""
    vars(pickle)["_Unpickler"].__init__.__kwdefaults__["encoding"] = "latin1"
    vars(pickle)["load"] = partial(pickle.load, encoding="latin1")
    try:
        return import_module("joblib").load(str(path))
    except ImportError:
        return pickle.loads(path.read_bytes(), encoding="latin1")


def _part(value: Any, key: Any) -> Any:
    """Follow a path such as ``model`` or ``0.model`` through dicts, lists and attributes."""
    for name in str(key).split(".") if key else ():
        if isinstance(value, dict):
            value = value[name]
        elif isinstance(value, (list, tuple)):
            value = value[int(name)]
        else:
            value = getattr(value, name)
    return value


def _skops(path: Path, step: "dict[str, Any]") -> Any:
    skops = import_module("skops.io")
    return _part(skops.load(path, trusted=skops.get_untrusted_types(file=path)), step.get("key"))


def _xgboost(path: Path, step: "dict[str, Any]") -> Any:
    xgboost = import_module("xgboost")
    booster = xgboost.Booster(model_file=str(path))
    settings = json.loads(booster.attr("scikit_learn") or "{}")
    kind = {"classifier": "XGBClassifier", "regressor": "XGBRegressor"}.get(settings.get("_estimator_type"))
    if kind is not None:
        estimator = getattr(xgboost, kind)()
        estimator.load_model(str(path))
        return models.Estimator(estimator)
    return models.Booster(booster, json.loads(booster.save_config())["learner"]["objective"]["name"])


def _lightgbm(path: Path, step: "dict[str, Any]") -> Any:
    booster = import_module("lightgbm").Booster(model_file=str(path))
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("objective=")]
    return models.Booster(booster, lines[0].partition("=")[2] if lines else "custom")


def _catboost(path: Path, step: "dict[str, Any]") -> Any:
    catboost = import_module("catboost")
    form = "json" if path.read_bytes()[:1] == b"{" else "cbm"
    model = catboost.CatBoost()
    model.load_model(str(path), format=form)
    metadata = dict(model.get_metadata().items())  # get_all_params fails for models of versions before 0.13
    loss = json.loads(metadata.get("params", "{}")).get("loss_function", {}).get("type", "")
    is_classifier = len(np.asarray(model.classes_)) > 0 or loss in ("Logloss", "MultiClass", "CrossEntropy")
    estimator = catboost.CatBoostClassifier() if is_classifier else catboost.CatBoostRegressor()
    estimator.load_model(str(path), format=form)
    return models.estimator_of(estimator)


def _onnx(path: Path, step: "dict[str, Any]") -> Any:
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kinds = {"double": "float64", "float": "float32", "string": "text"}
    inputs = {item.name: item.type[len("tensor(") : -1] for item in session.get_inputs()}
    outputs = [item.name for item in session.get_outputs()]
    is_single = any(item.shape[:1] == [1] for item in session.get_inputs())

    def call(feeds: "dict[str, Any]") -> "dict[str, Any]":
        if not is_single:
            return dict(zip(outputs, session.run(outputs, feeds)))
        rows = range(len(next(iter(feeds.values()))))
        parts = [session.run(outputs, {name: array[row : row + 1] for name, array in feeds.items()}) for row in rows]
        return {name: _stacked([part[index] for part in parts]) for index, name in enumerate(outputs)}

    return models.Tensors(
        "onnx",
        call,
        {name: kinds.get(kind, kind) for name, kind in inputs.items()},
        {item.name: _sizes(item.shape[1:]) for item in session.get_inputs()},
    )


def _stacked(parts: "list[Any]") -> Any:
    """Return the outputs of single rows as that of all rows: arrays, or lists of maps."""
    return [row for part in parts for row in part] if isinstance(parts[0], list) else np.concatenate(parts)


def _sizes(shape: Any) -> "list[int]":
    """Return dimensions as numbers; 0 for one of any size. Those of TensorFlow 1 have their numbers as values."""
    sizes = [getattr(size, "value", size) for size in shape]
    return [size if isinstance(size, int) and size > 0 else 0 for size in sizes]


def _keras(path: Path, step: "dict[str, Any]") -> Any:
    keras = import_module("keras")
    model = keras.models.load_model(str(path), compile=False)
    # Names end with ``:0`` in TensorFlow 1. A type of elements is a text in Keras 3, and an object with a name before.
    names = [item.name.partition(":")[0] for item in model.inputs]
    kinds = [_tensor_kind(getattr(item.dtype, "name", item.dtype)) for item in model.inputs]
    shapes = [_sizes(item.shape[1:]) for item in model.inputs]

    def call(feeds: "dict[str, Any]") -> "dict[str, Any]":
        result = model.predict_on_batch(next(iter(feeds.values())) if len(feeds) == 1 else feeds)
        return {"output": np.asarray(result)} if not isinstance(result, dict) else result

    return models.Tensors("keras", call, dict(zip(names, kinds)), dict(zip(names, shapes)))


def _saved_model(path: Path, step: "dict[str, Any]") -> Any:
    tensorflow = import_module("tensorflow")
    with suppress(ImportError):
        import_module("keras")  # its optimizers, which files of Keras 2 may hold
    loaded = tensorflow.saved_model.load(str(path))
    function = loaded.signatures[step.get("key") or "serving_default"]
    specifications = function.structured_input_signature[1]

    def call(feeds: "dict[str, Any]") -> "dict[str, Any]":
        tensors = {name: tensorflow.constant(array) for name, array in feeds.items()}
        return {name: value.numpy() for name, value in function(**tensors).items()}

    inputs = {name: _tensor_kind(item.dtype.name) for name, item in specifications.items()}
    shapes = {name: _sizes(item.shape[1:]) for name, item in specifications.items()}
    model = models.Tensors("SavedModel", call, inputs, shapes)
    model.loaded = loaded  # type: ignore[attr-defined]  # its variables live as long as this object
    return model


def _tensor_kind(name: str) -> str:
    return "text" if name == "string" else str(name)


def _mlflow(path: Path, step: "dict[str, Any]") -> Any:
    loaded = import_module("mlflow.pyfunc").load_model(str(path))
    return models.Function("mlflow.pyfunc", loaded.predict)


def _cog(path: Path, step: "dict[str, Any]") -> Any:
    _provide_cog()
    name = step.get("key") or "Predictor"
    predictor = getattr(_module(path), name)()
    if hasattr(predictor, "setup"):
        predictor.setup()
    return models.Function(name, predictor.predict, takes_rows=True)


def _provide_cog() -> None:
    """Replace the package cog, which is a program for containers, if it is not installed."""
    try:
        import_module("cog")
    except ImportError:
        module: Any = types.ModuleType("cog")
        module.BasePredictor, module.BaseModel, module.Path = object, object, Path
        module.Input = lambda default=None, **_: default
        sys.modules["cog"] = module


def _python(path: Path, step: "dict[str, Any]") -> Any:
    name = step.get("key") or "predict"
    return models.Function(name, getattr(_module(path), name))


def _module(path: Path) -> Any:
    """Run a file of a team as a module; files next to it can be imported by it."""
    sys.path.insert(0, str(path.parent))
    specification = spec_from_file_location(path.stem, str(path))
    assert specification is not None
    assert specification.loader is not None
    module = module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


_LOADERS: "dict[str, Callable[[Path, dict[str, Any]], Any]]" = {
    "pickle": _pickle,
    "joblib": _pickle,
    "skops": _skops,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "onnx": _onnx,
    **dict.fromkeys(TORCH, torch_network.load),
    "keras": _keras,
    "keras_h5": _keras,
    "saved_model": _saved_model,
    "mlflow": _mlflow,
    "cog": _cog,
    "python": _python,
    "notebook": notebook.load,
}
