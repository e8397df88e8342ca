"""The packages that a source needs, with the versions that it states and those that fit to them."""

import re
from collections.abc import Iterable, Mapping

#: The package of a library that is imported by another name.
_PACKAGES = {
    "sklearn": "scikit-learn",
    "_loss": "scikit-learn",
    "imblearn": "imbalanced-learn",
    "yaml": "pyyaml",
    "feature_engine": "feature-engine",
    "sklearn_pandas": "sklearn-pandas",
    "mlflow": "mlflow-skinny",
    "dateutil": "python-dateutil",
    "pytorch_lightning": "pytorch-lightning",
}

#: What the worker needs to load a file of a kind.
_KINDS = {
    "pickle": ("joblib",),
    "joblib": ("joblib",),
    "skops": ("skops",),
    "xgboost": ("xgboost", "scikit-learn"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "onnx": ("onnxruntime",),
    **dict.fromkeys(("torch", "torchscript", "torch_export", "torch_state_dict"), ("torch", "onnx", "onnxscript")),
    "lightning_checkpoint": ("torch", "pytorch-lightning", "onnx", "onnxscript"),
    **dict.fromkeys(("keras", "keras_h5", "saved_model"), ("tensorflow-cpu", "tf2onnx")),
    "mlflow": ("mlflow-skinny",),
    "notebook": ("scikit-learn",),
}

#: A package older than this version does not work with newer ones of another, and does not say so itself.
_COMPANIONS = (
    ("scikit-learn", "0.20", "numpy<1.17"),
    ("scikit-learn", "0.20", "scipy<1.3"),
    ("scikit-learn", "0.24", "numpy<1.24"),
    ("scikit-learn", "1.4.2", "numpy<2"),
    ("scikit-learn", "1.7", "pandas<3"),
    ("xgboost", "1.6", "pandas<2"),
    ("xgboost", "1.6", "setuptools<81"),
    ("xgboost", "2.1", "numpy<2"),
    ("xgboost", "2.1.4", "scikit-learn<1.6"),
    ("xgboost", "3.1.0", "scikit-learn<1.8"),
    ("xgboost", "3.2", "pandas<3"),
    ("xgboost", "1.0", "numpy<1.24"),
    ("lightgbm", "3.3.0", "numpy<1.24"),
    ("lightgbm", "3.3.0", "pandas<2"),
    ("lightgbm", "4.4", "numpy<2"),
    ("lightgbm", "4.6", "scikit-learn<1.6"),
    ("catboost", "1.2.6", "numpy<2"),
    ("catboost", "1.2.8", "scikit-learn<1.6"),
    ("torch", "2.3", "numpy<2"),
    ("tensorflow", "2.18", "numpy<2"),
    ("tensorflow-cpu", "2.18", "numpy<2"),
    ("tensorflow", "2.19", "onnx<1.18"),
    ("tensorflow-cpu", "2.19", "onnx<1.18"),
    *(("keras", "2.2", companion) for companion in ("h5py<3", "numpy<1.20", "packaging", "protobuf<3.21")),
    ("keras", "3", "numpy<2"),
    ("keras", "3", "onnx<1.18"),
    ("pandas", "2.2.2", "numpy<2"),
)

#: The first Keras whose networks have ``export``. Files of older ones are read by the last ones of Keras 2.
_FIRST_KERAS = (2, 13)

#: The last Keras that reads all layers of Keras 1, and the TensorFlow of its time whose packages need not be built.
_KERAS_OF_KERAS_1, _TENSORFLOW_OF_KERAS_1 = "2.1.6", "<1.15"

#: Libraries of pandas and of the standard library do not need packages of their own; these are part of others.
_PARTS = {"numpy", "_codecs", "copy_reg", "__builtin__", "persistent_id"}


def requirements(kinds: Iterable[str], libraries: Iterable[str], versions: Mapping[str, str]) -> list[str]:
    """Return the requirements of the environment of a source, sorted.

    Args:
        kinds: The kinds of its files, such as ``joblib``.
        libraries: The libraries that its files import, by the name of the import, without those of the team.
        versions: The versions that its files state, by package: ``1.3.2``, or a range such as ``>=2``.
    """
    versions = {name: _served_by(name, version) for name, version in versions.items()}
    names = {name for kind in kinds for name in _KINDS.get(kind, ())} | {"numpy", "pandas"}
    names |= {_PACKAGES.get(library, library) for library in libraries if library not in _PARTS} | set(versions)
    if "scikit-learn" in names:
        names.add("scipy")  # old versions do not ask for it
    if "xgboost" in names:
        names.remove("xgboost")
        names.add(_xgboost_package(versions.get("xgboost", "")))
    if versions.get("keras") == _KERAS_OF_KERAS_1 and "tensorflow-cpu" in names:
        names = names - {"tensorflow-cpu"} | {"tensorflow"}
        versions["tensorflow"] = _TENSORFLOW_OF_KERAS_1
    if "tensorflow-cpu" in names:
        names = names - {"tensorflow"}  # the same without code for GPUs
    lines = {_line(name, versions.get(name, versions.get(_unsuffixed(name), ""))) for name in names}
    lines |= {
        companion
        for package, version, companion in _COMPANIONS
        if package in versions and as_numbers(versions[package]) < as_numbers(version)
        if not versions.get(re.split("[<>=]", companion)[0], "")[:1].isdigit()
    }
    return sorted(lines)


def as_numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, for comparisons."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _line(name: str, version: str) -> str:
    return name + (f"=={version}" if version[:1].isdigit() else version)


def _served_by(name: str, version: str) -> str:
    """Return the version to install: one that reads the files of an older Keras or TensorFlow, and exports them."""
    if name == "tensorflow" and version.startswith("1."):
        return ">=2.13,<2.16"
    if name != "keras" or not version[:1].isdigit() or as_numbers(version) >= _FIRST_KERAS:
        return version
    return _KERAS_OF_KERAS_1 if as_numbers(version) < (2,) else ">=2.13,<3"


def _xgboost_package(version: str) -> str:
    """Return the package without code for GPUs, which is a tenth of the other one and exists since 2.1.1."""
    return "xgboost" if version and as_numbers(version) < (2, 1, 1) else "xgboost-cpu"


def _unsuffixed(name: str) -> str:
    return name.removesuffix("-cpu")
