"""Which model of the store a service answers with."""

from pathlib import Path

import yaml

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ModelNotFound


def select_model(service_file: Path, asked_for: str | None) -> Artifact:
    """The model for the service in ``service_file``, its files verified.

    Inside a Bento it is the one that was pinned when the Bento was built. Elsewhere it is ``asked_for`` (``name`` or
    ``name:version``), or else the highest version of the one model in the store.

    Raises:
        ModelNotFound, AmbiguousModel, ArtifactError: As :func:`contract.store.load`.
    """
    pinned = _pinned(service_file.parent.parent / "bento.yaml")
    if pinned is None:
        return store.load(asked_for)
    try:
        return store.load(pinned)
    except ModelNotFound:
        raise ModelNotFound(
            f"this Bento answers with {pinned}, which the model store lacks; "
            f"run `bentoml models export {pinned}` where the Bento was built, and `bentoml models import FILE` here"
        ) from None


def _pinned(bento: Path) -> str | None:
    if not bento.is_file():
        return None
    services = yaml.safe_load(bento.read_text(encoding="utf-8")).get("services", [])
    tags = [str(model["tag"]) for service in services for model in service.get("models", [])]
    return tags[0] if tags else None
