"""The folder of a package as a tree, with a line on each file that is there."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from model_deployer.package import package_data as places
from model_deployer.package.package_data import PackageData

Line = tuple[str, str]


def tree(facts: PackageData) -> str:
    """The tree as text; what the package does not hold is not in it."""
    shown = list(_lines(facts))
    width = max(len(name) for name, _ in shown) + 2
    return "\n".join(f"{name:{width}}{about}".rstrip() for name, about in shown)


def _lines(facts: PackageData) -> Iterator[Line]:
    yield "README.md", "this page"
    yield "CHANGELOG.md", "what changed from version to version"
    if facts.is_verified:
        about = "what was executed to prove the package, and with which result; VERIFICATION.json for programs"
        yield "VERIFICATION.md", about
    yield "SHA256SUMS", "the fingerprint of every file: sha256sum -c SHA256SUMS"
    yield "requirements.txt", "the Python packages, with their versions; environment.yml for conda"
    yield "Dockerfile", "an image of the service"
    yield "sbom.cdx.json", "the software inside, for scanners (CycloneDX)"
    yield "docs/", ""
    yield "  INTEGRATION_GUIDE.md", "for who calls and runs the service: start there"
    yield (
        "  MODEL_CARD.md",
        "for who decides on its use: how good it is, and where it is not; MODEL_CARD.html with plots",
    )
    yield "  API_SPEC.yaml", "the API for programs (OpenAPI 3.1)"
    yield "proto/open_inference.proto", "what clients in other languages are compiled from, where gRPC is spoken"
    yield "bento/", "the service and its model, for bentoml serve"
    yield "examples/", ""
    yield "  inference_example.py", "a prediction from the ONNX model alone, without a server"
    yield "  sample_requests.json", "requests, and what the service answered to them"
    yield from _clients(facts)
    yield "tests/", ""
    yield "  test_inference.py", "the golden requests again: without a server, or with URL=http://... against one"
    yield "model/", ""
    yield from _formats(facts)
    yield f"  {_name(places.METADATA)}", "where the model comes from, its contract and all its figures"
    yield f"  {_name(places.PARITY)}", "how far the formats' answers are from each other"
    yield f"  {_name(places.CHANGES)}", "what CHANGELOG.md says, for programs"
    if facts.plots:
        yield "  plots/", "pictures of the model card"
    yield "benchmarks/", ""
    yield f"  {_name(places.MEASUREMENTS)}", "latency, throughput and memory, and the machine they were measured on"
    yield "monitoring/", ""
    yield "  alerts.yml", "alerts for Prometheus; alerts_test.yml proves them"
    yield "  dashboard.json", "a dashboard for Grafana"
    yield "deploy/", "what platforms run the service by: Kubernetes, clouds, Compose; a README.md in each folder"


def _formats(facts: PackageData) -> Iterator[Line]:
    for one in facts.formats:
        for place, file in enumerate(file for file in one.files if file.startswith("model/")):
            yield f"  {_name(file)}", "" if place else one.about


def _clients(facts: PackageData) -> Iterator[Line]:
    given = [client for client in facts.clients if client.left_out is None]
    if given:
        yield "  clients/", ""
    for client in given:
        yield f"    {_name(client.folder)}/", f"a client in {client.language}"


def _name(path: str) -> str:
    return PurePosixPath(path).name
