"""The package of a model that its source serves: what is in it, that it answers, and what its tests do when it ends.

Both environments of the package link the packages of the tests, so that nothing has to be installed.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from packaging.requirements import Requirement

from model_deployer.adoption.installed_packages import with_dependencies
from model_deployer.contract.artifact import Artifact
from model_deployer.deployment.targets import TARGETS, deploy
from model_deployer.handoff import package as packages
from model_deployer.handoff import platform_hashes, verification
from model_deployer.handoff.clients import clients
from model_deployer.handoff.clients.languages import PYTHON
from model_deployer.handoff.measurement import server_measurement
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.handoff.sandbox.server import run_server
from model_deployer.handoff.standalone import verify as standalone
from model_deployer.package.package_data import read_package_data
from model_deployer.package.readme_commands import commands
from tests.support.linked_environments import linked_environment
from tests.support.processes import ROOT, until
from tests.support.sources import adopt_source
from tests.support.workloads import IMAGE

pytestmark = pytest.mark.slow

#: The checks that take long and depend little on what serves a model, and that of the packages that are installed.
LEFT_OUT = {"environment", "fuzzing", "latencies", "grpc", "specification"}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return adopt_source(tmp_path_factory.mktemp("adopted"), "owner: sales team\nholdout: {rows: 30, fields: all}")


@pytest.fixture(scope="module")
def environment(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    assert artifact.runner
    pins = (ROOT / "requirements" / "serve.txt").read_text().splitlines()
    served = [Requirement(pin).name for pin in pins if "==" in pin]
    names = with_dependencies([*served, "pytest", "joblib"])
    return linked_environment(tmp_path_factory.mktemp("clean") / "copy", names, artifact.runner)


@pytest.fixture(scope="module")
def public_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "author.pub"


@pytest.fixture(scope="module")
def package(
    artifact: Artifact, environment: CleanEnvironment, public_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The package, which is signed."""
    folder, key = tmp_path_factory.mktemp("package") / "model-package", generate_private_key(SECP256R1())
    public_key.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    @contextmanager
    def linked() -> Iterator[CleanEnvironment]:
        yield environment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packages, "temporary_environment", linked)
        patch.setattr(platform_hashes, "PLATFORMS", {})
        patch.setattr(server_measurement, "SECONDS", 0.1)
        patch.setattr(clients, "LANGUAGES", (PYTHON,))
        spec = artifact.path.parents[3] / "model.yaml"
        packages.write_package(artifact, folder, packages.PackageOptions(spec, is_verified=False, key=key))
    return folder


def read(package: Path, name: str) -> Any:
    return json.loads((package / name).read_bytes())


def test_it_has_the_files_of_the_source_and_no_graph(artifact: Artifact, package: Path) -> None:
    runner = artifact.runner
    assert runner
    assert not [*package.rglob("*.onnx"), *(package / "model").glob("*.p*")]
    source = {path.name: path.read_bytes() for path in (package / "model" / "source").iterdir()}
    assert source == {path.name: path.read_bytes() for path in (artifact.path / "source").iterdir()}
    assert "model.pkl" in source
    assert tuple((package / "requirements-source.txt").read_text().splitlines()[1:]) == runner.requirements
    assert read(package, "model/model_metadata.json")["runner"] == runner.to_json()
    parity = read(package, "model/parity.json")
    formats = {each["name"]: each for each in parity["formats"]}
    assert parity["graph"] is None
    assert "because no ONNX graph can be written of __main__.Spending" in formats["ONNX"]["withheld"]
    assert "a pickle is a program" in formats["source"]["about"]
    rows = artifact.evaluation.rows
    assert rows and formats["service"]["test"] == {"rows": rows.test, "largest": 0.0, "flips": None}


def test_a_verification_before_the_signature_says_so(package: Path, environment: CleanEnvironment) -> None:
    """Its result is among the signed files, so that it does not call the package unsigned."""
    options = verification.Options(is_signed_later=True)
    context = verification.CheckContext(package, read_package_data(package), environment, ExitStack(), options)
    with pytest.raises(verification.NotRun, match="is signed after this verification"):
        verification._signature(context)


