"""The format of one file, by its content and not by its suffix."""

import json
import struct
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from model_deployer.adoption.source.unreadable_source import UnreadableSource

#: The formats of files that hold a model, or a part of one. ``text`` and ``json`` may say something about it.
MODEL_FORMATS = frozenset(
    {
        *("pickle", "joblib", "skops", "xgboost", "lightgbm", "catboost", "onnx", "keras", "keras_h5"),
        *("torch", "torch_state_dict", "torchscript", "torch_export", "lightning_checkpoint", "notebook", "python"),
    }
)

#: The formats that hold the weights of a network, whose class is in a script.
WEIGHTS = frozenset({"torch_state_dict", "lightning_checkpoint"})

#: The first number in files of torch.save before 1.6.
_TORCH_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")


#: No version of a library is longer.
_MAX_VERSION_BYTES = 20


@dataclass(frozen=True)
class FileFormat:
    """The format of a file.

    Attributes:
        name: One of ``MODEL_FORMATS``, ``text``, ``json`` or ``other``.
        advice: What the file is and what to hand over in its place; None for a model.
        versions: The versions of libraries that the format itself states.
    """

    name: str
    advice: str | None = None
    versions: dict[str, str] = field(default_factory=dict)


def file_format(path: Path, content: bytes) -> FileFormat:
    """Return the format of a file.

    Args:
        path: Its path, for the messages; and for scripts, which only their suffix tells from other texts.
        content: Its bytes.

    Raises:
        UnreadableSource: if it is empty, truncated, or a pointer to a file that is not here.
    """
    _refuse_pointers(path, content)
    for begins, name in _BEGINNINGS.items():
        if content.startswith(begins):
            return _other(path, _ADVICE[name]) if name in _ADVICE else FileFormat(name)
    for recognize in (_archive, _legacy_torch, _old_booster, _pickle, _json, _ubjson, _onnx, _flatbuffer, _text):
        if recognized := recognize(path, content):
            return recognized
    return _other(path, "is not a format that is known: hand over the file that the library's own 'save' wrote")


def _refuse_pointers(path: Path, content: bytes) -> None:
    if not content:
        raise UnreadableSource(f"'{path.name}' is empty: hand over the complete file")
    if content.startswith(b"version https://git-lfs.github.com/spec"):
        raise UnreadableSource(f"'{path.name}' is a pointer of Git LFS and not the file: run 'git lfs pull' first")
    if path.suffix == ".dvc" and b"md5:" in content:
        raise UnreadableSource(f"'{path.name}' is a pointer of DVC and not the file: run 'dvc pull' first")
    if len(content) < 1000 and (b"/annex/objects/" in content or b".git/annex/" in content):
        raise UnreadableSource(f"'{path.name}' is a link of git-annex and not the file: run 'git annex get' first")


_BEGINNINGS = {
    b"CBM1": "catboost",
    b"tree\nversion=": "lightgbm",
    b"tree\r\nversion=": "lightgbm",
    b"PAR1": "table",
    b"\x93NUMPY": "array",
    b"ARROW1": "table",
    b"GGUF": "language model",
    b"RDX": "R",
    b"<?xml": "xml",
    b"<PMML": "xml",
    b"SQLite format 3": "database",
    b"%PDF": "document",
}

_ADVICE = {
    "table": "is a table and not a model: pass it with --data",
    "array": "is an array of numbers and not a model: hand over the fitted model",
    "language model": "is a language model in GGUF, which this project does not serve",
    "R": "was written by R: save the model as ONNX, or as XGBoost or LightGBM in their own format",
    "xml": "is XML: a model in PMML is not read; hand over the model of the library that wrote it",
    "text": "is a text and not a model: hand over the fitted model",
    "database": "is a database and not a model: hand over the fitted model",
    "document": "is a document and not a model: hand over the fitted model",
}


def _other(path: Path, advice: str) -> FileFormat:
    return FileFormat("other", f"'{path.name}' {advice}")


def _archive(path: Path, content: bytes) -> FileFormat | None:
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(path, content)
    if not content.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return _zip(path, archive)
    except zipfile.BadZipFile:
        raise UnreadableSource(f"'{path.name}' is truncated: hand over the complete file") from None


def _zip(path: Path, archive: zipfile.ZipFile) -> FileFormat:
    names = archive.namelist()
    ends = {name.partition("/")[2] or name for name in names}
    if "schema.json" in names:
        return FileFormat("skops")
    if {"metadata.json", "config.json"} <= set(names):
        metadata = json.loads(archive.read("metadata.json"))
        return FileFormat("keras", versions={"keras": str(metadata.get("keras_version", ""))})
    if "models/model.json" in ends or "serialized_exported_program.json" in ends or "archive_format" in ends:
        return FileFormat("torch_export")
    if "constants.pkl" in ends and any(end.startswith("code/") for end in ends):
        return FileFormat("torchscript")
    if "data.pkl" in ends:
        return FileFormat("torch")
    if any(name.endswith(".npy") for name in names):
        return _other(path, _ADVICE["array"])
    if "[Content_Types].xml" in names:
        return _other(path, "is an Office document: a table is passed with --data")
    return _other(path, "is an archive: unpack it, and hand over the folder or the model in it")


def _hdf5(path: Path, content: bytes) -> FileFormat:
    if b"model_config" in content:
        return FileFormat("keras_h5", versions=_keras_version(content))
    if b"pandas_type" in content:
        return _other(path, _ADVICE["table"])
    return _other(path, "holds only the weights of a network: hand over the whole model, saved with 'model.save'")


