"""The choice of the model that a service serves."""

from pathlib import Path

import yaml

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ModelNotFound


def select_model(service_file: Path, tag: str | None) -> Artifact:
    """Load the model of a service and verify its files.

    Args:
        service_file: The path of service.py. In a Bento, the model that was pinned at its build is loaded.
        tag: Elsewhere, the model to load: ``name:version``, or ``name`` for its highest version; None for the highest
            version of the only model in the store.

    Raises:
        ModelNotFound: if the store does not have the model.
        AmbiguousModel: if there is no tag and the store has several models.
        ArtifactError: if the files of the model are missing or were altered, or it cannot be served.
    """
    pinned_tag = _pinned_tag(service_file.parent.parent / "bento.yaml")
    if pinned_tag is None:
        return store.load(tag).require_servable()
    try:
        return store.load(pinned_tag).require_servable()
    except ModelNotFound:
        raise ModelNotFound(
            f"this Bento serves {pinned_tag}, which is not in the model store; run "
            f"`bentoml models export {pinned_tag}` where the Bento was built, and `bentoml models import FILE` here"
        ) from None


def _pinned_tag(bento_file: Path) -> str | None:
    if not bento_file.is_file():
        return None
    services = yaml.safe_load(bento_file.read_text(encoding="utf-8")).get("services", [])
    tags = [str(model["tag"]) for service in services for model in service.get("models", [])]
    return tags[0] if tags else None
