"""From a model of the store to a package that is proved, and what becomes of one that was tampered with."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.acceptance.customers import SMALL
from tests.support import in_process
from tests.support.processes import ROOT, run, serve

TREE = {
    "README.md", "CHANGELOG.md", "VERIFICATION.md", "VERIFICATION.json", "SHA256SUMS", "sbom.cdx.json",
    "requirements.txt", "environment.yml", "Dockerfile", "bento/bento.yaml",
    "model/model_v1.0.0.pkl", "model/preprocessor.pkl", "model/model_metadata.json", "model/model_v1.0.0.onnx",
    "model/model_v1.0.0.joblib", "model/model_v1.0.0.safetensors", "model/torch_model.py",
    "docs/MODEL_CARD.md", "docs/MODEL_CARD.html", "docs/INTEGRATION_GUIDE.md", "docs/API_SPEC.yaml",
    "examples/inference_example.py", "examples/sample_requests.json", "tests/test_inference.py",
    "monitoring/alerts.yml", "monitoring/dashboard.json", "benchmarks/measurements.json",
    "proto/open_inference.proto", "deploy/kubernetes/base/deployment.yaml", "deploy/compose/compose.yaml",
}  # fmt: skip

Command = Callable[..., "subprocess.CompletedProcess[str]"]

#: Loads both pickles with onnxruntime and numpy alone, and prints what they answer to the rows of the examples.
PICKLES = """
import json, pickle, sys
sys.path.insert(0, "examples")
from inference_example import PickledModel
samples = json.load(open("examples/sample_requests.json"))
rows = [row for sample in samples["golden"] for row in sample["request"]["rows"]]
answers = PickledModel().predict(rows)
ours = {"contract", "serving", "training", "handoff", "bentoml"}
print(json.dumps([answers, sorted(ours & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """A BentoML home with a network that is learnt from the table."""
    folder = tmp_path_factory.mktemp("handoff")
    shutil.copy(table, folder)
    network = SMALL.replace("estimator: {", "estimator: {name: tabm, ")
    more = "description: Who leaves?\nowner: retention team\n" + network
    (folder / "model.yaml").write_text(
        f"name: customers\ndata: {{path: {table.name}, target: churn, ignore: [spend]}}\n{more}"
    )
    _train(folder / "home")
    return folder / "home"


def _train(home: Path) -> str:
    done = in_process.deployer("train", "--json", cwd=home.parent, home=home)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["tag"])


@pytest.fixture(scope="module")
def quick_deployer(home: Path) -> Command:
    """Runs a command next to the BentoML home. The first one installs the clean environment of all of them."""
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
    done = quick_deployer("handoff", "customers:1.0.0", "-o", "model-package")
    assert done.returncode == 0, done.stderr
    return home.parent / "model-package"


def test_the_package_holds_what_it_promises_and_everything_passed(package: Path) -> None:
    there = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert there >= TREE
    verification = json.loads((package / "VERIFICATION.json").read_text())
    assert verification["passed"]
    results = {check["name"]: check["result"] for check in verification["checks"]}
    # The image takes a container engine, and is asked for by an option; tests/image does.
    assert results.pop("container") == "not run"
    assert set(results.values()) == {"passed"}, results
    assert str(Path.home()) not in (package / "VERIFICATION.json").read_text()


def test_every_format_was_replayed_on_the_whole_test_part(package: Path) -> None:
    formats = {each["name"]: each for each in json.loads((package / "model" / "parity.json").read_text())["formats"]}
    rows = json.loads((package / "model" / "model_metadata.json").read_text())["evaluation"]["rows"]["test"]
    for name in ("service", "ONNX", "pickle", "joblib", "safetensors and torch program"):
        assert formats[name]["withheld"] is None
        assert formats[name]["test"]["rows"] == rows
        assert formats[name]["test"]["largest"] <= 1e-5
        assert formats[name]["test"]["flips"] == 0
    assert formats["SavedModel"]["files"] == []


def test_the_pickles_answer_as_the_service_does_without_anything_of_ours(package: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PICKLES], cwd=package, capture_output=True, text=True, check=True)
    answers, imported = json.loads(done.stdout)
    assert imported == []
    samples = json.loads((package / "examples" / "sample_requests.json").read_text())
    expected = [each for sample in samples["golden"] for each in sample["answer"]["predictions"]]
    assert [answer["decision"] for answer in answers] == [answer["decision"] for answer in expected]
    for answer, wanted in zip(answers, expected, strict=True):
        assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=samples["tolerance"])


def test_the_torch_program_answers_as_the_service_does(package: Path) -> None:
    command = [sys.executable, "model/torch_model.py"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=True)
    assert float(done.stdout.split("at most ")[1].split()[0]) <= 1e-5


def test_a_second_package_does_not_go_over_the_first(package: Path, home: Path) -> None:
    before = (package / "SHA256SUMS").read_bytes()
    done = run("deployer", "handoff", "-o", str(package), cwd=home.parent, BENTOML_HOME=str(home))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert (package / "SHA256SUMS").read_bytes() == before


def test_a_package_that_was_edited_is_not_believed_nor_a_deployment_of_another_version(
    package: Path, home: Path, tmp_path: Path, quick_deployer: Command
) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(package, edited)
    card = edited / "docs" / "MODEL_CARD.md"
    card.write_text(card.read_text().replace("customers", "clients"), encoding="utf-8")
    (edited / "examples" / "more.py").write_text("")
    (edited / "sbom.cdx.json").unlink()
    _shorten(edited)
    with serve(["--arg", f"model={_newer(home)}"], home, tmp_path / "log") as server:
        done = quick_deployer("verify", str(edited), "--url", server.url)
    assert done.returncode == 1
    for said in (
        "docs/MODEL_CARD.md was changed",
        "examples/more.py was added",
        "sbom.cdx.json is missing",
        "docs/MODEL_CARD.md does not follow from the package's figures",
        "API_SPEC.yaml is not the document that the server serves",
        "; this package is of customers:1.0.0",
        "is answered otherwise than sample_requests.json says",
    ):
        assert said in done.stderr
    verification = json.loads((edited / "VERIFICATION.json").read_text())
    assert not verification["passed"]
    assert {check["name"]: check["result"] for check in verification["checks"]}["tests offline"] == "passed"


def _shorten(package: Path) -> None:
    """Leave schemathesis one path and no client to run: with all of them they were run when the package was written."""
    specification = package / "docs" / "API_SPEC.yaml"
    document = yaml.safe_load(specification.read_text())
    document["paths"] = {"/predict": document["paths"]["/predict"]}
    specification.write_text(yaml.safe_dump(document))
    (package / "examples" / "clients" / "clients.json").write_text("[]")


def _newer(home: Path) -> str:
    """The tag of a second version."""
    spec = home.parent / "model.yaml"
    spec.write_text(spec.read_text().replace("members: 2", "members: 3"))
    return _train(home)


def test_a_folder_that_is_no_package_is_told(tmp_path: Path) -> None:
    done = run("deployer", "verify", str(tmp_path))
    assert done.returncode == 2
    assert "is no package of a model" in done.stderr
