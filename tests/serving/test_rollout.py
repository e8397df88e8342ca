"""A server that follows an alias: another version takes over without a lost request, and only if it can be served."""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest

from model_deployer.contract import artifact, promotion, store
from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from tests.support import tiny
from tests.support.in_process import model_store
from tests.support.processes import Server, serve, until

pytestmark = pytest.mark.slow

#: The clients that send requests all the time, one after another on a connection.
CLIENTS = 4


def set_champion(home: Path, version: str) -> None:
    with model_store(home):
        promotion.promote(f"served:{version}", force=True, reason="a test")


@contextmanager
def following(folder: Path, home: Path, workers: int, **settings_of_server: str) -> Iterator[Server]:
    """Run a server of the champion."""
    settings = folder / "settings.yaml"
    settings.write_text(f"services: {{ModelService: {{workers: {workers}}}}}\n")
    variables = {"BENTOML_CONFIG": str(settings), "TMPDIR": str(folder), **settings_of_server}
    with serve(["--arg", "model=served@champion"], home, folder / "log", variables=variables) as server:
        yield server


@dataclass
class Load:
    """What clients got while they sent requests.

    Attributes:
        answers: The status and the version of each answer, in the order of each client.
    """

    answers: list[list[tuple[int, str]]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])

    def versions(self) -> list[list[str]]:
        """Return the versions that answered each client, without repetitions."""
        return [[version for version, _ in groupby(version for _, version in client)] for client in self.answers]

    @property
    def statuses(self) -> set[int]:
        """The statuses of all answers."""
        return {status for client in self.answers for status, _ in client}


@contextmanager
def load(server: Server) -> Iterator[Load]:
    """Send requests from several clients until the end of the context; an error of a client is raised there."""
    result, stop, errors = Load(), threading.Event(), []

    def send(answers: list[tuple[int, str]]) -> None:
        try:
            with httpx.Client(timeout=30) as client:
                while not stop.is_set():
                    response = client.post(f"{server.url}/predict", json=tiny.ROW)
                    answers.append((response.status_code, response.json()["model"]["version"]))
        except Exception as error:  # of another thread
            errors.append(error)

    threads = [threading.Thread(target=send, args=(answers,)) for answers in result.answers]
    for thread in threads:
        thread.start()
    try:
        yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors


def lines(server: Server, message: str) -> list[dict[str, Any]]:
    """Return the lines of the log with a message."""
    entries = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry["message"].startswith(message)]


def rollouts(server: Server, result: str) -> float:
    return server.metric(f'model_rollouts_total{{result="{result}"}}')


def is_served(server: Server, version: str) -> float:
    return server.metric(f'model_info{{name="served",version="{version}"}}')


def save_with_another_contract(folder: Path, home: Path, version: str) -> None:
    """Save a version that answers with numbers."""
    with model_store(home):
        tiny.save(folder, "served", version, contract=tiny.OF_A_NUMBER)


def save_with_other_golden_answers(folder: Path, home: Path, version: str) -> None:
    """Save a version whose golden answers are not those of its graph."""
    manifest = tiny.write(folder, "served", version)
    golden = folder / artifact.GOLDEN
    golden.write_text(golden.read_text().replace('"late": 0.', '"late": 0.9'))
    (folder / artifact.MANIFEST).unlink()
    with model_store(home):
        store.save(folder, artifact.seal(folder, manifest))


