"""A server that follows an alias: another version takes over without a lost request, and only if it can be served."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_deployer.contract import artifact, promotion, store
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
def following(folder: Path, home: Path, workers: int) -> Iterator[Server]:
    """Run a server of the champion."""
    settings = folder / "settings.yaml"
    settings.write_text(f"services: {{ModelService: {{workers: {workers}}}}}\n")
    variables = {"BENTOML_CONFIG": str(settings), "TMPDIR": str(folder)}
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
    """The first worker with the new version is killed while it starts; another takes its place."""
    home = tiny.home(tmp_path / "home", "1.0.0", "1.1.0")
    set_champion(home, "1.0.0")
    with following(tmp_path, home, workers=2) as server:
        old = {worker.pid for worker in server.workers()}
        with load(server) as answers:
            set_champion(home, "1.1.0")
            until(lambda: len(server.workers()) == 3, seconds=60)
            (new,) = (worker for worker in server.workers() if worker.pid not in old)
            new.kill()
            until(lambda: rollouts(server, "done") == 1, seconds=120)
        assert answers.statuses == {200}
        assert {client[0] for client in answers.versions()} == {"1.0.0"}
        assert {client[-1] for client in answers.versions()} == {"1.1.0"}
        until(lambda: len(server.workers()) == 2)
        assert old.isdisjoint(worker.pid for worker in server.workers())
        (ended,) = lines(server, "worker ended unexpectedly")
        assert (ended["pid"], ended["reason"]) == (new.pid, "SIGKILL")
