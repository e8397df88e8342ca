"""A table in memory and the keys of a model.yaml, as the files that a training run reads."""

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.contract.errors import UsageError
from model_deployer.contract.yaml_source import read_yaml
from model_deployer.training.spec import AdoptSpec, Data

#: The first line of a model.yaml that may be overwritten.
_HEAD = "# Written by model_deployer.train, which writes it again.\n"

_TABLE, _SPEC, _SOURCE = "table.parquet", "model.yaml", "model.pkl"


def merged_values(spec: Path | Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a model.yaml with some of them replaced.

    Args:
        spec: The model.yaml, or its keys.
        keys: Other keys. One of the section ``data``, such as ``target``, may be outside of it.

    Raises:
        SpecError: if the file cannot be read.
    """
    values = _sections(read_yaml(spec).values if isinstance(spec, Path) else spec)
    if isinstance(spec, Path) and "path" in values["data"]:
        values["data"]["path"] = str(spec.parent / values["data"]["path"])
    more = _sections(keys)
    return {"name": "model", **values, **more, "data": {**values["data"], **more["data"]}}


def adoption_values(
    model: Any, keys: Mapping[str, Any], folder: str | Path | None, *, is_trusted: bool
) -> dict[str, Any]:
    """Return the keys of a model.yaml that adopts a model; an object is written into the folder first.

    Args:
        model: A fitted object, or the path of a file or folder.
        keys: Keys of the model.yaml; those of the sections ``data`` and ``adopt`` may be outside of them.
        folder: The folder of the model.yaml; None for one with the name of the model.
        is_trusted: Whether the files of a path may run.
    """
    inside = {name: value for name, value in keys.items() if name in AdoptSpec.model_fields}
    values = merged_values({}, {name: value for name, value in keys.items() if name not in inside})
    place = Path(folder or str(values["name"]))
    place.mkdir(parents=True, exist_ok=True)
    if isinstance(model, str | Path):
        source, options = Path(model), {}
    else:
        source, options = place / _SOURCE, {"environment": "current"}
        source.write_bytes(_pickled(model))
        is_trusted = True
    adopt = {"source": Path(os.path.relpath(source, place)).as_posix(), **options, **inside}
    if is_trusted:
        adopt["trust"] = digest_of(source)
    return values | {"adopt": {**values.get("adopt", {}), **adopt}}


def _pickled(model: Any) -> bytes:
    """Return a pickle of an object, with the code of classes that only this program has, if cloudpickle is there."""
    try:
        import cloudpickle  # noqa: PLC0415 (it is optional)
    except ImportError:
        return pickle.dumps(model)
    return bytes(cloudpickle.dumps(model))


def write_files(values: Mapping[str, Any], frame: pl.DataFrame | None, folder: Path | None) -> Path:
    """Write a model.yaml and its table, so that other commands can read them later.

    Args:
        values: The keys of the model.yaml.
        frame: The table; None for the one that ``data.path`` names.
        folder: The folder to write into; by default, one with the name of the model.

    Returns:
        The path of the model.yaml.

    Raises:
        UsageError: if the folder has a model.yaml that was written by hand.
    """
    path = (folder or Path(str(values["name"]))) / _SPEC
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_HEAD):
        raise UsageError(f"{path} was not written by `train` and is not overwritten; name another `folder`")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = dict(values["data"])
    if frame is not None:
        frame.write_parquet(path.with_name(_TABLE))
        data = {"path": _TABLE} | {key: value for key, value in data.items() if key not in ("path", "format")}
    elif "path" in data:
        data["path"] = Path(os.path.relpath(data["path"], path.parent)).as_posix()
    text = yaml.safe_dump(_plain({**values, "data": data}), sort_keys=False, allow_unicode=True)
    path.write_text(_HEAD + text, encoding="utf-8")
    return path


def _sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys, with those of the section ``data`` in it."""
    outside = {name: value for name, value in values.items() if name in Data.model_fields}
    others = {name: value for name, value in values.items() if name not in outside}
    return {**others, "data": {**others.get("data", {}), **outside}}


def _plain(value: Any) -> Any:
    """Return a value as YAML has it: tuples as lists, paths as text, and scalars of numpy as those of Python."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") else value
