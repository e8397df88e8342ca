"""Read one file: its format, the objects in it, and what it says of itself."""

import json
import re
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from model_deployer.adoption.source.booster_file import booster_statements
from model_deployer.adoption.source.file_format import FileFormat, file_format
from model_deployer.adoption.source.pickle_file import PickleReader, read_pickle
from model_deployer.adoption.source.pickle_scan import Import, scan_pickle
from model_deployer.adoption.source.pixel_statements import of_keras
from model_deployer.adoption.source.role import Role, role_of
from model_deployer.adoption.source.skops_file import read_skops, skops_version
from model_deployer.adoption.source.source import SourceFile
from model_deployer.adoption.source.statement import Statement
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.source.versions import versions_of_booster, versions_of_object
from model_deployer.adoption.source.walk import stored_objects
from model_deployer.adoption.stored_object import StoredObject

#: A larger file is not read into memory.
MAX_BYTES = 8 << 30

#: What reading a damaged, encrypted or incomplete archive raises.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, ArithmeticError, LookupError, RuntimeError, ValueError, EOFError)

#: A layer of Keras that holds a function as code.
_LAMBDA_LAYER = re.compile(rb'"class_name":\s*"Lambda"')
_LAMBDA = (Import("keras.layers", "Lambda"),)

#: The first version in a text; CatBoost states several lines about its build.
_VERSION = re.compile(r"\d+(?:\.\d+)+\S*")


@dataclass(frozen=True)
class OpenedFile:
    """A file that was read without running it.

    Attributes:
        path: The file.
        format: Its format.
        value: The object in it, for formats that hold one.
        role: What the object is for; a model for formats that only hold models.
        versions: The versions that it states.
        statements: What it says of its inputs.
        imports: What it would import.
    """

    path: Path
    format: FileFormat
    value: Any = None
    role: Role = field(default_factory=lambda: Role("model"))
    versions: dict[str, str] = field(default_factory=dict)
    statements: tuple[Statement, ...] = ()
    imports: tuple[Import, ...] = ()

    def parts(self) -> list[tuple[SourceFile, Role, Any]]:
        """Return the objects in the file with their places: several for a bundle."""
        kind = self.format.name
        if self.role.kind != "bundle":
            stored = self.value if isinstance(self.value, StoredObject) else None
            return [(SourceFile(self.path, kind, None, stored), self.role, self.value)]
        items = self.value.items() if isinstance(self.value, dict) else enumerate(self.value)
        parts = []
        for key, item in items:
            stored = item if isinstance(item, StoredObject) else None
            parts.append((SourceFile(self.path, kind, str(key), stored), role_of(item), item))
        return parts


def open_file(path: Path) -> OpenedFile:
    """Read a file.

    Raises:
        UnreadableSource: if it is damaged, or a pointer to a file that is not here.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableSource(f"'{path.name}' has more than {MAX_BYTES >> 30} GiB")
    content = path.read_bytes()
    try:
        opened = OpenedFile(path, file_format(path, content))
        opened = replace(opened, versions={name: text for name, text in opened.format.versions.items() if text})
    except _ARCHIVE_ERRORS as error:
        raise UnreadableSource(f"'{path.name}' is a damaged archive: hand over the original file") from error
    try:
        return _opened(opened, content)
    except UnreadableSource as error:
        raise UnreadableSource(f"'{path.name}': {error}") from error
    except _ARCHIVE_ERRORS as error:
        raise UnreadableSource(f"'{path.name}' is a damaged archive: hand over the original file") from error


def _opened(opened: OpenedFile, content: bytes) -> OpenedFile:
    match opened.format.name:
        case "pickle" | "joblib":
            return _pickle(opened, content)
        case "skops":
            value = read_skops(content)
            versions = versions_of_object(value) | {"skops": skops_version(content) or ""}
            versions = {name: text for name, text in versions.items() if text}
            return replace(opened, value=value, role=role_of(value), versions=versions, imports=_named(value))
        case "xgboost" | "catboost":
            statements = booster_statements(opened.path.name, content)
            return replace(opened, versions=opened.versions | versions_of_booster(content), statements=statements)
        case "lightgbm":
            return replace(opened, statements=booster_statements(opened.path.name, content))
        case "torch":
            return _torch(opened, content)
        case "onnx":
            return _onnx(opened, content)
        case "keras":
            return _keras(opened, content)
        case "keras_h5":
            return replace(opened, imports=_LAMBDA if _LAMBDA_LAYER.search(content) else ())
    if opened.format.name in ("text", "json", "other"):
        advice = opened.format.advice or f"'{opened.path.name}' is JSON and not a model: hand over the fitted model"
        return replace(opened, role=Role("other", advice))
    return opened


def _pickle(opened: OpenedFile, content: bytes) -> OpenedFile:
    def companion(name: str) -> bytes:
        path = opened.path.parent / Path(name).name
        if not path.is_file():
            raise UnreadableSource(f"the file '{path.name}' is missing: hand over the whole folder")
        return path.read_bytes()

    value = read_pickle(content, companion)
    imports = scan_pickle(content).imports
    return replace(
        opened, value=value, role=role_of(value), versions=versions_of_object(value, imports), imports=imports
    )


def _named(value: Any) -> tuple[Import, ...]:
    """Return the classes of a value that was not a pickle."""
    paths = dict.fromkeys((stored.module, stored.name) for stored in stored_objects(value))
    return tuple(Import(*path) for path in paths)


def _torch(opened: OpenedFile, content: bytes) -> OpenedFile:
    """Tell a whole network from its weights by the pickle in the archive."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise UnreadableSource("the archive is built to exhaust this machine")
            pickled = archive.read(name)
    else:
        pickled = _last_pickle(content)
    value, imports = read_pickle(pickled), scan_pickle(pickled).imports
    versions = {}
    if isinstance(value, dict):
        version = value.get("pytorch-lightning_version")
        versions = {"pytorch-lightning": str(version)} if version else {}
        kind = "lightning_checkpoint" if version else "torch_state_dict"
        return replace(opened, format=FileFormat(kind), value=value, versions=versions, imports=imports)
    return replace(opened, value=value, imports=imports)


