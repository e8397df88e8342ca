"""From a model of the store to a verified package, and the verification of a package that was tampered with."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from model_deployer.handoff.checksums import write_checksums
from tests.acceptance.customers import SMALL
from tests.support import in_process
from tests.support.processes import ROOT, run, serve

TREE = {
    "README.md", "CHANGELOG.md", "VERIFICATION.md", "VERIFICATION.json", "SHA256SUMS", "sbom.cdx.json", "verify.py",
    "requirements.txt", "requirements-hashed.txt", "tests/requirements.txt", "environment.yml", "Dockerfile",
    "bento/bento.yaml",
    "model/model_v1.0.0.pkl", "model/preprocessor.pkl", "model/model_metadata.json", "model/model_v1.0.0.onnx",
    "model/model_v1.0.0.joblib", "model/model_v1.0.0.safetensors", "model/torch_model.py", "model/predictor.py",
    "docs/MODEL_CARD.md", "docs/MODEL_CARD.html", "docs/INTEGRATION_GUIDE.md", "docs/API_SPEC.yaml",
    "docs/API_OTHER_SERVERS.yaml",
    "examples/inference_example.py", "examples/sample_requests.json", "tests/test_inference.py",
    "monitoring/alerts.yml", "monitoring/dashboard.json", "monitoring/check_triggers.py", "monitoring/triggers.json",
    "benchmarks/measurements.json",
    "proto/open_inference.proto", "deploy/kubernetes/base/deployment.yaml", "deploy/compose/compose.yaml",
}  # fmt: skip

Command = Callable[..., "subprocess.CompletedProcess[str]"]

#: Loads both pickles with onnxruntime and numpy only, and prints their answers to the example rows.
PICKLES = """
import json, pickle, sys
sys.path.insert(0, "model")
samples = json.load(open("examples/sample_requests.json"))
rows = [row for sample in samples["golden"] for row in sample["request"]["rows"]]
preprocessor, model = (pickle.load(open(f"model/{name}.pkl", "rb")) for name in ("preprocessor", "model_v1.0.0"))
answers = model.predict(preprocessor.transform(rows))
assert model.predict(rows) == answers
forbidden = {"model_deployer", "pydantic", "bentoml"}
print(json.dumps([answers, sorted(forbidden & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """A BentoML home with a network that is trained on the table."""
    folder = tmp_path_factory.mktemp("handoff")
    shutil.copy(table, folder)
    network = SMALL.replace("estimator: {", "estimator: {name: tabm, ")
    description = "description: Who leaves?\nowner: retention team\nholdout: {rows: 40, fields: all}\n"
    (folder / "model.yaml").write_text(
        f"name: customers\ndata: {{path: {table.name}, target: churn, ignore: [spend]}}\n{description}{network}"
    )
    _train(folder / "home")
    return folder / "home"


def _train(home: Path) -> str:
    completed = in_process.deployer("train", "--json", cwd=home.parent, home=home)
    assert completed.returncode == 0, completed.stderr
    return str(json.loads(completed.stdout)["tag"])


@pytest.fixture(scope="module")
def quick_deployer(home: Path) -> Command:
    """Runs a command next to the BentoML home; the first command installs the clean environment for all of them."""
    clean = home.parent / "clean"
    return partial(
        run,
        "python",
        "-P",
        str(ROOT / "tests" / "support" / "quick_deployer.py"),
        cwd=home.parent,
        BENTOML_HOME=str(home),
        CLEAN_ENVIRONMENT=str(clean),
        PYTHONPATH=str(ROOT),
    )


@pytest.fixture(scope="module")
def package(home: Path, quick_deployer: Command) -> Path:
    """The package of that model, written and verified by the command."""
    completed = quick_deployer("handoff", "customers:1.0.0", "-o", "model-package")
    assert completed.returncode == 0, completed.stderr
    return home.parent / "model-package"


def test_package_is_complete_and_verified(package: Path) -> None:
    """The package has every file that it promises, and every check of it passed."""
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert files >= TREE
    verification = json.loads((package / "VERIFICATION.json").read_text())
    assert verification["passed"]
    results = {check["name"]: check["result"] for check in verification["checks"]}
    # This check needs a container engine and an option of the command; tests/image runs it.
    assert results.pop("container") == results.pop("signature") == "not run"
    # If the machine is busy, the latencies are not held.
    assert results.pop("latencies") in ("passed", "not run")
    assert set(results.values()) == {"passed"}, results
    assert str(Path.home()) not in (package / "VERIFICATION.json").read_text()


def test_every_format_was_replayed_on_the_whole_test_part(package: Path) -> None:
    parity = json.loads((package / "model" / "parity.json").read_text())
    formats = {format_["name"]: format_ for format_ in parity["formats"]}
    rows = json.loads((package / "model" / "model_metadata.json").read_text())["evaluation"]["rows"]["test"]
    for name in ("service", "ONNX", "pickle", "joblib", "safetensors and torch program"):
        assert formats[name]["withheld"] is None
        assert formats[name]["test"]["rows"] == rows
        assert formats[name]["test"]["largest"] <= 1e-5
        assert formats[name]["test"]["flips"] == 0
    assert formats["SavedModel"]["files"] == []


def test_the_bill_of_materials_names_the_model_its_files_and_its_data(package: Path) -> None:
    text = (package / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document, metadata = json.loads(text), json.loads((package / "model" / "model_metadata.json").read_text())
    assert document["metadata"]["component"]["name"] == "customers"
    components = {component["bom-ref"]: component for component in document["components"]}
    model, data = components.pop("model"), components.pop("data")
    assert (model["type"], model["version"]) == ("machine-learning-model", "1.0.0")
    assert data["version"] == metadata["manifest"]["origin"]["data_version"]
    hashes = {file["name"]: file["hashes"][0]["content"] for file in model["components"]}
    assert hashes["model/model_v1.0.0.onnx"] == metadata["manifest"]["files"]["model.onnx"]
    assert {"model/predictor.py", "model/preprocessor.pkl", "model/model_v1.0.0.pkl"} <= hashes.keys()
    without_hashes = {component["name"] for component in components.values() if "hashes" not in component}
    assert without_hashes <= {"pip", "setuptools"}


def test_requirements_of_the_service_are_apart_from_those_of_the_tests(package: Path) -> None:
    runtime, tests = (
        [line.partition("==")[0] for line in (package / name).read_text().splitlines() if not line.startswith("#")]
        for name in ("requirements.txt", "tests/requirements.txt")
    )
    assert len(runtime) == len(set(runtime))
    assert {"bentoml", "onnxruntime", "numpy"} <= set(runtime)
    assert {"pytest", "joblib"} <= set(tests)
    assert not set(runtime) & set(tests)
    assert yaml.safe_load((package / "environment.yml").read_text())["name"] == "customers"


def test_pickles_answer_without_our_code(package: Path) -> None:
    """Both pickles answer as the service does, and load nothing of this project but predictor.py of the package."""
    completed = subprocess.run([sys.executable, "-c", PICKLES], cwd=package, capture_output=True, text=True, check=True)
    predictions, imported = json.loads(completed.stdout)
    assert imported == []
    samples = json.loads((package / "examples" / "sample_requests.json").read_text())
    expected = [prediction for sample in samples["golden"] for prediction in sample["answer"]["predictions"]]
    assert [prediction["decision"] for prediction in predictions] == [prediction["decision"] for prediction in expected]
    for prediction, served in zip(predictions, expected, strict=True):
        assert prediction["probabilities"] == pytest.approx(served["probabilities"], abs=samples["tolerance"])


def test_the_torch_program_answers_as_the_service_does(package: Path) -> None:
    command = [sys.executable, "model/torch_model.py"]
    completed = subprocess.run(command, cwd=package, capture_output=True, text=True, check=True)
    assert float(completed.stdout.split("at most ")[1].split()[0]) <= 1e-5


def test_a_second_package_does_not_go_over_the_first(package: Path, home: Path) -> None:
    before = (package / "SHA256SUMS").read_bytes()
    completed = run("deployer", "handoff", "-o", str(package), cwd=home.parent, BENTOML_HOME=str(home))
    assert completed.returncode == 2
    assert "is not empty" in completed.stderr
    assert (package / "SHA256SUMS").read_bytes() == before


def test_nothing_of_an_edited_package_is_run(package: Path, tmp_path: Path, quick_deployer: Command) -> None:
    """Everything that differs is named, and no program of the package is started."""
    edited = tmp_path / "edited"
    shutil.copytree(package, edited)
    card = edited / "docs" / "MODEL_CARD.md"
    card.write_text(card.read_text().replace("customers", "clients"), encoding="utf-8")
    (edited / "examples" / "more.py").write_text("")
    (edited / "examples" / "inference_example.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    (edited / "sbom.cdx.json").unlink()
    completed = quick_deployer("verify", str(edited), "-o", str(tmp_path / "report"))
    assert completed.returncode == 1
    for message in (
        "docs/MODEL_CARD.md was changed",
        "examples/more.py was added",
        "sbom.cdx.json is missing",
        "docs/MODEL_CARD.md does not match the data of the package",
        "examples/inference_example.py is not what this version of model-deployer writes",
    ):
        assert message in completed.stderr
    verification = json.loads((tmp_path / "report" / "VERIFICATION.json").read_text())
    assert not verification["passed"]
    results = {check["name"]: check["result"] for check in verification["checks"]}
    assert results["environment"] == results["example"] == results["start"] == results["requests"] == "not run"
    assert not (tmp_path / "run").exists()


def test_a_deployment_of_another_version_fails(
    package: Path, home: Path, tmp_path: Path, quick_deployer: Command
) -> None:
    other = tmp_path / "other"
    shutil.copytree(package, other)
    _shorten(other)
    with serve(["--arg", f"model={_train_second_version(home)}"], home, tmp_path / "log") as server:
        completed = quick_deployer("verify", str(other), "--url", server.url)
    assert completed.returncode == 1
    for message in (
        "API_SPEC.yaml differs from the OpenAPI document of the server",
        ", but this package is for customers:1.0.0",
        ": the answer differs from sample_requests.json",
    ):
        assert message in completed.stderr


def test_the_receiver_can_verify_a_package_alone(package: Path, tmp_path: Path) -> None:
    """verify.py needs nothing but Python, changes nothing in the package, and leaves nothing behind."""
    received = tmp_path / "received"
    shutil.copytree(package, received, ignore=shutil.ignore_patterns("__pycache__"))  # other tests ran its programs
    before = {path: path.stat().st_mtime_ns for path in received.rglob("*")}
    command = [sys.executable, "-I", str(received / "verify.py")]
    with tempfile.TemporaryDirectory(prefix="v") as temporary:  # a short path, because sockets are in it
        environment = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "TMPDIR": temporary}
        completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        left_behind = list(Path(temporary).iterdir())
    assert completed.returncode == 0, completed.stdout
    names = [
        "figures",
        "environment",
        "example",
        "tests offline",
        "start",
        "identity",
        "requests",
        "metrics",
        "latencies",
    ]
    for check in [*names, "latencies", "tests deployed", "end"]:
        assert f"{check:>15}  " in completed.stdout
    assert "FAILED" not in completed.stdout
    assert {path: path.stat().st_mtime_ns for path in received.rglob("*")} == before
    assert not left_behind


@pytest.mark.long
def test_the_receiver_can_measure_again(package: Path, tmp_path: Path) -> None:
    """Without options, measure.py starts the server of the package, and changes nothing in it."""
    received = tmp_path / "received"
    shutil.copytree(package, received, ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(received.rglob("*"))
    command = [sys.executable, "benchmarks/measure.py", "--seconds", "0.1"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(Path.home())}
    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=received, env=environment)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "In the package -> on this machine:" in completed.stdout
    assert sorted(received.rglob("*")) == files


def _shorten(package: Path) -> None:
    """Leave one path for schemathesis and no client; the `package` fixture has run them with everything."""
    specification = package / "docs" / "API_SPEC.yaml"
    document = yaml.safe_load(specification.read_text())
    document["paths"] = {"/predict": document["paths"]["/predict"]}
    specification.write_text(yaml.safe_dump(document))
    (specification.parent / "API_OTHER_SERVERS.yaml").unlink()
    (package / "examples" / "clients" / "clients.json").write_text("[]")
    write_checksums(package)


def _train_second_version(home: Path) -> str:
    """Train a second version and return its tag."""
    spec = home.parent / "model.yaml"
    spec.write_text(spec.read_text().replace("members: 2", "members: 3"))
    return _train(home)


def test_a_folder_that_is_no_package_is_told(tmp_path: Path) -> None:
    completed = run("deployer", "verify", str(tmp_path))
    assert completed.returncode == 2
    assert "does not contain a handoff package" in completed.stderr
