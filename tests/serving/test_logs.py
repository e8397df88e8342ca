"""Every line of a server is a JSON object on one stream, also those of libraries."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import polars as pl
import pytest

from tests.support import tiny
from tests.support.processes import ROOT
from tests.support.servers import Profile, SharedServers

PARQUET = {"content-type": "application/vnd.apache.parquet"}

TRACKING = """
from bentoml._internal.utils.analytics import usage_stats
before = usage_stats.do_not_track()
import service
print(before, usage_stats.do_not_track())
"""

FAILURES = """
import threading
import warnings
from model_deployer.serving.observability import logs

logs.configure_process()
warnings.warn("careful")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise ValueError("the end")
"""


def test_all_lines_are_objects(servers: SharedServers) -> None:
    """BentoML's line about the start, those of the workers, and gRPC's about a process that reads a file."""
    server = servers.get(Profile(speaks_grpc=True))
    table = io.BytesIO()
    pl.DataFrame([tiny.ROW]).write_parquet(table)
    assert httpx.post(f"{server.url}/predict", content=table.getvalue(), headers=PARQUET).status_code == 200
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert all({"time", "level", "message", "logger"} <= line.keys() for line in lines)
    assert [line for line in lines if f"listening on http://localhost:{server.port}" in line["message"]]


def test_warnings_and_exceptions_are_objects() -> None:
    completed = subprocess.run([sys.executable, "-c", FAILURES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout) == (1, "")
    warning, in_thread, last = map(json.loads, completed.stderr.splitlines())
    assert (warning["level"], warning["logger"]) == ("warning", "py.warnings")
    assert "careful" in warning["message"]
    assert "ZeroDivisionError" in in_thread["exception"]
    assert (last["level"], last["exception"].splitlines()[-1]) == ("critical", "ValueError: the end")


@pytest.mark.slow
@pytest.mark.parametrize(("variable", "expected"), [("1", "False True"), ("False", "False False")])
def test_nothing_is_tracked_unless_it_is_wanted(tmp_path: Path, variable: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BENTOML_DO_NOT_TRACK"}
    environment |= {"BENTOML_HOME": str(tiny.home(tmp_path / "home", "1.0.0"))}
    environment |= {} if variable is None else {"BENTOML_DO_NOT_TRACK": variable}
    completed = subprocess.run(
        [sys.executable, "-c", TRACKING], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == expected
