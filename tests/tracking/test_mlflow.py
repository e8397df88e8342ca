"""A real tracking server of MLflow gets a run and a model; its own client reads both, and the model answers as ours."""

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_deployer.api import Model
from model_deployer.contract import artifact as files
from model_deployer.contract.artifact import Artifact, open_artifact, seal
from model_deployer.tracking.tracking import track
from tests.support import tiny
from tests.support.processes import ROOT, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.clients]

MLFLOW = "mlflow==3.17.2"

ROWS = [tiny.ROW, tiny.ROW | {"temp": None, "carrier": None, "holiday": None}, tiny.ROW | {"origin": "EWR"}]

SPEC = "name: tiny\ndata: {path: t.csv, target: late}\ntracking: {mlflow: {uri: URI}}\n"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with MLflow, and with the packages of this one behind it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", MLFLOW]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    if done.returncode:
        pytest.skip(f"{MLFLOW} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def uri(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server with a database."""
    folder, uri = tmp_path_factory.mktemp("server"), f"http://127.0.0.1:{free_port()}"
    command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rpartition(":")[2]]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--workers", "1"], stdout=log, stderr=log)
    try:
        until(lambda: _is_healthy(uri) or process.poll() is not None, seconds=120)
        assert process.poll() is None, (folder / "log").read_text()
        yield uri
    finally:
        process.terminate()
        process.wait(30)


def _is_healthy(uri: str) -> bool:
    try:
        return httpx.get(f"{uri}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def artifact(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("model")
    metrics = {"model": {"log_loss": {"value": 0.3, "low": 0.25, "high": 0.35}}}
    history = [{"epoch": number, "train_loss": 1 / number, "validation_loss": 0.5} for number in (1, 2, 4)]
    manifest = tiny.write(folder, evaluation={"metrics": metrics, "history": history})
    (folder / files.SPEC).write_text(SPEC.replace("URI", uri))
    (folder / files.MANIFEST).unlink()
    seal(folder, manifest)
    return open_artifact(folder)


@pytest.fixture(scope="module")
def recorded(python: Path, uri: str, artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What MLflow's own client reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(python))
        assert [(each.place, each.reason) for each in track(artifact)] == [("models:/tiny/1", None)]
    rows = tmp_path_factory.mktemp("rows") / "rows.json"
    rows.write_text(json.dumps(ROWS))
    command = [str(python), str(ROOT / "tests" / "clients" / "mlflow_tracking.py"), uri, str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return content


def test_the_run_has_the_figures_the_curve_and_the_data(recorded: dict[str, Any]) -> None:
    figures = {name: recorded["metrics"][name] for name in ("log_loss", "log_loss.low", "log_loss.high")}
    assert figures == {"log_loss": 0.3, "log_loss.low": 0.25, "log_loss.high": 0.35}
    assert recorded["history"] == [1, 0.5, 0.25]
    assert recorded["parameters"] == {"name": "tiny", "data.path": "t.csv", "data.target": "late"}
    assert recorded["dataset"] == ["sha256:0"]


def test_run_and_version_name_the_model_of_the_store(recorded: dict[str, Any], artifact: Artifact) -> None:
    digest = files.sha256(artifact.path / files.MANIFEST)
    for tags in (recorded["tags"], recorded["version"]):
        assert tags["model_deployer.tag"] == "tiny:1.0.0"
        assert tags["model_deployer.manifest_sha256"] == digest


def test_the_registered_model_answers_as_the_service(recorded: dict[str, Any], artifact: Artifact) -> None:
    expected = Model(artifact).predict(ROWS)
    flat = [
        {"decision": each["decision"]} | {f"probabilities.{name}": p for name, p in each["probabilities"].items()}
        for each in expected
    ]
    assert recorded["answers"] == [pytest.approx(each) for each in flat]


def test_it_refuses_what_the_service_refuses(recorded: dict[str, Any]) -> None:
    assert recorded["refusal"].startswith("3 problems: row 0, distance: expected a number from 0 to 5000")
