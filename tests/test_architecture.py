"""Which part may know which: what the overview draws, held against what Python really loads."""

import subprocess
import sys

import pytest

from tests.support.processes import ROOT

PARTS = {
    "adoption", "cli", "contract", "deployment", "handoff", "image", "monitoring", "package", "prediction", "serving",
    "system", "training",
}  # fmt: skip
HEAVY = {"torch", "pytorch_lightning", "sklearn", "polars", "pandas", "onnx"}


def loaded_by(module: str) -> set[str]:
    """The top-level packages, and the rooms of this one, that are there once ``module`` is imported."""
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.removeprefix("model_deployer.").partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "module",
    [
        "model_deployer.contract.features",
        "model_deployer.contract.outputs",
        "model_deployer.contract.contract",
        "model_deployer.contract.difference",
    ],
)
def test_the_contract_knows_no_other_part_and_no_framework(module: str) -> None:
    assert loaded_by(module) & (PARTS | HEAVY | {"bentoml"}) == {"contract"}


def test_the_store_adds_bentoml_and_nothing_else() -> None:
    loaded = loaded_by("model_deployer.contract.store")
    assert loaded & PARTS == {"contract"}
    assert "torch" not in loaded


@pytest.mark.parametrize(
    "module",
    [
        "model_deployer.serving.gateway",
        "model_deployer.serving.config.model_selection",
        "model_deployer.serving.observability.logs",
        "model_deployer.serving.config.startup_errors",
    ],
)
def test_serving_takes_no_more_than_it_needs(module: str) -> None:
    assert not loaded_by(module) & (HEAVY | {"training", "cli", "grpc"})


def test_where_grpc_listens_is_known_without_grpc() -> None:
    assert not loaded_by("model_deployer.serving.grpc.address") & {"grpc", "google", "bentoml"}


def test_training_knows_neither_serving_nor_the_commands() -> None:
    assert loaded_by("model_deployer.training.fit") & PARTS <= {"adoption", "contract", "system", "training"}


def test_documents_need_no_training_and_no_engine() -> None:
    """Documents are written from a contract and what serving says about itself."""
    assert not loaded_by("model_deployer.handoff.documents.documents") & (
        HEAVY | {"training", "cli", "bentoml", "onnxruntime"}
    )


def test_definitions_are_written_from_what_a_package_says() -> None:
    loaded = loaded_by("model_deployer.deployment.targets")
    assert not loaded & (HEAVY | {"training", "cli", "bentoml", "onnxruntime"})


def test_package_data_knows_no_user_of_it() -> None:
    """What a package says is read without knowing what it is used for."""
    assert not loaded_by("model_deployer.package.package_data, model_deployer.package.sizing") & {
        "deployment",
        "training",
        "cli",
    }


def test_commands_import_heavy_packages_late() -> None:
    """The commands import heavy packages only when they need them."""
    assert not loaded_by("model_deployer.cli.app") & (HEAVY | {"training", "serving", "handoff", "deployment"})


def test_statistics_of_monitoring_need_numpy_only() -> None:
    folder = ROOT / "model_deployer/monitoring/statistics"
    modules = [f"model_deployer.monitoring.statistics.{path.stem}" for path in folder.glob("*.py")]
    assert not loaded_by(", ".join(modules)) & (
        PARTS - {"contract", "monitoring"} | HEAVY | {"scipy", "pydantic", "bentoml"}
    )
