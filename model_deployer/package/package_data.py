"""The data of a package: the content of the files that its documents are generated from.

A document depends on these files only, so `deployer verify` can generate it again and compare it with the existing one.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.package.clients import Client
from model_deployer.package.formats import Format, Graph
from model_deployer.package.measurements import Measurements
from model_deployer.package.samples import Samples
from model_deployer.package.sizing import Sizing

METADATA = "model/model_metadata.json"
PARITY = "model/parity.json"
MEASUREMENTS = "benchmarks/measurements.json"
SAMPLES = "examples/sample_requests.json"
CLIENTS = "examples/clients/clients.json"
HOLDOUT = "examples/holdout.json"
CHANGES = "model/changes.json"
PLOTS = "model/plots"
SPECIFICATION = "docs/API_SPEC.yaml"
OTHER_SPECIFICATION = "docs/API_OTHER_SERVERS.yaml"

#: The packages of the server with the hashes of their files, for the platforms that it names.
HASHED_REQUIREMENTS = "requirements-hashed.txt"

#: The packages of the process of a source that serves its model itself.
SOURCE_REQUIREMENTS = "requirements-source.txt"

#: The endpoints of the model's own API; the others are for clients of other servers.
OWN_ENDPOINTS = frozenset({"POST /predict", "GET /", "GET /model", "GET /livez", "GET /readyz", "GET /metrics"})

#: The protocols that are available over gRPC as well, by a path that each has over HTTP.
OPEN_INFERENCE = "Open Inference"
_GRPC_PROTOCOLS = {
    "/v2/health/live": OPEN_INFERENCE,
    "/v1/models": "TensorFlow Serving",
    "/predictions/{model}": "TorchServe",
}

_REMEDY = "write the package again with `deployer handoff`"


@dataclass(frozen=True)
class PackageData:
    """The data of a package.

    Attributes:
        manifest, contract: The manifest and the contract of the model.
        evaluation: The content of the artifact's evaluation.json.
        reference: The content of the artifact's reference.json; None if the model has none.
        formats: The formats of the model, including those that are withheld.
        runner: How the source of the model is started, which answers itself; None if the model is a graph.
        graph: The versions of the ONNX graph and of the runtime that replayed it; None if the model is not a graph, or
            if an older package lacks them.
        measured: The measurements of the server.
        samples: Requests with their answers.
        clients: The clients, including those that were left out.
        changes: The versions of the model, the newest first: ``version``, ``created``, and the changes.
        endpoints: The method, path and summary of each operation of the service.
        is_verified: Whether the package was verified when it was written.
        runbook_url: The absolute URL at which monitoring/RUNBOOK.md is published; None if it is not.
        has_hashed_requirements: Whether the package has the hashes of the installed files.
        plots: The content of the PNG files in model/plots, by the stem of their names.
        has_test_rows: Whether the package holds test rows.
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
    runner: SourceRunner | None = None
    graph: Graph | None = None
    runbook_url: str | None = None
    has_hashed_requirements: bool = False
    plots: Mapping[str, bytes] = field(default_factory=dict)
    has_test_rows: bool = False

    @cached_property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.manifest.name}:{self.manifest.version}"

    @cached_property
    def grpc_protocols(self) -> Sequence[str]:
        """The names of the protocols that the service has over gRPC if it has a port for it."""
        paths = {path for _, path, _ in self.endpoints}
        return [name for path, name in _GRPC_PROTOCOLS.items() if path in paths]

    @cached_property
    def has_other_endpoints(self) -> bool:
        """Whether the service has endpoints for clients of other servers."""
        return any(f"{method} {path}" not in OWN_ENDPOINTS for method, path, _ in self.endpoints)

    @cached_property
    def sizing(self) -> Sizing:
        """The sizing that is computed from the measurements."""
        return Sizing(self.measured, self.contract.limits.timeout_seconds)


