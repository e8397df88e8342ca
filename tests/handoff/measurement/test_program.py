"""benchmarks/measure.py, run as the receiver of a package runs it: with the package's own modules only."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_deployer.handoff.measurement.program import PROGRAM, write_program
from model_deployer.package.measurements import Measurements
from model_deployer.package.package_data import MEASUREMENTS, METADATA, SAMPLES
from tests.support import tiny
from tests.support.observed import MEASURED
from tests.support.processes import ROOT, Server

SECONDS = "0.2"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The files of a package that the program reads."""
    served = tmp_path / "bento" / "src" / "model_deployer"
    for part in ("contract", "serving", "system", "image"):
        shutil.copytree(ROOT / "model_deployer" / part, served / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "model_deployer" / "__init__.py", served / "__init__.py")
    write_program(tmp_path)
    golden = [{"case": "golden", "request": {"rows": [tiny.ROW]}, "status": 200, "answer": {}}]
    for name, content in (
        (SAMPLES, {"model": {}, "tolerance": 1e-5, "golden": golden, "edge": [], "invalid": []}),
        (METADATA, {"contract": tiny.CONTRACT.model_dump(mode="json")}),
        (MEASUREMENTS, MEASURED.model_dump(mode="json")),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def measure(package: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-I", PROGRAM, "--seconds", SECONDS, *options]
    return subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)


def files(package: Path) -> set[str]:
    return {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}


def test_it_measures_with_the_modules_of_the_package(package: Path, server: Server) -> None:
    """It needs no checkout, writes its figures to the file that it was given, and no other file."""
    before = files(package)
    completed = measure(
        package, "--url", server.url, "--pid", str(server.process.pid), "--cold-start", "1.5", "--output", "new.json"
    )
    assert completed.returncode == 0, completed.stderr
    assert "1 client, 1 row per request: p50" in completed.stdout
    measured = Measurements.model_validate_json((package / "new.json").read_bytes())
    assert measured.cold_start_seconds == 1.5
    assert measured.by_load[0].requests >= 50
    assert files(package) - before == {"new.json"}


def test_the_package_carries_only_the_modules_that_it_needs(package: Path) -> None:
    """Those of the Bento are not copied, and neither are those that only the project needs."""
    rooms = {
        path.relative_to(package / "benchmarks" / "src").parts[0] for path in package.rglob("benchmarks/src/**/*.py")
    }
    assert rooms == {"handoff", "package"}


def test_it_compares_with_the_figures_of_the_package(package: Path, server: Server) -> None:
    """Figures that differ come with a reason, and the sizing is that of this machine."""
    completed = measure(package, "--url", server.url, "--pid", str(server.process.pid))
    assert completed.returncode == 0, completed.stderr
    assert "In the package -> on this machine:" in completed.stdout
    assert "requests per second, at most: 4,321 -> " in completed.stdout
    assert (
        "figures differ by more than 15%, and by more than the range of their blocks. What can explain it:"
        in completed.stdout
    )
    assert "another machine: processor Example 9000, then " in completed.stdout
    assert "Memory limit: " in completed.stdout


def test_a_server_that_is_gone_is_an_error_in_one_line(package: Path) -> None:
    completed = measure(package, "--url", "http://127.0.0.1:9", "--pid", str(os.getpid()))
    assert completed.returncode == 1
    assert completed.stderr.startswith("error: 1 client, 1 row per request: no request got a prediction")
    assert len(completed.stderr.splitlines()) == 1


def test_url_and_process_belong_together(package: Path) -> None:
    completed = measure(package, "--url", "http://127.0.0.1:9")
    assert completed.returncode == 2
    assert "--url and --pid belong together" in completed.stderr