def _keras_version(content: bytes) -> dict[str, str]:
    """Return the version that follows the name of the attribute in an HDF5 file, or that the attribute refers to."""
    place = content.find(b"keras_version")
    if place < 0:
        return {}
    attribute = content[place + 13 : place + 80]
    digits = bytes(byte for byte in attribute if chr(byte) in "0123456789.").decode()
    version = digits if digits.count(".") >= 1 else _text_on_heap(content, attribute)
    return {"keras": version.removesuffix("-tf")} if version else {}


def _text_on_heap(content: bytes, attribute: bytes) -> str | None:
    """Return the text that an attribute refers to: by a length, and the address and index of an object on a heap."""
    for start in range(len(attribute) - 16):
        length, address, index = struct.unpack_from("<IQI", attribute, start)
        if not 0 < length <= _MAX_VERSION_BYTES or content[address : address + 4] != b"GCOL":
            continue
        place = address + 16  # after the signature, the version and the size of the heap
        while place + 16 <= len(content):
            number, _, size = struct.unpack_from("<HH4xQ", content, place)
            if number == index:
                return content[place + 16 : place + 16 + length].decode("ascii", "replace")
            place += 16 + -(-size // 8) * 8
            if number == 0:
                break
    return None


def _legacy_torch(path: Path, content: bytes) -> FileFormat | None:
    return FileFormat("torch") if content.startswith(_TORCH_MAGIC) else None


def _pickle(path: Path, content: bytes) -> FileFormat | None:
    """Recognize pickles of protocols 2 and later by their first byte, older ones by what they begin with."""
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        is_joblib = b"NumpyArrayWrapper" in content[: 1 << 20] or b"NDArrayWrapper" in content[: 1 << 20]
        return FileFormat("joblib" if is_joblib else "pickle")
    if content.startswith((b"ZF0x", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00", b"\x04\x22\x4d\x18")):
        return FileFormat("joblib")
    if content[:1] == b"\x78" and content[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        return FileFormat("joblib")
    is_old = content.startswith((b"c", b"(", b"]", b"}")) and content.rstrip(b"\n").endswith(b".")
    return FileFormat("pickle") if is_old and (b"\n" in content[:200] or b"q\x00" in content[:200]) else None


def _json(path: Path, content: bytes) -> FileFormat | None:
    if content.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return _json_object(path, value) if isinstance(value, dict) else FileFormat("json")


def _json_object(path: Path, value: dict[str, Any]) -> FileFormat:
    if "learner" in value:
        return FileFormat("xgboost", versions={"xgboost": ".".join(map(str, value.get("version", [])))})
    if "oblivious_trees" in value or "model_info" in value:
        return FileFormat("catboost")
    if "cells" in value and "nbformat" in value:
        return FileFormat("notebook")
    if {"growth", "changepoints"} & value.keys():
        return _other(path, "is a model of Prophet, whose answers depend on time: it is not served")
    if {"class_name", "config"} <= value.keys() and "Model" in str(value["class_name"]) + str(value.get("module")):
        return _other(path, "holds only the layers of a network of Keras: hand over the whole model, '.keras'")
    if {"run_id", "model_uri", "current_stage"} & value.keys():
        return _other(path, "is a record of a registry and not the model: download the model from the registry")
    if {"tree_info", "tree_structure"} & value.keys():
        return _other(path, "is a dump of LightGBM to read: hand over the file that 'save_model' wrote")
    return FileFormat("json")


def _ubjson(path: Path, content: bytes) -> FileFormat | None:
    is_booster = content[:2] in (b"{L", b"{i", b"{U") and b"learner" in content[:200]
    return FileFormat("xgboost") if is_booster else None


_OBJECTIVES = (b"reg:", b"binary:", b"multi:", b"rank:", b"count:", b"survival:")
_BOOSTERS = (b"gbtree", b"gblinear", b"dart")


def _old_booster(path: Path, content: bytes) -> FileFormat | None:
    """Recognize the binary formats of XGBoost, which its versions since 3.1 do not read."""
    head = content[:1024]
    is_booster = any(name in head for name in _OBJECTIVES) and any(name in head for name in _BOOSTERS)
    is_binary = b"\x00" in head[:8] and head[:1] not in (b"{", b"\x80")
    if content.startswith((b"binf", b"bs64")) or (is_booster and is_binary):
        return FileFormat("xgboost", versions={"xgboost": "<3.1"})
    return None


def _onnx(path: Path, content: bytes) -> FileFormat | None:
    """Recognize the protocol buffer of ONNX by its first field, the version of the format."""
    if content[:1] != b"\x08" or not 1 <= content[1] <= 32:
        return None
    if content[1] == 1 and b"__saved_model" in content:
        return _other(path, "is the graph of a SavedModel: hand over its folder, with 'saved_model.pb' and 'variables'")
    return FileFormat("onnx")


def _flatbuffer(path: Path, content: bytes) -> FileFormat | None:
    if content[4:8] == b"TFL3":
        return _other(path, "is a model of TensorFlow Lite: hand over the SavedModel or '.keras' that it was made from")
    if len(content) > 8 and content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        return _other(path, "is safetensors, which holds only weights: hand over the folder with its config and class")
    return None


def _text(path: Path, content: bytes) -> FileFormat | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if path.suffix == ".py":
        return FileFormat("python")
    is_table = path.suffix in (".csv", ".tsv")
    return FileFormat("text", f"'{path.name}' {_ADVICE['table' if is_table else 'text']}")
