"""A candidate answers in the shadow of a real server, and its end, its hang and its memory never touch callers."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest

from tests.support import tiny
from tests.support.processes import Server, run, serve, until

pytestmark = pytest.mark.slow

LOAD_THREADS = 4


@contextmanager
def shadowed(folder: Path, **variables: str) -> Iterator[Server]:
    """A server of served:1.0.0, in whose shadow served:1.1.0 gives the opposite answers."""
    tiny.save(folder / "champion", "served", "1.0.0")
    manifest = tiny.write(folder / "candidate", "served", "1.1.0", opposite=True)
    home = tiny.home_of(folder / "home", folder / "candidate", manifest)
    settings: Mapping[str, str] = {
        "DEPLOYER_SHADOW": "served:1.1.0",
        "DEPLOYER_SHADOW_SHARE": "1",
        "DEPLOYER_CAPTURE": str(folder / "store"),
        "DEPLOYER_CAPTURE_SHARE": "1",
        "DEPLOYER_CAPTURE_SECONDS": "0.1",
        **variables,
    }
    with serve(["--arg", "model=served:1.0.0"], home, folder / "log", variables=settings) as server:
        yield server


def counted(server: Server, result: str) -> float:
    return server.metric(f'model_shadow_rows_total{{result="{result}"}}')


def ask(server: Server, row: Mapping[str, Any] = tiny.ROW, request_id: str = "request") -> httpx.Response:
    return httpx.post(f"{server.url}/predict", json={"rows": [row]}, headers={"x-request-id": request_id})


def asked_until(server: Server, condition: Callable[[], bool]) -> None:
    """Ask until a condition is true: rows are dropped while the candidate is started."""

    def ask_and_test() -> bool:
        assert ask(server).status_code == 200
        return condition()

    until(ask_and_test, seconds=60)


def process_of(server: Server) -> psutil.Process | None:
    """The process of the candidate."""
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any("shadow_model" in part for part in child.cmdline()):
                return child
    return None


def test_answers_are_compared_and_become_a_trial(tmp_path: Path) -> None:
    with shadowed(tmp_path) as server:
        asked_until(server, lambda: counted(server, "flip") > 0)
        flips = counted(server, "flip")
        for index in range(3):
            answer = ask(server, tiny.ROW, f"labelled-{index}").json()
        labels = [{"request_id": f"labelled-{index}", "row": 0, "label": "on_time"} for index in range(3)]
        assert httpx.post(f"{server.url}/feedback", json={"labels": labels}).status_code == 202
        until(lambda: counted(server, "flip") >= flips + 3)
        process = process_of(server)
        assert process is not None
        assert (process.nice(), process.num_threads() < 20) == (15, True)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    table = pl.read_parquet(tmp_path / "store" / "shadow", hive_partitioning=True, glob=True)
    row = table.filter(pl.col("request_id") == "labelled-2").to_dicts()[0]
    assert (row["candidate"], row["result"], row["version"]) == ("served:1.1.0", "flip", "1.0.0")
    (prediction,) = answer["predictions"]
    assert row["output.decision"] == prediction["decision"] != row["candidate.decision"]
    late = row["candidate.probabilities.late"]
    assert late == pytest.approx(prediction["probabilities"]["on_time"])
    store = str(tmp_path / "store")
    command = (
        "deployer",
        "replay",
        "--traffic",
        store,
        "--candidate",
        "served:1.1.0",
        "--shadow",
        "--block",
        "request",
    )
    done = run(*command, BENTOML_HOME=str(server.home))
    assert done.returncode == 4, done.stderr
    assert "served:1.1.0 against served:1.0.0: open" in done.stdout
    assert "3 of them with a label" in done.stdout


def test_a_killed_and_a_stopped_shadow_never_touch_callers(tmp_path: Path) -> None:
    with shadowed(tmp_path) as server, load(server) as statuses:
        for ending in (signal.SIGKILL, signal.SIGSTOP):
            until(lambda: process_of(server) is not None)
            process, flips = process_of(server), counted(server, "flip")
            assert process is not None
            until(lambda before=flips: counted(server, "flip") > before, seconds=60)  # type: ignore[misc]
            process.send_signal(ending)
            until(lambda before=process: is_replaced(server, before), seconds=60)  # type: ignore[misc]
            flips = counted(server, "flip")
            until(lambda before=flips: counted(server, "flip") > before, seconds=60)  # type: ignore[misc]
        assert counted(server, "dropped") + counted(server, "failed") > 0
    assert set(statuses) == {200}
    assert "the process of the shadow has ended; it is started again" in (tmp_path / "log").read_text()


def is_replaced(server: Server, process: psutil.Process) -> bool:
    new = process_of(server)
    return new is not None and new.pid != process.pid


@contextmanager
def load(server: Server) -> Iterator[list[int]]:
    """Send requests from several threads, and yield the statuses of their answers."""
    statuses: list[int] = []
    stopped = threading.Event()

    def ask_again() -> None:
        with httpx.Client() as client:
            while not stopped.wait(0.01):
                statuses.append(client.post(f"{server.url}/predict", json=tiny.ROW, timeout=30).status_code)

    threads = [threading.Thread(target=ask_again) for _ in range(LOAD_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_a_candidate_without_memory_is_dropped(tmp_path: Path) -> None:
    with shadowed(tmp_path, DEPLOYER_SHADOW_MEMORY_MB="16") as server:
        until(lambda: "the process of the shadow has ended" in server.log.read_text())
        assert ask(server).status_code == 200
        assert counted(server, "dropped") == 1


def test_a_candidate_that_cannot_be_asked_is_refused_at_the_start(tmp_path: Path) -> None:
    tiny.save(tmp_path / "champion", "served", "1.0.0")
    manifest = tiny.write(tmp_path / "candidate", "served", "2.0.0", tiny.OF_A_NUMBER)
    home = tiny.home_of(tmp_path / "home", tmp_path / "candidate", manifest)
    done = run(
        "bentoml", "serve", "--arg", "model=served:1.0.0", BENTOML_HOME=str(home), DEPLOYER_SHADOW="served:2.0.0"
    )
    assert done.returncode != 0
    assert "serving.shadow: served:2.0.0 predicts something else than served:1.0.0" in done.stdout + done.stderr
