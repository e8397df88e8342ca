"""A model as an OCI image of one layer: its files are in /models, and equal models give equal bytes.

Kubernetes mounts it as a volume (ImageVolume), and KServe with ``oci+native://``. Nodes take only images for their own
platform, and these files suit all of them: an index has one manifest for each platform, and all share the layer. The
layer is not compressed, since the bytes that zlib makes differ between its versions.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_deployer.contract import artifact as files
from model_deployer.contract import signature
from model_deployer.contract.artifact import Artifact, Manifest, sha256
from model_deployer.distribution import descriptor
from model_deployer.distribution.descriptor import Descriptor

#: The folder with the files of the model.
FOLDER = "models"

#: The annotation with the tag of the model in the store, and that with the SHA-256 of its manifest.json.
TAG_ANNOTATION, MANIFEST_ANNOTATION = "io.github.model-deployer.tag", "io.github.model-deployer.manifest-sha256"

#: The platforms of the index: those of the nodes of clusters.
_ARCHITECTURES = ("amd64", "arm64")


@dataclass(frozen=True)
class ModelImage:
    """The parts of an image.

    Attributes:
        layer: The file with the layer.
        layer_descriptor: Its descriptor.
        configs: The configurations of the image, one for each platform.
        manifests: The manifests, in the same order.
        index: The index of the manifests.
    """

    layer: Path
    layer_descriptor: Descriptor
    configs: Sequence[bytes]
    manifests: Sequence[bytes]
    index: bytes

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return descriptor.digest(self.index)


def write_image(artifact: Artifact, folder: Path) -> ModelImage:
    """Write the layer of a model into a folder, and return the image.

    Args:
        artifact: The model, with its signature if it is signed.
        folder: An empty folder.
    """
    layer = folder / "layer.tar"
    _write_layer(artifact, layer)
    layer_descriptor = descriptor.of_file(layer, descriptor.LAYER)
    annotations = _annotations(artifact)
    configs = [_config(artifact.manifest, architecture, layer_descriptor) for architecture in _ARCHITECTURES]
    manifests = [_manifest(config, layer_descriptor, annotations) for config in configs]
    return ModelImage(layer, layer_descriptor, configs, manifests, _index(manifests, annotations))


def _write_layer(artifact: Artifact, layer: Path) -> None:
    seconds = int(artifact.manifest.created.timestamp())
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as archive:
        names = sorted({files.MANIFEST, *artifact.manifest.files, *_signature(artifact)})
        for folder in _folders(names):
            archive.addfile(_entry(folder, seconds, tarfile.DIRTYPE))
        for name in names:
            path = artifact.path / name
            entry = _entry(f"{FOLDER}/{name}", seconds, tarfile.REGTYPE)
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(entry, content)


def _signature(artifact: Artifact) -> Iterator[str]:
    if (artifact.path / signature.FILE).is_file():
        yield signature.FILE


def _folders(names: Sequence[str]) -> list[str]:
    """Return the folders of files, each after the one that it is in."""
    parents = {parent.as_posix() for name in names for parent in (Path(FOLDER) / name).parents}
    return sorted(parents - {"."})


def _entry(name: str, seconds: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mtime = kind, seconds
    entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return entry


def _annotations(artifact: Artifact) -> dict[str, str]:
    manifest = artifact.manifest
    annotations = {
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": manifest.version,
        "org.opencontainers.image.created": manifest.created.isoformat(),
        "org.opencontainers.image.description": manifest.description,
        "org.opencontainers.image.licenses": manifest.license,
        "org.opencontainers.image.authors": manifest.owner,
        "org.opencontainers.image.revision": manifest.origin.git_commit,
        TAG_ANNOTATION: artifact.tag,
        MANIFEST_ANNOTATION: sha256(artifact.path / files.MANIFEST),
    }
    return {name: text for name, text in annotations.items() if text}


def _config(manifest: Manifest, architecture: str, layer: Descriptor) -> bytes:
    created = manifest.created.isoformat()
    return descriptor.to_json(
        {
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created": created, "created_by": "deployer push"}],
        }
    )


def _manifest(config: bytes, layer: Descriptor, annotations: dict[str, str]) -> bytes:
    return descriptor.to_json(
        {
            "schemaVersion": 2,
            "mediaType": descriptor.MANIFEST,
            "config": descriptor.of_bytes(config, descriptor.CONFIG),
            "layers": [layer],
            "annotations": annotations,
        }
    )


def _index(manifests: Sequence[bytes], annotations: dict[str, str]) -> bytes:
    listed = [
        descriptor.of_bytes(manifest, descriptor.MANIFEST) | {"platform": {"architecture": architecture, "os": "linux"}}
        for architecture, manifest in zip(_ARCHITECTURES, manifests, strict=True)
    ]
    return descriptor.to_json(
        {"schemaVersion": 2, "mediaType": descriptor.INDEX, "manifests": listed, "annotations": annotations}
    )


def read_layer(layer: Path, folder: Path) -> Path:
    """Extract the files of a model from a layer, and return their folder.

    Only files and folders in /models are extracted; none can end up elsewhere (PEP 706).

    Args:
        layer: The file with the layer.
        folder: An empty folder.

    Raises:
        ValueError: if the layer is not a tar archive, or has no files in /models.
    """
    try:
        with tarfile.open(layer, "r:") as archive:
            entries = [entry for entry in archive if entry.isfile() and entry.name.startswith(f"{FOLDER}/")]
            if sum(entry.size for entry in entries) > layer.stat().st_size:  # sparse files, which may be of any size
                raise ValueError("its files are larger than itself")
            archive.extractall(folder, entries, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(str(error)) from None
    if not (folder / FOLDER).is_dir():
        raise ValueError(f"it has no files in /{FOLDER}")
    return folder / FOLDER
