"""The files of a package as a tree, with a description of each."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from model_deployer.package.package_data import (
    CHANGES,
    HASHED_REQUIREMENTS,
    MEASUREMENTS,
    METADATA,
    OTHER_SPECIFICATION,
    PARITY,
    SOURCE_REQUIREMENTS,
    PackageData,
)

Line = tuple[str, str]


def tree(package: PackageData) -> str:
    """Return the tree of the files that the package contains, as text."""
    lines = list(_lines(package))
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name:{width}}{about}".rstrip() for name, about in lines)


def _lines(package: PackageData) -> Iterator[Line]:
    yield "README.md", "this page"
    yield "CHANGELOG.md", "the changes from version to version"
    if package.is_verified:
        yield "VERIFICATION.md", "the checks of this package, with their results; VERIFICATION.json for programs"
    yield "verify.py", "checks the files and figures of this package, and runs it; it needs nothing but Python"
    yield "SHA256SUMS", "the checksum of every file, for: sha256sum -c SHA256SUMS"
    yield "requirements.txt", "the Python packages of the service, with their versions; environment.yml for conda"
    if package.has_hashed_requirements:
        yield (
            HASHED_REQUIREMENTS,
            "the same with hashes, for pip install --require-hashes on the platforms that it names",
        )
    if package.runner:
        yield SOURCE_REQUIREMENTS, "the packages of the process of the model, with their versions"
    yield "Dockerfile", "builds an image of the service"
    yield "sbom.cdx.json", "the software bill of materials, for scanners (CycloneDX)"
    yield "docs/", ""
    yield "  INTEGRATION_GUIDE.md", "how to call and run the service: start here"
    yield "  MODEL_CARD.md", "how good the model is, and where it is not; MODEL_CARD.html has plots"
    yield "  API_SPEC.yaml", "the specification of the API (OpenAPI 3.1)"
    if package.has_other_endpoints:
        yield f"  {_name(OTHER_SPECIFICATION)}", "the same for clients of other model servers"
    yield "proto/open_inference.proto", "the definition that gRPC clients are generated from"
    yield "bento/", "the service and its model, for bentoml serve"
    yield "examples/", ""
    yield "  inference_example.py", f"predicts with {_predictor(package)}"
    yield "  sample_requests.json", "requests with the answers of the service"
    if package.has_test_rows:
        yield "  holdout.json", "rows of the test part with their truths, for verify.py to measure the model again"
    yield from _clients(package)
    yield "tests/", ""
    receiver = "a service, with URL=http://..." if package.runner else "the model, or with URL=http://... to a service"
    yield "  test_inference.py", f"sends the golden requests to {receiver}"
    yield "  requirements.txt", "the packages that the tests need in addition"
    yield "model/", ""
    if package.runner is None:
        yield "  predictor.py", "the model as a Python object: checks rows and predicts as the service does"
    yield from _formats(package)
    yield f"  {_name(METADATA)}", "the origin of the model, its contract and all its figures"
    yield f"  {_name(PARITY)}", "the differences between the answers of the formats"
    yield f"  {_name(CHANGES)}", "the content of CHANGELOG.md, for programs"
    if package.plots:
        yield "  plots/", "the plots of the model card"
    yield "benchmarks/", ""
    yield f"  {_name(MEASUREMENTS)}", "latency, throughput and memory, with the machine they were measured on"
    yield "  measure.py", "measures again, on your machine; src/ has its modules"
    yield from _monitoring()
    yield "deploy/", "deployment definitions for Kubernetes, clouds and Compose; a README.md in each folder"


def _monitoring() -> Iterator[Line]:
    yield "monitoring/", ""
    yield "  RUNBOOK.md", "what to do when an alert fires, and how the alerts on drift were tried"
    yield "  alerts.yml", "alert rules for Prometheus; alerts_test.yml and drift_test.yml test them"
    yield "  replay.json", "the replay of the table with the alerts on drift"
    yield "  dashboard.json", "a dashboard for Grafana"
    yield "  triggers.json", "when to do something about the model, from its evaluation"
    yield "  check_triggers.py", "checks the triggers in a report of deployer monitor; it needs nothing but Python"
    yield "  monitor-cronjob.yaml", "runs deployer monitor once a day, as an example"


def _predictor(package: PackageData) -> str:
    return "the running service, with Python alone" if package.runner else "model/predictor.py, without a server"


def _formats(package: PackageData) -> Iterator[Line]:
    for format_ in package.formats:
        for index, file in enumerate(file for file in format_.files if file.startswith("model/")):
            yield f"  {_name(file)}{'/' if file.endswith('/') else ''}", "" if index else format_.about


def _clients(package: PackageData) -> Iterator[Line]:
    clients = [client for client in package.clients if client.left_out is None]
    if clients:
        yield "  clients/", ""
    for client in clients:
        yield f"    {_name(client.folder)}/", f"a client in {client.language}"


def _name(path: str) -> str:
    return PurePosixPath(path).name
