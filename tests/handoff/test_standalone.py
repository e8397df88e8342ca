"""verify.py of a package: what is found out by reading the files alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from model_deployer.contract.artifact import Artifact, write_json
from model_deployer.contract.errors import UsageError
from model_deployer.contract.signing_keys import read_private_key
from model_deployer.handoff.attestation import write_attestation
from model_deployer.handoff.checksums import write_checksums
from model_deployer.handoff.standalone import verify
from model_deployer.package import package_data
from tests.support import written_package


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a key pair, and return the paths of the private and of the public key."""
    key = generate_private_key(SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the files that are compared, without documents and programs."""
    folder = written_package.write(tmp_path)
    artifact = Artifact(tmp_path / "files", package_data.read_package_data(folder).manifest)
    model = folder / "bento" / "models" / artifact.manifest.name / artifact.manifest.version
    shutil.copytree(artifact.path, model)
    (folder / "model").mkdir(exist_ok=True)
    shutil.copyfile(artifact.model, folder / "model" / f"model_v{artifact.manifest.version}.onnx")
    golden = list(artifact.golden())
    cases: list[dict[str, Any]] = [
        {"case": case.case, "request": {"rows": [case.row]}, "answer": {"predictions": [case.prediction]}}
        for case in golden
    ]
    samples = json.loads((folder / package_data.SAMPLES).read_text())
    full = [case | {"body": None, "headers": {}, "status": 200} for case in cases]
    write_json(folder / package_data.SAMPLES, samples | {"golden": full})
    write_json(folder / "VERIFICATION.json", {"checks": [], "figures": package_data.package_figures(folder)})
    shutil.copyfile(verify.__file__, folder / "verify.py")
    write_checksums(folder)
    return folder


def run(package: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", str(package / "verify.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def edited(package: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change a JSON file of a package."""
    content = json.loads((package / name).read_text())
    change(content)
    write_json(package / name, content)


def test_a_package_is_as_it_was_written(package: Path) -> None:
    assert verify.changed_files(package) == []
    assert verify.differing_figures(package) == []
    completed = run(package, "--only-read")
    assert completed.returncode == 0, completed.stdout
    assert "No check failed; not run: signature." in completed.stdout


def test_every_file_counts_and_each_is_named(package: Path) -> None:
    (package / "monitoring").mkdir(exist_ok=True)
    cache = package / "bento" / "src" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "service.pyc").write_bytes(b"code")
    (package / ".hidden").write_text("")
    (package / package_data.SPECIFICATION).unlink()
    (package / package_data.CLIENTS).write_text("[ ]")
    (package / "link").symlink_to("/etc/hostname")
    assert verify.changed_files(package) == [
        "docs/API_SPEC.yaml is missing",
        ".hidden was added",
        "bento/src/__pycache__/service.pyc was added",
        "link was added",
        "examples/clients/clients.json was changed",
    ]
    (package / verify.SUMS).write_text("no sums")
    assert verify.changed_files(package) == ["SHA256SUMS is missing or damaged"]


def test_the_environment_that_the_readme_makes_does_not_count(package: Path) -> None:
    (package / ".venv" / "bin").mkdir(parents=True)
    (package / ".venv" / "bin" / "python").write_text("")
    assert verify.changed_files(package) == []
    assert "is not used" in run(package, "--only-read").stdout