def test_a_promotion_and_a_rollback_lose_no_request(tmp_path: Path) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0", "1.1.0")
    set_champion(home, "1.0.0")
    with following(tmp_path, home, workers=1) as server:
        with load(server) as answers:
            until(lambda: min(map(len, answers.answers)) > 20)
            set_champion(home, "1.1.0")
            until(lambda: rollouts(server, "done") == 1, seconds=60)
            assert (is_served(server, "1.0.0"), is_served(server, "1.1.0")) == (0, 1)
            with model_store(home):
                promotion.rollback("served")
            until(lambda: rollouts(server, "done") == 2, seconds=60)
        assert answers.statuses == {200}
        assert answers.versions() == [["1.0.0", "1.1.0", "1.0.0"]] * CLIENTS
        assert sum(map(len, answers.answers)) > 300
        assert not lines(server, "worker ended unexpectedly")
        assert len(server.workers()) == 1

        save_with_other_golden_answers(tmp_path / "broken", home, "1.2.0")
        set_champion(home, "1.2.0")
        until(lambda: rollouts(server, "failed") == 1, seconds=60)
        (line,) = lines(server, "the version that the alias names cannot be served")
        assert line["served"] == ["served:1.0.0"]
        assert "served:1.2.0 answers the golden case 'example' differently" in line["reason"]
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).json()["model"]["version"] == "1.0.0"
        assert not lines(server, "worker ended unexpectedly")
        assert "Traceback" not in server.log.read_text()

        set_champion(home, "1.1.0")
        (home / "models/served/1.1.0" / artifact.MODEL).write_bytes(b"")
        until(lambda: rollouts(server, "failed") == 2, seconds=60)
        assert artifact.MODEL in lines(server, "the version that the alias names cannot be served")[-1]["reason"]
        assert is_served(server, "1.0.0") == 1


def test_killed_workers_do_not_stop_a_promotion(tmp_path: Path) -> None:
    """The first worker with a new contract is killed while it starts; another takes its place."""
    home = tiny.home(tmp_path / "home", "1.0.0")
    save_with_another_contract(tmp_path / "another", home, "2.0.0")
    set_champion(home, "1.0.0")
    with following(tmp_path, home, workers=2) as server:
        old = {worker.pid for worker in server.workers()}
        with load(server) as answers:
            set_champion(home, "2.0.0")
            until(lambda: len(server.workers()) == 3, seconds=60)
            (new,) = (worker for worker in server.workers() if worker.pid not in old)
            new.kill()
            until(lambda: rollouts(server, "done") == 1, seconds=120)
        assert answers.statuses == {200}
        assert {client[0] for client in answers.versions()} == {"1.0.0"}
        assert {client[-1] for client in answers.versions()} == {"2.0.0"}
        until(lambda: len(server.workers()) == 2)
        answer = httpx.post(f"{server.url}/predict", json=tiny.ROW).json()
        assert set(answer["predictions"][0]) == {"value", "lower", "upper"}
        assert old.isdisjoint(worker.pid for worker in server.workers())
        (ended,) = lines(server, "worker ended unexpectedly")
        assert (ended["pid"], ended["reason"]) == (new.pid, "SIGKILL")


def runners_of(server: Server) -> list[psutil.Process]:
    """The processes of the runner."""
    return [worker for worker in server.workers() if "Runner" in worker.cmdline()]


