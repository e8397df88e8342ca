"""Where a model comes from: what it takes to train it again."""

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model_deployer.contract.artifact import Provenance
from model_deployer.system.command import run

#: The libraries that shape the weights or the graph.
LIBRARIES = (
    "lightgbm",
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


def provenance(data_version: str, seed: int, folder: Path) -> Provenance:
    """The origin of a model that is trained now, from the model.yaml in ``folder``."""
    return Provenance(
        data_version=data_version,
        seed=seed,
        git_commit=_commit(folder),
        python=platform.python_version(),
        libraries=library_versions(),
    )


def library_versions() -> dict[str, str]:
    """The versions of the libraries that shape the weights or the graph, as far as they are installed."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _commit(folder: Path) -> str | None:
    """The commit that is checked out, marked where files differ from it; None outside of a git repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        completed = run(command, timeout_seconds=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if completed.returncode else completed.stdout.strip() or None
