"""Folders that are one model: MLflow, SavedModel, BentoML, Hugging Face and Cog."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from model_deployer.adoption.source.opened_file import OpenedFile, open_file
from model_deployer.adoption.source.source import Source, SourceFile
from model_deployer.adoption.source.statement import Statement
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.source_files import source_files

#: The file of each native flavour of MLflow, the key that names it, and the key of the version of its library.
_FLAVOURS = {
    "sklearn": ("pickled_model", "sklearn_version", "scikit-learn"),
    "xgboost": ("data", "xgb_version", "xgboost"),
    "lightgbm": ("data", "lgb_version", "lightgbm"),
    "catboost": ("data", "catboost_version", "catboost"),
    "onnx": ("data", "onnx_version", "onnx"),
    "pytorch": ("model_data", "pytorch_version", "torch"),
    "keras": ("data", "keras_version", "keras"),
    "tensorflow": ("saved_model_dir", "tf_version", "tensorflow"),
}


#: The version of TensorFlow in a SavedModel: field 5 of its MetaInfoDef.
_TENSORFLOW = re.compile(rb"\x2a([\x05-\x10])(?=\d+\.\d+\.\d)")

#: The files that make a folder a model.
_MARKS = ("MLmodel", "saved_model.pb")


def folder_source(folder: Path) -> Source | None:
    """Return the model that a folder is by its format; None if it is only a folder with files.

    Raises:
        UnreadableSource: if a file of the format is missing or damaged.
    """
    if (folder / "MLmodel").is_file():
        return _mlflow(folder)
    if (folder / "saved_model.pb").is_file():
        return Source("saved_model", (SourceFile(folder, "saved_model"),), versions=_saved_model_versions(folder))
    if (folder / "cog.yaml").is_file():
        return _cog(folder)
    if (folder / "model.yaml").is_file() and "module" in (description := _yaml(folder / "model.yaml")):
        return _bentoml(folder, description)
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return _hugging_face(folder)
    return None


def model_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders within a folder that are a SavedModel or a model of MLflow, the outer one of nested ones."""
    folders: list[Path] = []
    for path in source_files(folder):
        is_inner = any(path.is_relative_to(inner) for inner in folders)
        if path.name in _MARKS and path.parent != folder and not is_inner:
            folders.append(path.parent)
            yield path.parent


def source_of_file(opened: OpenedFile) -> Source:
    """Return the source that is one file; an object in a bundle is chosen by the caller."""
    parts = [part for part, role, _ in opened.parts() if role.kind in ("transformer", "model", "function")]
    return Source(
        opened.format.name,
        tuple(parts) or (SourceFile(opened.path, opened.format.name),),
        objects={opened.path.name: opened.value},
        versions=opened.versions,
        statements=opened.statements,
        imports=opened.imports,
    )


def _mlflow(folder: Path) -> Source:
    """Read MLmodel: the file of the native flavour, or the folder itself if there is only that of Python functions."""
    description = _yaml(folder / "MLmodel")
    flavours = description.get("flavors") or {}
    statements = _mlflow_signature(description)
    for name, (key, version_key, package) in _FLAVOURS.items():
        flavour = flavours.get(name) or {}
        path = folder / str(flavour.get(key, ""))
        if flavour.get(key) and path.exists():
            inner = _native(path)
            versions = {package: str(flavour[version_key])} if flavour.get(version_key) else {}
            return _merged(inner, versions | _python_version(flavours), statements)
        if flavour.get(key):
            raise UnreadableSource(f"MLmodel names the file '{flavour[key]}', which is missing: hand it over, too")
    if "python_function" not in flavours:
        raise UnreadableSource("MLmodel names no flavour that is known: hand over the model of its library")
    return Source("mlflow", (SourceFile(folder, "mlflow"),), versions=_python_version(flavours), statements=statements)


def _native(path: Path) -> Source:
    if path.is_file():
        return source_of_file(open_file(path))
    if source := folder_source(path):
        return source
    names = ("model.pth", "model.keras", "model.h5", "model.onnx")
    inner = next((path / name for name in names if (path / name).is_file()), None)
    if inner is None:
        raise UnreadableSource(f"the folder '{path.name}' of the model holds no file that is known")
    return source_of_file(open_file(inner))


def _merged(inner: Source, versions: dict[str, str], statements: tuple[Statement, ...]) -> Source:
    return Source(
        inner.kind,
        inner.files,
        inner.objects,
        dict(inner.versions) | versions,
        inner.statements + statements,
        inner.left_out,
        inner.imports,
    )


def _python_version(flavours: dict[str, Any]) -> dict[str, str]:
    version = (flavours.get("python_function") or {}).get("python_version")
    return {"python": str(version)} if version else {}


def _mlflow_signature(description: dict[str, Any]) -> tuple[Statement, ...]:
    signature = description.get("signature") or {}
    try:
        values = {name: json.loads(text) for name, text in signature.items() if isinstance(text, str)}
    except ValueError:
        return ()
    statements = [Statement("signature", values, "bytes", "MLmodel")] if values else []
    names = [item["name"] for item in values.get("inputs") or () if isinstance(item, dict) and "name" in item]
    return (*statements, Statement("columns", names, "bytes", "MLmodel")) if names else tuple(statements)


def _saved_model_versions(folder: Path) -> dict[str, str]:
    """Return the version of TensorFlow, which a SavedModel has as a text in its graph."""
    content = (folder / "saved_model.pb").read_bytes()
    if b"VarHandleOp" in content and not (folder / "variables" / "variables.index").is_file():
        raise UnreadableSource("the SavedModel lacks its folder 'variables': hand over the whole folder")
    match = _TENSORFLOW.search(content)
    return {"tensorflow": content[match.end(1) :][: match[1][0]].decode()} if match else {}


def _cog(folder: Path) -> Source:
    description = _yaml(folder / "cog.yaml")
    script, _, name = str(description.get("predict", "predict.py:Predictor")).partition(":")
    if not (folder / script).is_file():
        raise UnreadableSource(f"cog.yaml names the file '{script}', which is missing: hand it over, too")
    build = description.get("build") or {}
    pins = [str(line) for line in build.get("python_packages") or ()]
    statements = tuple(Statement("requirement", pin, "app", "cog.yaml") for pin in pins)
    versions = dict(pin.split("==", 1) for pin in pins if "==" in pin)
    if build.get("python_version"):
        versions["python"] = str(build["python_version"])
    return Source("cog", (SourceFile(folder / script, "cog", name or None),), versions=versions, statements=statements)


def _bentoml(folder: Path, description: dict[str, Any]) -> Source:
    """Read a model of BentoML's store: the file with the name that BentoML gives to it."""
    framework = description.get("context") or {}
    versions = {str(name): str(text) for name, text in (framework.get("framework_versions") or {}).items()}
    files = sorted(folder.glob("saved_model*"))
    if not files:
        raise UnreadableSource(f"the model of BentoML, {description['module']}, has no file 'saved_model'")
    return _merged(_native(files[0]), versions, ())


def _hugging_face(folder: Path) -> Source:
    config = json.loads((folder / "config.json").read_bytes())
    names = ", ".join(config.get("architectures") or ["an unknown class"])
    raise UnreadableSource(
        f"the folder holds the weights of {names}: hand over the network, exported with 'torch.export.save', or to ONNX"
    )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableSource(f"'{path.name}' is damaged: hand over the original file") from error
    return value if isinstance(value, dict) else {}
