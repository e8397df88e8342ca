"""sbom.cdx.json: the software bill of materials of a package, in CycloneDX (ECMA-424).

cyclonedx-bom lists the packages of the clean environment, and those of the environment of a source that serves its
model itself. The model, its files and its data are added here.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.contract.artifact import Artifact, Manifest, sha256, write_json
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.source_runner import SOURCE
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.package.model_sbom import DATA, MODEL, data_component, file_hash, model_component
from model_deployer.system.command import last_line, run

SBOM = "sbom.cdx.json"

#: The reference of the package.
_PACKAGE = "package"

#: The beginning of the references of the packages of a source: the server may need other versions of them.
_OF_SOURCE = "source/"


def write_sbom(
    folder: Path, environment: CleanEnvironment, artifact: Artifact, source: CellEnvironment | None = None
) -> None:
    """Write the bill of materials of a package; the same packages and the same model give the same bytes.

    Args:
        folder: The folder of the package, with the files of the model.
        environment: The installed environment.
        artifact: The model.
        source: The environment of its source; None if the model is a graph.

    Raises:
        EnvironmentFault: If cyclonedx-bom is not installed, or cannot read the environment.
    """
    manifest, contract = artifact.manifest, artifact.contract
    document = _packages(folder / SBOM, environment.programs / "python")
    _add_hashes(document["components"], environment.wheel_hashes())
    if source:
        packages = _packages(folder / SBOM, source.python)
        document["components"] += [_of_source(component) for component in packages["components"]]
        document["dependencies"] += [_dependencies_of_source(each) for each in packages["dependencies"]]
    name, version = manifest.name, manifest.version
    references = [component["bom-ref"] for component in document["components"]]
    document["metadata"]["component"] = {"type": "application", "bom-ref": _PACKAGE, "name": name, "version": version}
    document["components"] += [_model(folder, manifest, contract), data_component(manifest)]
    document["dependencies"] += [
        {"ref": _PACKAGE, "dependsOn": [*references, MODEL]},
        {"ref": MODEL, "dependsOn": [DATA]},
    ]
    write_json(folder / SBOM, document)


def _packages(path: Path, python: Path) -> dict[str, Any]:
    """Return the bill of materials of an environment; it is written to ``path``.

    Args:
        path: A file.
        python: The interpreter of the environment.
    """
    program = Path(sys.executable).parent / "cyclonedx-py"
    if not program.exists():
        raise EnvironmentFault("'cyclonedx-bom' is missing: pip install 'model-deployer[handoff]'")
    command: list[str | Path] = [
        program,
        "environment",
        python,
        "--output-reproducible",
        "--output-file",
        path,
    ]
    completed = run(command)
    if completed.returncode:
        raise EnvironmentFault(f"cyclonedx-bom could not write {SBOM}: {last_line(completed)}")
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def _of_source(component: dict[str, Any]) -> dict[str, Any]:
    """Return a package of the environment of a source, with a reference of its own and its place as a property."""
    place = {"name": "environment", "value": "the process of the model"}
    properties = [*component.get("properties", []), place]
    return component | {"bom-ref": f"{_OF_SOURCE}{component['bom-ref']}", "properties": properties}


def _dependencies_of_source(dependency: dict[str, Any]) -> dict[str, Any]:
    references = {"ref": f"{_OF_SOURCE}{dependency['ref']}"}
    needed = [f"{_OF_SOURCE}{reference}" for reference in dependency.get("dependsOn", [])]
    return references | ({"dependsOn": needed} if needed else {})


def _add_hashes(components: list[dict[str, Any]], hashes: Mapping[str, str]) -> None:
    """Add to each package the SHA-256 of the file that it was installed from."""
    for component in components:
        if digest := hashes.get(canonicalize_name(component["name"])):
            component["hashes"] = [file_hash(digest)]


def _model(folder: Path, manifest: Manifest, contract: Contract) -> dict[str, Any]:
    """Return the component of the model.

    Its JSON files are left out: the documents of the package are written from them, and they may be written again.
    """
    model = folder / "model"
    files = [path for path in sorted(model.iterdir()) if path.is_file() and path.suffix != ".json"]
    files += [path for path in sorted((model / SOURCE).rglob("*")) if path.is_file()]
    return model_component(manifest, contract, {path.relative_to(folder).as_posix(): sha256(path) for path in files})