def test_nothing_of_a_changed_package_is_run(package: Path, tmp_path: Path) -> None:
    (package / "examples" / "inference_example.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    completed = run(package)
    assert completed.returncode == 1
    assert "inference_example.py was added" in completed.stdout
    assert "Nothing of the package was run." in completed.stdout
    assert "environment" not in completed.stdout
    assert not (tmp_path / "run").exists()


def forged(package: Path) -> dict[str, list[str]]:
    """Change one figure at a time, and the sums with it, and return what is found out."""
    changes: dict[str, tuple[str, Callable[[Any], None]]] = {
        "metric": (package_data.METADATA, lambda data: data["evaluation"].update(task="regression")),
        "limit": (package_data.METADATA, lambda data: data["contract"]["limits"].update(rows=7)),
        "origin": (package_data.METADATA, lambda data: data["manifest"]["origin"].update(seed=9)),
        "capacity": (package_data.MEASUREMENTS, lambda data: data.update(cold_start_seconds=0.1)),
        "answer": (
            package_data.SAMPLES,
            lambda data: data["golden"][0]["answer"]["predictions"][0].update(decision="x"),
        ),
    }
    results = {}
    for name, (file, change) in changes.items():
        original = (package / file).read_bytes()
        edited(package, file, change)
        write_checksums(package)
        assert verify.changed_files(package) == []
        results[name] = verify.differing_figures(package)
        (package / file).write_bytes(original)
    return results


def test_forged_figures_with_new_sums_are_named(package: Path) -> None:
    for name, problems in forged(package).items():
        assert problems, name


def test_another_graph_is_found_out(package: Path) -> None:
    (graph,) = (package / "model").glob("*.onnx")
    graph.write_bytes(graph.read_bytes() + b" ")
    assert verify.differing_figures(package) == [f"model/{graph.name} is not the graph of the model in bento/"]
    shutil.rmtree(package / "bento")
    assert verify.differing_figures(package) == ["bento does not hold the model tiny:1.0.0"]


def test_a_signature_proves_who_wrote_a_package(package: Path, tmp_path: Path) -> None:
    (private, public), (_, other) = keys(tmp_path, "author"), keys(tmp_path, "other")
    write_attestation(package, read_private_key(private), is_verified=True)
    assert verify.changed_files(package) == []
    assert "were signed by the owner of author.pub" in verify.signature(package, public)
    assert run(package, "--only-read", "--public-key", str(public)).returncode == 0
    with pytest.raises(verify.NotRun, match="name the key"):
        verify.signature(package, None)
    with pytest.raises(verify.Failed, match=r"not signed with the key other\.pub"):
        verify.signature(package, other)


def test_a_signed_package_cannot_be_forged_by_new_sums(package: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "author")
    write_attestation(package, read_private_key(private), is_verified=True)
    edited(package, package_data.MEASUREMENTS, lambda data: data.update(cold_start_seconds=0.1))
    write_json(package / "VERIFICATION.json", {"checks": [], "figures": package_data.package_figures(package)})
    write_checksums(package)
    assert verify.changed_files(package) == verify.differing_figures(package) == []
    with pytest.raises(verify.Failed, match=r"changed after signing: SHA256SUMS, VERIFICATION.json, benchmarks/meas"):
        verify.signature(package, public)
    completed = run(package, "--public-key", str(public))
    assert completed.returncode == 1
    assert "Nothing of the package was run." in completed.stdout
    edited(package, verify.ATTESTATION, lambda data: data.update(payload="e30="))
    with pytest.raises(verify.Failed, match="is damaged"):
        verify.signature(package, public)
    (package / verify.ATTESTATION).unlink()
    with pytest.raises(verify.Failed, match="is not signed"):
        verify.signature(package, public)


def test_a_file_without_a_key_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(UsageError, match="expected an EC private key"):
        read_private_key(tmp_path / "no.pem")


def test_what_a_server_states_is_compared(package: Path) -> None:
    metadata = package_data.read_metadata(package)
    model = {**metadata["manifest"], "contract": metadata["contract"], "evaluation": metadata["evaluation"]}
    assert verify.differing_statements(metadata, model) == []
    other = {**model, "version": "9.9.9", "evaluation": {"task": "other"}}
    problems = verify.differing_statements(metadata, other)
    assert problems[0] == 'GET /model: version is "9.9.9" in one file and "1.0.0" in another'
    assert len(problems) == 2


ROWS = [{"row": {"x": index}, "truth": float(index)} for index in range(100)]


def answers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Predict numbers with an error of 1 or 2."""
    return [{"value": row["x"] + 1.0 + row["x"] % 2} for row in rows]


def write_holdout(package: Path, is_weighted: bool, **metrics: float) -> None:
    """Write test rows into a package, and the metrics of the whole test part."""
    stated = {name: {"value": value, "low": value, "high": value} for name, value in metrics.items()}
    edited(package, package_data.METADATA, lambda data: data["evaluation"].update(metrics={"model": stated}))
    content = {"test_rows": 400, "is_weighted": is_weighted, "metrics": {"mae": 1.5, "rmse": 2.5}, "rows": ROWS}
    write_json(package / verify.HOLDOUT, content)


@pytest.mark.parametrize(
    ("is_weighted", "mae", "rmse", "problems"),
    [(False, 1.55, 1.6, 0), (False, 1.0, 1.6, 1), (False, 1.5, 0.9, 1), (True, 1.0, 0.9, 0)],
)
def test_metrics_are_measured_again_on_test_rows(
    package: Path, is_weighted: bool, mae: float, rmse: float, problems: int
) -> None:
    """They may differ from those of the whole test part as chance allows."""
    write_holdout(package, is_weighted, mae=mae, rmse=rmse)
    differing, words = verify.differing_metrics(package, answers)
    assert len(differing) == problems
    assert words == "mae 1.5, rmse 1.581 on 100 of 400 test rows"


def test_a_server_that_predicts_something_else_is_found_out(package: Path) -> None:
    write_holdout(package, is_weighted=True)
    differing, _ = verify.differing_metrics(package, lambda rows: [{"value": 0.0} for _ in rows])
    assert [problem.split()[0] for problem in differing] == ["mae", "rmse"]


def test_without_test_rows_the_metrics_are_not_measured(package: Path) -> None:
    with pytest.raises(verify.NotRun, match="holds no test rows"):
        verify.differing_metrics(package, answers)


def test_the_log_loss_is_that_of_the_truth() -> None:
    predictions = [{"probabilities": {"a": 0.25, "b": 0.75}}, {"probabilities": {"a": 0.0, "b": 1.0}}]
    losses = verify.losses_of_rows(predictions, ["b", "a"])["log_loss"]
    assert losses == pytest.approx([0.287682, 34.538776])


def test_answers_are_compared_with_a_tolerance() -> None:
    assert verify.are_close({"a": [1.0, "x"]}, {"a": [1.000001, "x"]}, 1e-5)
    for other in ({"a": [1.1, "x"]}, {"a": [1.0, "y"]}, {"a": [1.0]}, {"b": [1.0, "x"]}, None, {"a": [True, "x"]}):
        assert not verify.are_close({"a": [1.0, "x"]}, other, 1e-5)
