"""Record the origin of a model: everything that is needed to train it again."""

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model_deployer.contract.artifact import Provenance
from model_deployer.system.command import run
from model_deployer.training.runtime.imports import module_digests
from model_deployer.training.spec import Spec

#: The libraries that influence the weights or the graph, and this project.
LIBRARIES = (
    "lightgbm",
    "model-deployer",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "polars",
    "pytorch-lightning",
    "rtdl_num_embeddings",
    "scikit-learn",
    "skl2onnx",
    "tabm",
    "torch",
    "xgboost",
    "xgboost-cpu",
)


def provenance(data_version: str, spec: Spec, folder: Path) -> Provenance:
    """Return the origin of a model that is trained now.

    Args:
        data_version: The version of the table.
        spec: The model.yaml.
        folder: The folder of the model.yaml; its git commit is recorded.
    """
    return Provenance(
        data_version=data_version,
        query=spec.data.query,
        seed=spec.seed,
        git_commit=_commit(folder),
        python=platform.python_version(),
        libraries=library_versions(),
        modules=module_digests(spec.classes, folder),
    )


def library_versions() -> dict[str, str]:
    """Return the versions of those of the ``LIBRARIES`` that are installed."""
    versions = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _commit(folder: Path) -> str | None:
    """Return the checked-out commit, with a mark if files differ from it; None outside of a git repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        completed = run(command, timeout_seconds=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if completed.returncode else completed.stdout.strip() or None