def read_package_data(folder: Path) -> PackageData:
    """Read the data of a package.

    Args:
        folder: The folder of the package.

    Raises:
        UsageError: If the folder does not contain a package, or a file of the package is damaged; the message names the
            file.
    """
    metadata = read_metadata(folder)
    try:
        return PackageData(
            manifest=Manifest.model_validate(metadata["manifest"]),
            contract=Contract.model_validate(metadata["contract"]),
            evaluation=Evaluation.parse(metadata["evaluation"], f"{folder}: {METADATA}: evaluation", _REMEDY),
            reference=_reference(folder, metadata["reference"]),
            formats=TypeAdapter(tuple[Format, ...]).validate_python(_read_json(folder, PARITY)["formats"]),
            runner=_runner(folder, metadata.get("runner")),
            graph=TypeAdapter(Graph | None).validate_python(_read_json(folder, PARITY).get("graph")),
            measured=read_measurements(folder),
            samples=Samples.model_validate(_read_json(folder, SAMPLES)),
            clients=TypeAdapter(tuple[Client, ...]).validate_python(_read_json(folder, CLIENTS)),
            changes=tuple(_read_json(folder, CHANGES)["versions"]),
            endpoints=tuple(_endpoints(folder)),
            is_verified=metadata["verified"],
            runbook_url=metadata.get("runbook_url"),
            has_hashed_requirements=(folder / HASHED_REQUIREMENTS).exists(),
            plots={path.stem: path.read_bytes() for path in sorted((folder / PLOTS).glob("*.png"))},
            has_test_rows=(folder / HOLDOUT).is_file(),
        )
    except FileNotFoundError as error:
        raise _not_a_package(folder, Path(str(error.filename)).name) from None
    except (KeyError, TypeError, ValidationError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{folder}: a file of the package is damaged: {reason}; {_REMEDY}") from None


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the content of model_metadata.json.

    Raises:
        UsageError: If it is missing or damaged.
    """
    metadata: dict[str, Any] = _read_json(folder, METADATA)
    return metadata


def read_measurements(folder: Path) -> Measurements:
    """Read the measurements of a package.

    Raises:
        UsageError: If there is no file of measurements, or it is not JSON.
        ValidationError: If it is JSON of another form.
    """
    return Measurements.model_validate(_read_json(folder, MEASUREMENTS))


def write_metadata(artifact: Artifact, is_verified: bool, folder: Path, runbook_url: str | None = None) -> None:
    """Write model_metadata.json: the manifest, contract, evaluation, reference and runner of the artifact.

    Args:
        artifact: The model.
        is_verified: Whether the package is verified.
        folder: The folder of the package.
        runbook_url: The absolute URL at which the runbook is published; None if it is not.

    Raises:
        UsageError: If the URL is not absolute.
    """
    if runbook_url is not None and not re.fullmatch(r"https?://[^\s#]+", runbook_url):
        raise UsageError(
            "--runbook-url: expected the absolute URL of a page without a fragment, such as "
            "https://wiki.example.com/flight_delay/RUNBOOK; the links in the alerts add the section"
        )
    content = {
        "verified": is_verified,
        **({"runbook_url": runbook_url} if runbook_url else {}),
        **({"runner": artifact.runner.to_json()} if artifact.runner else {}),
        "manifest": artifact.manifest.model_dump(mode="json"),
        "contract": artifact.contract.model_dump(mode="json"),
        "evaluation": artifact.evaluation.to_json(),
        "reference": artifact.reference and artifact.reference.to_json(),
    }
    (folder / METADATA).parent.mkdir(exist_ok=True)
    write_json(folder / METADATA, content)


def mark_verified(folder: Path) -> None:
    """Record in model_metadata.json that the package was verified."""
    write_json(folder / METADATA, _read_json(folder, METADATA) | {"verified": True})


def package_figures(folder: Path) -> dict[str, Any]:
    """Return the figures of a package by the files that contain them."""
    metadata = _read_json(folder, METADATA)
    return {
        METADATA: {name: metadata[name] for name in ("contract", "evaluation", "reference")},
        PARITY: _read_json(folder, PARITY),
        MEASUREMENTS: _read_json(folder, MEASUREMENTS),
    }


def _reference(folder: Path, content: Any) -> Reference | None:
    return None if content is None else Reference.parse(content, f"{folder}: {METADATA}: reference", _REMEDY)


def _runner(folder: Path, content: Any) -> SourceRunner | None:
    return None if content is None else SourceRunner.parse(content, f"{folder}: {METADATA}: runner", _REMEDY)


def _endpoints(folder: Path) -> Iterator[tuple[str, str, str]]:
    for name in (SPECIFICATION, OTHER_SPECIFICATION):
        if name == SPECIFICATION or (folder / name).exists():
            paths = yaml.safe_load((folder / name).read_text(encoding="utf-8"))["paths"]
            for path, operations in paths.items():
                for method, operation in operations.items():
                    yield method.upper(), path, operation.get("summary", "")


def _read_json(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        raise _not_a_package(folder, name) from None
    except ValueError:
        raise UsageError(f"{folder}: {name} is not valid JSON; {_REMEDY}") from None


def _not_a_package(folder: Path, missing_file: str) -> UsageError:
    return UsageError(f"{folder} does not contain a handoff package: {missing_file} is missing")
