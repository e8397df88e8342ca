"""Trackers that are down, hang or are not installed change nothing but a line."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_deployer.contract import artifact as files
from model_deployer.contract.artifact import Artifact, open_artifact, seal
from model_deployer.tracking.tracking import track
from tests.support import tiny
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow


def model(folder: Path, keys: str) -> Artifact:
    manifest = tiny.write(folder)
    (folder / files.SPEC).write_text(f"name: tiny\ndata: {{path: t.csv, target: late}}\n{keys}\n")
    (folder / files.MANIFEST).unlink()
    seal(folder, manifest)
    return open_artifact(folder)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_without_trackers_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    assert track(model(tmp_path, "")) == []


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    if "mlflow" in sys.modules:
        pytest.skip("mlflow is installed")
    (tracked,) = track(model(tmp_path, "tracking: {mlflow: {}}"))
    assert tracked.place is None
    assert tracked.reason == "its package is not installed: pip install 'model-deployer[mlflow]'"


def test_a_tracker_that_takes_too_long_is_ended(
    tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process of the tracker waits for a server that never answers."""
    package = tmp_path / "packages" / "mlflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import urllib.request; urllib.request.urlopen('{silent}')")
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}{os.pathsep}{ROOT}")
    (tracked,) = track(model(tmp_path / "model", "tracking: {seconds: 2, mlflow: {}}"))
    assert tracked.reason == "it took longer than 2 seconds (tracking.seconds)"
    assert "`deployer track tiny:1.0.0` tries again" in "".join(capsys.readouterr())