def test_the_bill_of_materials_has_both_environments(artifact: Artifact, package: Path) -> None:
    document = read(package, "sbom.cdx.json")
    components = {component["bom-ref"]: component for component in document["components"]}
    assert len(components) == len(document["components"])
    names = [{component["name"] for reference, component in components.items()
              if reference.startswith("source/") == is_source} for is_source in (False, True)]  # fmt: skip
    assert [{"numpy", "scikit-learn"} & each for each in names] == [{"numpy"}, {"numpy", "scikit-learn"}]
    (package_dependencies,) = (each for each in document["dependencies"] if each["ref"] == "package")
    assert {name for name in components if name.startswith("source/")} <= set(package_dependencies["dependsOn"])
    files = {file["name"]: file["hashes"][0]["content"] for file in components["model"]["components"]}
    assert files["model/source/model.pkl"] == artifact.manifest.files["source/model.pkl"]


def test_figures_and_definitions_are_those_of_both_processes(package: Path, tmp_path: Path) -> None:
    measured = read(package, "benchmarks/measurements.json")
    assert measured["engine"] == "source"
    for target in TARGETS:
        deploy(target, package, tmp_path / target, IMAGE)
    service = yaml.safe_load((tmp_path / "compose" / "compose.yaml").read_text())["services"]["model"]
    assert service["mem_limit"] > measured["memory_loaded_bytes"]
    assert "the peak of the service and the process of the model" in (tmp_path / "compose/compose.yaml").read_text()
    assert "FROM environment AS source" in (package / "Dockerfile").read_text()


def test_every_check_passes(package: Path, environment: CleanEnvironment, public_key: Path) -> None:
    checks = [check for check in verification.CHECKS if check[2].__name__.strip("_") not in LEFT_OUT]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "CHECKS", tuple(checks))
        options = verification.Options(public_key=public_key)
        verified = verification.verify(package, options, environment)
    results = {check.name: (check.result, check.detail) for check in verified.checks}
    assert results.pop("tests offline") == ("not run", "the model answers in the service only")
    assert results.pop("container")[0] == "not run"
    assert {result for result, _ in results.values()} == {"passed"}, results
    assert "30 of" in results["metrics"][1]


def test_a_changed_source_is_named(package: Path) -> None:
    """By reading: nothing of the package is run."""
    assert standalone.differing_figures(package) == []
    changed, lines = package / "model" / "source" / "model.pkl", package / "requirements-source.txt"
    contents = {path: path.read_bytes() for path in (changed, lines)}
    try:
        changed.write_bytes(b"another program")
        assert standalone.differing_figures(package) == [
            "model/source/model.pkl is not the file of the source in bento/"
        ]
        lines.write_text("# Others.\nnumpy==1.0.0\n")
        assert any(problem.startswith("requirements-source.txt") for problem in standalone.differing_figures(package))
    finally:
        for path, content in contents.items():
            path.write_bytes(content)


def test_its_tests_survive_a_killed_source(package: Path, environment: CleanEnvironment) -> None:
    environment.copy(package)
    with run_server(commands(package)["serve"], environment.folder) as server:
        (source,) = (
            child for child in psutil.Process(server.process.pid).children(recursive=True)
            if "cell_worker" in child.cmdline()
        )  # fmt: skip
        command = ["sh", "-c", commands(package, server.url)["deployment"]]
        with subprocess.Popen(command, cwd=environment.folder, stdout=subprocess.PIPE, text=True) as tests:
            until(lambda: _metric(server.url, "model_rows_total") > 20)
            assert tests.poll() is None
            source.send_signal(signal.SIGKILL)
            output, _ = tests.communicate(timeout=120)
        assert tests.returncode == 0, output
        assert "passed" in output
        assert _metric(server.url, 'model_source_ends_total{reason="SIGKILL"}') == 1
        assert httpx.get(f"{server.url}/readyz").status_code == 200


def _metric(url: str, sample: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))


def test_documents_name_the_process_and_what_is_not_possible(package: Path) -> None:
    """Every sentence about the process has its fact in the data of the package."""
    guide, readme = ((package / name).read_text() for name in ("docs/INTEGRATION_GUIDE.md", "README.md"))
    data = read_package_data(package)
    adoption, runner = data.evaluation.adoption, data.runner
    assert adoption and runner and runner.python
    assert adoption.digest in guide
    for text in (guide, readme):
        assert f"Python {runner.python} and {len(runner.requirements)} packages of" in text
    for words in ("503 with `Retry-After`", "`model_source_ends_total`", "ModelSourceEnded", "A pickle is a program",
                  "there is no ONNX file, and no runtime of another language can predict with it"):  # fmt: skip
        assert words in guide
    assert "prepare_source" in commands(package)["source"]
    assert "test" not in commands(package)
    card = (package / "docs" / "MODEL_CARD.md").read_text()
    assert "The service asks the source, in [a process of its own]" in card
