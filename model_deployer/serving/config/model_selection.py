"""The choice of the model that a service serves."""

import logging
from pathlib import Path

import yaml

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.contract.errors import ArtifactError, ModelNotFound

logger = logging.getLogger("model_deployer")

#: The variable that passes the tag of the model from the parent of a server to its workers: one that is started again
#: serves what the others serve, also if the name or alias of the model means another version meanwhile.
MODEL_VARIABLE = "MODEL_DEPLOYER_MODEL"


def select_model(service_file: Path, tag: str | None, folder: Path | None = None) -> Artifact:
    """Load the model of a service and verify its files.

    Args:
        service_file: The path of service.py. In a Bento, the model that was pinned at its build is loaded.
        tag: Elsewhere, the model to load, as for :func:`contract.store.resolve`.
        folder: A folder with the files of a model, which is loaded in place of one of the store; None for the store.

    Raises:
        ModelNotFound: if the store does not have the model.
        AmbiguousModel: if there is no tag and the store has several models.
        ArtifactError: if the files of the model are missing or were altered, or it cannot be served; if the folder has
            another model than ``tag``.
    """
    if folder:
        return _open_folder(folder, tag)
    pinned_tag = _pinned_tag(service_file)
    if pinned_tag is None:
        return store.load(tag).require_servable()
    try:
        return store.load(pinned_tag).require_servable()
    except ModelNotFound:
        raise ModelNotFound(
            f"this Bento serves {pinned_tag}, which is not in the model store; run "
            f"`bentoml models export {pinned_tag}` where the Bento was built, and `bentoml models import FILE` here"
        ) from None


def followed_alias(service_file: Path, tag: str | None) -> str | None:
    """Return the alias that a server follows, as ``name@alias``; None if it follows none.

    A line in the log says so if the model was pinned by the Bento.

    Args:
        service_file: The path of service.py.
        tag: The model that the server was started with.
    """
    if tag is None or "@" not in tag:
        return None
    if _pinned_tag(service_file):
        logger.warning(
            "the server does not follow %s: its model was pinned when the Bento was built; build another one after a "
            "promotion",
            tag,
        )
        return None
    return tag


def _open_folder(folder: Path, tag: str | None) -> Artifact:
    artifact = open_artifact(folder).require_servable()
    if tag not in (None, artifact.tag, artifact.manifest.name):
        raise ArtifactError(
            f"serving.model_folder: {folder} holds {artifact.tag}, and not {tag}: mount that model, or name no other"
        )
    return artifact


def _pinned_tag(service_file: Path) -> str | None:
    bento_file = service_file.parent.parent / "bento.yaml"
    if not bento_file.is_file():
        return None
    services = yaml.safe_load(bento_file.read_text(encoding="utf-8")).get("services", [])
    tags = [str(model["tag"]) for service in services for model in service.get("models", [])]
    return tags[0] if tags else None