def _last_pickle(content: bytes) -> bytes:
    """Return the pickle of the network in a file of torch before 1.6, which three other pickles precede."""
    stream = BytesIO(content)
    for _ in ("magic number", "version", "facts about the machine"):
        PickleReader(stream).read()
    return content[stream.tell() :]


def _onnx(opened: OpenedFile, content: bytes) -> OpenedFile:
    """Read the inputs and outputs, and refuse what ONNX Runtime cannot load alone."""
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise UnreadableSource("is not a model of ONNX, or it is damaged: hand over the original file") from None
    if not model.graph.node:
        raise UnreadableSource("holds no graph of ONNX: hand over the original file")
    missing = [name for name in _external_files(model) if not (opened.path.parent / name).is_file()]
    if missing:
        raise UnreadableSource(f"its weights are in '{missing[0]}', which is missing: hand over both files")
    known = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.training", "ai.onnx.preview.training"}
    if custom := sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in known}):
        raise UnreadableSource(f"needs the custom operator '{custom[0]}': export the model without it")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {item.name: _shape(item) for item in model.graph.input if item.name not in weights}
    outputs = {item.name: _shape(item) for item in model.graph.output}
    place = opened.path.name
    signature = Statement("signature", {"inputs": inputs, "outputs": outputs}, "bytes", place)
    version = _VERSION.search(model.producer_version)
    producer = f"{model.producer_name} {version[0] if version else ''}".strip()
    return replace(opened, statements=(signature,), versions={"producer": producer} if producer else {})


def _external_files(model: onnx.ModelProto) -> list[str]:
    return sorted(
        {
            Path(entry.value).name
            for tensor in model.graph.initializer
            if tensor.data_location == onnx.TensorProto.EXTERNAL
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )


def _shape(item: onnx.ValueInfoProto) -> list[Any]:
    """Return the element type, and each dimension as a number or a name."""
    tensor = item.type.tensor_type
    sizes = [part.dim_value or part.dim_param or None for part in tensor.shape.dim]
    return [onnx.TensorProto.DataType.Name(tensor.elem_type).lower(), sizes]


def _keras(opened: OpenedFile, content: bytes) -> OpenedFile:
    """Read the inputs from the configuration of the network."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        config = json.loads(archive.read("config.json"))
    layers = config.get("config", {}).get("layers", [])
    inputs = {
        layer["config"].get("name"): layer["config"].get("batch_shape") or layer["config"].get("batch_input_shape")
        for layer in layers
        if layer.get("class_name") == "InputLayer"
    }
    signature = Statement("signature", {"inputs": inputs}, "bytes", opened.path.name)
    imports = _LAMBDA if _LAMBDA_LAYER.search(json.dumps(config).encode()) else ()
    statements = (*((signature,) if inputs else ()), *of_keras(layers, opened.path.name))
    return replace(opened, statements=statements, imports=imports)
