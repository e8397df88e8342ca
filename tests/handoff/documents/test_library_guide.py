"""The guide says how to predict without the service."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model_deployer.contract.artifact import Artifact
from model_deployer.handoff.documents import library_guide
from model_deployer.handoff.documents.documents import GUIDE, documents
from model_deployer.handoff.formats.graph_facts import graph_facts
from model_deployer.handoff.formats.library import write_library
from model_deployer.package.formats import Format
from model_deployer.package.package_data import write_metadata
from tests.support import tiny
from tests.support.packages import package_of


@pytest.mark.slow
def test_the_code_of_the_guide_predicts(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path / "files", tiny.write(tmp_path / "files"))
    model = tmp_path / "package" / "model"
    model.mkdir(parents=True)
    write_metadata(artifact, True, model.parent)
    write_library(model)
    (model / "model_v1.0.0.onnx").write_bytes(artifact.model.read_bytes())
    package = package_of(tiny.CONTRACT, tiny.EVALUATION)
    code = library_guide.library_code(package)
    assert code in documents(package)[GUIDE]
    printed = subprocess.run([sys.executable, "-c", code], cwd=model.parent, capture_output=True, text=True, check=True)
    (golden,) = artifact.golden()
    assert printed.stdout == f"[{golden.prediction}]\n"


def test_inputs_and_runtime_are_stated(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, tiny.write(tmp_path))
    package = replace(package_of(tiny.CONTRACT, tiny.EVALUATION), graph=graph_facts(artifact))
    guide = documents(package)[GUIDE]
    assert package.graph is not None
    assert f"ONNX Runtime {package.graph.runtime} in Python {package.graph.python}, and with no other runtime" in guide
    assert "`ai.onnx` 20 and `ai.onnx.ml` 4" in guide
    assert "| `booked` | float64 | The seconds since 1970-01-01T00:00:00 UTC, or NaN if it is missing. |" in guide
    assert "with columns `late` and `on_time`." in guide


def test_pickles_are_named_only_if_the_package_has_them() -> None:
    package = package_of(tiny.CONTRACT, tiny.EVALUATION)
    assert "As for every pickle" not in documents(package)[GUIDE]
    pickle = Format(name="pickle", files=("model/preprocessor.pkl",), about="The preprocessor.", tolerance=1e-5)
    assert "- `model/preprocessor.pkl`: The preprocessor." in documents(replace(package, formats=(pickle,)))[GUIDE]
