"""Which part may know which: what the overview draws, held against what Python really loads."""

import subprocess
import sys

import pytest

from tests.processes import ROOT

PARTS = {"cli", "contract", "deployment", "handoff", "serving", "training"}
HEAVY = {"torch", "pytorch_lightning", "sklearn", "polars", "pandas", "onnx"}


def loaded_by(module: str) -> set[str]:
    """The top-level packages that are there once ``module`` is imported."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["contract.features", "contract.outputs", "contract.contract", "contract.difference"]
)
def test_the_contract_knows_no_other_part_and_no_framework(module: str) -> None:
    assert loaded_by(module) & (PARTS | HEAVY | {"bentoml"}) == {"contract"}


def test_the_store_adds_bentoml_and_nothing_else() -> None:
    loaded = loaded_by("contract.store")
    assert loaded & PARTS == {"contract"}
    assert "torch" not in loaded


@pytest.mark.parametrize("module", ["serving.gateway", "serving.selection", "serving.logs", "serving.startup"])
def test_serving_takes_no_more_than_it_needs(module: str) -> None:
    assert not loaded_by(module) & (HEAVY | {"training", "cli", "grpc"})


def test_where_grpc_listens_is_known_without_grpc() -> None:
    assert not loaded_by("serving.grpc.address") & {"grpc", "google", "bentoml"}


def test_training_knows_neither_serving_nor_the_commands() -> None:
    assert loaded_by("training.run") & PARTS == {"contract", "training"}


def test_documents_are_written_from_a_contract_and_what_serving_says_of_itself() -> None:
    assert not loaded_by("handoff.documents") & (HEAVY | {"training", "cli", "bentoml", "onnxruntime"})


def test_definitions_are_written_from_what_a_package_says() -> None:
    loaded = loaded_by("deployment.targets")
    assert not loaded & (HEAVY | {"training", "cli", "bentoml", "onnxruntime"})


def test_what_a_package_says_is_read_without_knowing_what_becomes_of_it() -> None:
    assert not loaded_by("handoff.facts, handoff.sizing") & {"deployment", "training", "cli"}


def test_the_commands_wait_for_heavy_packages_until_they_need_them() -> None:
    assert not loaded_by("cli.app") & (HEAVY | {"training", "serving", "handoff", "deployment"})
