"""Pull a model from a registry into the model store."""

import json
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from model_deployer.contract import artifact as files
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact, open_artifact, sha256
from model_deployer.contract.errors import ArtifactError, CheckFailed, ModelNotFound
from model_deployer.distribution import descriptor, image_signature
from model_deployer.distribution.descriptor import Descriptor
from model_deployer.distribution.image_reference import ImageReference
from model_deployer.distribution.image_registry import ImageRegistry
from model_deployer.distribution.model_image import read_layer
from model_deployer.system.progress import byte_progress


def pull(reference: ImageReference, registry: ImageRegistry, key: EllipticCurvePublicKey | None = None) -> str:
    """Pull a model and return its tag in the store.

    Nothing is stored before every byte was compared with the digest of the image, and every file with the manifest of
    the model.

    Args:
        reference: The address of the image, with a tag or a digest.
        registry: The registry.
        key: The public key of the one who signed the image; None if that is not checked.

    Raises:
        ModelNotFound: if the registry does not have the image.
        ArtifactError: if the image is not that of a model, was altered, or is not signed with the key.
        CheckFailed: if the store has another model with the same tag.
        EnvironmentFault: if the registry cannot be reached or refuses, or the disk is full.
    """
    content = registry.get_manifest(reference.digest or reference.tag or "latest")
    digest = descriptor.digest(content)
    if key and not image_signature.is_signed(registry.attached(digest, image_signature.BUNDLE), digest, key):
        raise ArtifactError(f"{reference}: the owner of the key has not signed {digest}; do not use it")
    part = _layer(reference, registry, content)
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        folder, layer = Path(name), Path(name) / "layer.tar"
        with byte_progress("Pulling", part["size"]) as advance:
            registry.get_blob(part, layer, advance)
        (folder / "files").mkdir()
        try:
            model = read_layer(layer, folder / "files")
        except ValueError as error:
            raise ArtifactError(f"{reference} is not the image of a model: {error}") from None
        return _save(open_artifact(model), reference)


def _layer(reference: ImageReference, registry: ImageRegistry, content: bytes) -> Descriptor:
    """Return the descriptor of the only layer of an image."""
    try:
        manifest: dict[str, Any] = json.loads(content)
        if "manifests" in manifest:  # the platforms of an image have the same layer
            manifest = json.loads(registry.get_manifest(str(manifest["manifests"][0]["digest"])))
        (layer,) = manifest["layers"]
        part = {"digest": str(layer["digest"]), "size": int(layer["size"]), "mediaType": layer["mediaType"]}
    except (ValueError, KeyError, IndexError, TypeError):
        part = {"mediaType": None}
    if part["mediaType"] != descriptor.LAYER:
        raise ArtifactError(
            f"{reference} is not the image of a model: expected one layer {descriptor.LAYER}, as of `deployer push`"
        )
    return part


def _save(artifact: Artifact, reference: ImageReference) -> str:
    try:
        present = store.load(artifact.tag)
    except ModelNotFound:
        return store.save(artifact.path, artifact.manifest)
    if sha256(present.path / files.MANIFEST) != sha256(artifact.path / files.MANIFEST):
        raise CheckFailed(
            f"the store has another model {artifact.tag} than {reference}, and a version never changes; use another "
            "store (BENTOML_HOME), or delete that version first"
        )
    return artifact.tag
