"""The life of the workers of a server: what is logged and counted about it, and that none outlives its parent."""

import json
import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from model_deployer.serving.observability import metric_files
from tests.support import tiny
from tests.support.processes import Server, serve, until


def lines(server: Server, message: str) -> list[dict[str, Any]]:
    """Return the lines of the log with a message."""
    entries = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry["message"].startswith(message)]


def predict(server: Server, requests: int) -> None:
    statuses = [httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code for _ in range(requests)]
    assert statuses == [200] * requests


@pytest.mark.slow
def test_workers_are_watched_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("services: {ModelService: {workers: 2}}\n")
    monkeypatch.setenv("BENTOML_CONFIG", str(settings))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:
        until(lambda: len(lines(server, "Completed async startup hook")) == 2)
        predict(server, 20)
        assert {server.metric("model_rows_total") for _ in range(10)} == {20}
        assert server.metric("model_worker_starts_total") == 2
        assert server.metric("model_requests_in_progress") == 0
        for process in ("parent", "1", "2"):
            assert server.metric(f'process_resident_memory_bytes{{process="{process}"}}') > 10_000_000
            assert server.metric(f'process_cpu_seconds_total{{process="{process}"}}') > 0.1
        metric_files._remove_abandoned(tmp_path)  # as another server that starts now
        files = set(tmp_path.glob("model-deployer-metrics-*/*"))
        assert files

        server.process.send_signal(signal.SIGHUP)
        until(lambda: bool(lines(server, "SIGHUP has no effect")))
        killed, other = server.workers()
        killed.kill()
        until(lambda: server.metric('model_worker_ends_total{reason="SIGKILL"}') == 1)
        assert server.metric("model_worker_restarts_total") == 1
        (ended,) = lines(server, "worker ended unexpectedly")
        assert (ended["pid"], ended["reason"], ended["is_restarted"]) == (killed.pid, "SIGKILL", True)
        until(lambda: len(lines(server, "Completed async startup hook")) == 3)
        assert server.metric("model_worker_starts_total") == 3
        predict(server, 20)
        assert {server.metric("model_rows_total") for _ in range(10)} == {40}
        assert set(tmp_path.glob("model-deployer-metrics-*/*")) == files

        workers = server.workers()
        assert other.pid in {worker.pid for worker in workers}
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive
        metric_files._remove_abandoned(tmp_path)
        assert not list(tmp_path.glob("model-deployer-metrics-*"))
        with closing(socket.socket()) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", server.port))
            listener.listen()
