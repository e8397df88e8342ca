"""What a process started and wrote goes away with it, also if it is killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from model_deployer.system.janitor import temporary_folder
from tests.support.processes import ROOT

PROGRAM = """
import os, signal, subprocess, sys, time
from pathlib import Path
from model_deployer.system.janitor import owned_group, temporary_folder

with temporary_folder("kept-", Path(sys.argv[1])) as folder:
    (folder / "file").write_text("x")
    child = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], stdout=subprocess.DEVNULL, start_new_session=True)
    with owned_group(child.pid):
        print(child.pid, flush=True)
        try:
            time.sleep(float(sys.argv[2]))
        finally:
            os.killpg(child.pid, signal.SIGKILL)
"""


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_programs_and_folders_of_a_killed_process_go_away(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        assert process.stdout
        group = int(process.stdout.readline())
        sleeper = until(lambda: bool(psutil.Process(group).children())) and psutil.Process(group).children()[0]
        process.send_signal(number)
        process.wait()
    assert isinstance(sleeper, psutil.Process)
    assert until(lambda: not sleeper.is_running())
    assert until(lambda: not list(tmp_path.iterdir()))


def test_a_process_that_ends_leaves_no_second_process(tmp_path: Path) -> None:
    """The pipes of a caller are closed, too, so that it does not wait."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), "0"]
    completed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert completed.stderr == ""
    assert not list(tmp_path.iterdir())


def test_a_folder_is_removed_at_the_end_of_the_context(tmp_path: Path) -> None:
    with temporary_folder("kept-", tmp_path) as folder:
        assert folder.parent == tmp_path
    assert not folder.exists()
