"""Push a model to a registry: its image, its bill of materials and its signature."""

import json
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed
from model_deployer.distribution import descriptor, image_signature
from model_deployer.distribution.image_reference import ImageReference
from model_deployer.distribution.image_registry import ImageRegistry
from model_deployer.distribution.model_image import ModelImage, write_image
from model_deployer.package.model_sbom import MEDIA_TYPE, model_sbom
from model_deployer.system.progress import byte_progress


def push(
    artifact: Artifact, reference: ImageReference, registry: ImageRegistry, key: EllipticCurvePrivateKey | None = None
) -> ImageReference:
    """Push a model and return the address of the image with its digest.

    The tag is set when every part is in the registry. If the registry has the image, only what is missing is sent.

    Args:
        artifact: The model.
        reference: The address of the image; its tag is the version of the model if it has none.
        registry: The registry.
        key: The key that signs the image; None for no signature.

    Raises:
        CheckFailed: if the tag names another image.
        EnvironmentFault: if the registry cannot be reached, or refuses.
    """
    tag = reference.tag or artifact.manifest.version
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as folder:
        image = write_image(artifact, Path(folder))
        _check_tag(registry, reference, tag, image)
        _put_parts(registry, image)
    subject = descriptor.of_bytes(image.index, descriptor.INDEX)
    registry.put_manifest(image.index, descriptor.INDEX, image.digest)
    registry.attach(subject, MEDIA_TYPE, json.dumps(model_sbom(artifact), ensure_ascii=False).encode(), {})
    if key and not image_signature.is_signed(
        registry.attached(image.digest, image_signature.BUNDLE), image.digest, key.public_key()
    ):
        signature = image_signature.sign(image.digest, key)
        registry.attach(subject, image_signature.BUNDLE, signature, image_signature.ANNOTATIONS)
    registry.put_manifest(image.index, descriptor.INDEX, tag)
    return reference.at(image.digest)


def _check_tag(registry: ImageRegistry, reference: ImageReference, tag: str, image: ModelImage) -> None:
    present = registry.find_manifest(tag)
    if present is not None and descriptor.digest(present) != image.digest:
        raise CheckFailed(
            f"{reference.registry}/{reference.repository}:{tag} is another image, and a version never changes: push "
            "to another tag"
        )


def _put_parts(registry: ImageRegistry, image: ModelImage) -> None:
    with byte_progress("Pushing", image.layer_descriptor["size"]) as advance:
        registry.put_blob(image.layer_descriptor, image.layer, advance)
    for config, manifest in zip(image.configs, image.manifests, strict=True):
        registry.put_blob(descriptor.of_bytes(config, descriptor.CONFIG), config)
        registry.put_manifest(manifest, descriptor.MANIFEST, descriptor.digest(manifest))
