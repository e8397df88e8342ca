"""Where a source is: a file or folder, a model in the store of BentoML, or one in a registry of MLflow."""

import os
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import bentoml

from model_deployer.contract.errors import UsageError

#: The tag of a model in the store of BentoML: a name, a colon and a version.
_TAG = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?:[A-Za-z0-9][A-Za-z0-9._-]*")

_REGISTRY = "models:/"


def is_reference(source: str) -> bool:
    """Return whether a source is named by a tag or by the address of a registry, and not by a path."""
    return source.startswith(_REGISTRY) or (_TAG.fullmatch(source) is not None and not Path(source).exists())


def locate_source(source: str, folder: Path) -> Path:
    """Return the file or folder of a source.

    Args:
        source: A path, a tag of BentoML such as ``buyers:1.0.0``, or an address of MLflow such as ``models:/buyers/3``.
        folder: The folder that a path starts from.

    Raises:
        UsageError: if the store does not have the tag, or the registry cannot be asked; the message says why.
    """
    if (folder / source).exists() or not is_reference(source):
        return folder / source
    return _of_registry(source) if source.startswith(_REGISTRY) else _of_store(source)


def _of_store(tag: str) -> Path:
    try:
        return Path(bentoml.models.get(tag).path)
    except bentoml.exceptions.BentoMLException as error:
        raise UsageError(f"there is no file '{tag}', and the store of BentoML has no model '{tag}'") from error


def _of_registry(address: str) -> Path:
    if find_spec("mlflow") is None or not os.environ.get("MLFLOW_TRACKING_URI"):
        raise UsageError(
            f"'{address}' is in a registry of MLflow, which is asked only where mlflow is installed and "
            f"MLFLOW_TRACKING_URI is set: set both up, or download the model and pass its folder"
        )
    try:
        return Path(import_module("mlflow.artifacts").download_artifacts(artifact_uri=address))
    except Exception as error:  # mlflow and its stores raise errors of many kinds
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"the registry of MLflow does not give '{address}': {line}") from error
