"""All that the documents of a package are filled from, read from the package itself.

A document is a function of these files, so that `deployer verify` can write it again and hold it against what is there.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from model_deployer.contract.artifact import Artifact, Manifest, write_json
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import UsageError
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.reference import Reference
from model_deployer.package.clients import Client
from model_deployer.package.formats import Format
from model_deployer.package.measurements import Measurements
from model_deployer.package.samples import Samples
from model_deployer.package.sizing import Sizing

METADATA = "model/model_metadata.json"
PARITY = "model/parity.json"
MEASUREMENTS = "benchmarks/measurements.json"
SAMPLES = "examples/sample_requests.json"
CLIENTS = "examples/clients/clients.json"
CHANGES = "model/changes.json"
PLOTS = "model/plots"
SPECIFICATION = "docs/API_SPEC.yaml"

_REMEDY = "write the package anew with `deployer handoff`"


@dataclass(frozen=True)
class PackageData:
    """A package's facts.

    Attributes:
        manifest, contract: Of the model.
        evaluation: The content of the artifact's evaluation.json.
        reference: The content of its reference.json; None where the model has none.
        formats: The formats of the model, those that are withheld included.
        measured: What the server took.
        samples: Requests and the answers they got.
        clients: Clients, those that were left out included.
        changes: The versions of the model, the newest first: ``version``, ``created``, and what changed.
        endpoints: Method, path and summary of each operation in API_SPEC.yaml.
        is_verified: Whether the package was verified when it was written.
        plots: The content of the PNG files in model/plots, by the stem of their names.
    """

    manifest: Manifest
    contract: Contract
    evaluation: Evaluation
    reference: Reference | None
    formats: tuple[Format, ...]
    measured: Measurements
    samples: Samples
    clients: tuple[Client, ...]
    changes: tuple[Mapping[str, Any], ...]
    endpoints: tuple[tuple[str, str, str], ...]
    is_verified: bool
    plots: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.manifest.name}:{self.manifest.version}"

    @cached_property
    def sizing(self) -> Sizing:
        """What operations need, as it follows from the measurements."""
        return Sizing(self.measured, self.contract.limits.timeout_seconds)


def read_package_data(package: Path) -> PackageData:
    """The facts of a package.

    Raises:
        UsageError: The folder holds no package, or a file of it is damaged; the message names the file.
    """
    metadata = _json(package, METADATA)
    try:
        return PackageData(
            manifest=Manifest.model_validate(metadata["manifest"]),
            contract=Contract.model_validate(metadata["contract"]),
            evaluation=Evaluation.parse(metadata["evaluation"], f"{package}: {METADATA}: evaluation", _REMEDY),
            reference=_reference(package, metadata["reference"]),
            formats=TypeAdapter(tuple[Format, ...]).validate_python(_json(package, PARITY)["formats"]),
            measured=Measurements.model_validate(_json(package, MEASUREMENTS)),
            samples=Samples.model_validate(_json(package, SAMPLES)),
            clients=TypeAdapter(tuple[Client, ...]).validate_python(_json(package, CLIENTS)),
            changes=tuple(_json(package, CHANGES)["versions"]),
            endpoints=tuple(_endpoints(package)),
            is_verified=metadata["verified"],
            plots={path.stem: path.read_bytes() for path in sorted((package / PLOTS).glob("*.png"))},
        )
    except FileNotFoundError as error:
        raise UsageError(f"{package} is no package of a model: {Path(str(error.filename)).name} is missing") from None
    except (KeyError, TypeError, ValidationError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{package}: a file of the package is not as it was written: {reason}") from None


def write_metadata(artifact: Artifact, is_verified: bool, package: Path) -> None:
    """Write model_metadata.json: all that the artifact says of the model."""
    content = {
        "verified": is_verified,
        "manifest": artifact.manifest.model_dump(mode="json"),
        "contract": artifact.contract.model_dump(mode="json"),
        "evaluation": artifact.evaluation.to_json(),
        "reference": artifact.reference and artifact.reference.to_json(),
    }
    (package / METADATA).parent.mkdir(exist_ok=True)
    write_json(package / METADATA, content)


def mark_verified(package: Path) -> None:
    """Note in model_metadata.json that the package was verified."""
    write_json(package / METADATA, _json(package, METADATA) | {"verified": True})


def package_figures(package: Path) -> dict[str, Any]:
    """The figures of a package, under the files that hold them."""
    metadata = _json(package, METADATA)
    return {
        METADATA: {name: metadata[name] for name in ("contract", "evaluation", "reference")},
        PARITY: _json(package, PARITY),
        MEASUREMENTS: _json(package, MEASUREMENTS),
    }


def _reference(package: Path, content: Any) -> Reference | None:
    return None if content is None else Reference.parse(content, f"{package}: {METADATA}: reference", _REMEDY)


def _endpoints(package: Path) -> Iterator[tuple[str, str, str]]:
    paths = yaml.safe_load((package / SPECIFICATION).read_text(encoding="utf-8"))["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield method.upper(), path, operation.get("summary", "")


def _json(package: Path, name: str) -> Any:
    try:
        return json.loads((package / name).read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{package} is no package of a model: {name} is missing") from None
    except ValueError:
        raise UsageError(f"{package}: {name} is no JSON; {_REMEDY}") from None