def test_the_runner_of_the_next_version_is_ready_before_the_switch(tmp_path: Path) -> None:
    """No batch of either version runs elsewhere, and only the runner of the version that is served is left.

    The first new runner is killed while it starts, and one whose golden answers are wrong ends by itself.
    """
    home = tiny.home(tmp_path / "home", "1.0.0", "1.1.0")
    save_with_other_golden_answers(tmp_path / "broken", home, "1.2.0")
    set_champion(home, "1.0.0")
    # The path of a socket has a limit that those of the folders of tests exceed.
    variables = {"DEPLOYER_ENGINE": "runner", "TMPDIR": tempfile.gettempdir()}
    with following(tmp_path, home, workers=1, **variables) as server:
        (old,) = runners_of(server)
        folder = Path(old.environ()["BENTOML_RUNNER_MAP"].partition("file://")[2].partition('"')[0]).parent
        with load(server) as answers:
            until(lambda: min(map(len, answers.answers)) > 20)
            set_champion(home, "1.1.0")
            until(lambda: len(runners_of(server)) == 2, seconds=60)
            killed = next(runner for runner in runners_of(server) if runner != old)
            killed.kill()
            until(lambda: rollouts(server, "done") == 1, seconds=60)
            until(lambda: not old.is_running(), seconds=60)
            (new,) = runners_of(server)
            set_champion(home, "1.2.0")
            until(lambda: rollouts(server, "failed") == 1, seconds=60)
            until(lambda: runners_of(server) == [new])
            set_champion(home, "1.0.0")
            until(lambda: rollouts(server, "done") == 2, seconds=60)
        assert answers.statuses == {200}
        assert answers.versions() == [["1.0.0", "1.1.0", "1.0.0"]] * CLIENTS
        (line,) = lines(server, "the version that the alias names cannot be served")
        assert "served:1.2.0 answers the golden case 'example' differently" in line["reason"]
        assert not lines(server, "the runner does not answer")
        assert [line["pid"] for line in lines(server, "worker ended unexpectedly")] == [killed.pid]
        until(lambda: not new.is_running())
        assert [runner.environ()[MODEL_VARIABLE] for runner in runners_of(server)] == ["served:1.0.0"]
        assert len(list(folder.iterdir())) == 1

        (present,) = runners_of(server)
        present.kill()
        until(lambda: any(runner != present for runner in runners_of(server)), seconds=60)
        assert [runner.environ()[MODEL_VARIABLE] for runner in runners_of(server)] == ["served:1.0.0"]
        until(lambda: httpx.get(f"{server.url}/readyz").text.strip() == "ready", seconds=60)


def shadow_of(server: Server) -> int | None:
    """The id of the process of the candidate in the shadow."""
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any("shadow_model" in part for part in child.cmdline()):
                return int(child.pid)
    return None


def test_the_shadow_compares_with_the_next_version(tmp_path: Path) -> None:
    """It goes on in the same process, ends while its candidate is the champion, and comes back after a rollback."""
    home = tiny.home(tmp_path / "home", "1.0.0", "1.1.0")
    with model_store(home):
        tiny.save(tmp_path / "candidate", "served", "1.2.0", opposite=True)
    set_champion(home, "1.0.0")
    with model_store(home):
        promotion.promote("served:1.2.0", "challenger")
    store_folder = tmp_path / "store"
    settings = {
        "DEPLOYER_SHADOW": "served@challenger",
        "DEPLOYER_SHADOW_SHARE": "1",
        "DEPLOYER_CAPTURE": str(store_folder),
        "DEPLOYER_CAPTURE_SECONDS": "0.1",
    }

    def flips() -> float:
        return server.metric('model_shadow_rows_total{result="flip"}')

    def until_more_flips() -> None:
        before = flips()
        until(lambda: flips() > before, seconds=60)

    def has_shadow() -> bool:
        return server.metric('model_shadow_info{name="served",version="1.2.0"}') == 1

    with following(tmp_path, home, workers=1, **settings) as server:
        with load(server) as answers:
            until(lambda: flips() > 0, seconds=60)
            process = shadow_of(server)
            set_champion(home, "1.1.0")
            until(lambda: rollouts(server, "done") == 1, seconds=60)
            until_more_flips()
            assert (has_shadow(), shadow_of(server)) == (True, process)

            set_champion(home, "1.2.0")
            until(lambda: rollouts(server, "done") == 2, seconds=60)
            until(lambda: shadow_of(server) is None)
            assert not has_shadow()

            with model_store(home):
                promotion.rollback("served")
            until(lambda: rollouts(server, "done") == 3, seconds=60)
            until_more_flips()
            assert has_shadow()
        assert answers.statuses == {200}
        compared = [line["model"] for line in lines(server, "the shadow answers what the model answers")]
        assert compared == ["served:1.0.0", "served:1.1.0", "served:1.1.0"]
        (end,) = lines(server, "the model has no shadow")
        assert (end["model"], end["candidate"], end["reason"]) == (
            "served:1.2.0",
            "served@challenger",
            "no version has this alias now",
        )
    table = pl.read_parquet(store_folder / "shadow", hive_partitioning=True)
    assert set(table["version"]) == {"1.0.0", "1.1.0"}
    assert set(table["candidate"]) == {"served:1.2.0"}
