"""The bill of materials of a model: its files, its data and the libraries that it was made with, in CycloneDX 1.6."""

from collections.abc import Mapping
from typing import Any

from model_deployer.contract.artifact import Artifact, Manifest
from model_deployer.contract.contract import Contract

#: The media type of a bill of materials.
MEDIA_TYPE = "application/vnd.cyclonedx+json"

#: The references of the model and of its data.
MODEL, DATA = "model", "data"


def model_sbom(artifact: Artifact) -> dict[str, Any]:
    """Return the bill of materials of a model; the same model gives the same document."""
    manifest = artifact.manifest
    libraries = [_library(name, version) for name, version in sorted(manifest.origin.libraries.items())]
    references = [library["bom-ref"] for library in libraries]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": manifest.created.isoformat(),
            "component": model_component(manifest, artifact.contract, manifest.files),
        },
        "components": [data_component(manifest), *libraries],
        "dependencies": [{"ref": MODEL, "dependsOn": [DATA, *references]}],
    }


def model_component(manifest: Manifest, contract: Contract, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the component of a model; its files are components in it.

    Args:
        manifest: The manifest of the model.
        contract: Its contract.
        files: The SHA-256 of each file, by its path.
    """
    described = {"description": manifest.description} if manifest.description else {}
    licensed = {"licenses": [{"license": {"name": manifest.license}}]} if manifest.license else {}
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": manifest.name,
        "version": manifest.version,
        **described,
        **licensed,
        "modelCard": {"modelParameters": {"task": contract.output.task, "datasets": [{"ref": DATA}]}},
        "components": [
            {"type": "file", "bom-ref": path, "name": path, "hashes": [file_hash(digest)]}
            for path, digest in files.items()
        ],
    }


def data_component(manifest: Manifest) -> dict[str, Any]:
    """Return the component of the table that trained or evaluated the model: its version is a hash of its content."""
    return {
        "type": "data",
        "bom-ref": DATA,
        "name": f"table of {manifest.name}",
        "version": manifest.origin.data_version,
        "data": [{"type": "dataset"}],
    }


def file_hash(digest: str) -> dict[str, str]:
    """Return a SHA-256 as an entry of ``hashes``."""
    return {"alg": "SHA-256", "content": digest}


def _library(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
