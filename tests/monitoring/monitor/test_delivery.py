"""What a monitor reports reaches files, a Pushgateway, a webhook and a reader; each piece of news once."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_deployer.api import Model
from model_deployer.contract.errors import EnvironmentFault, UsageError
from model_deployer.monitoring.monitor.delivery import Targets, deliver
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.traffic.traffic_files import open_files
from tests.support import parcels
from tests.support.case_ids import case_id
from tests.support.parcels import World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(parcel_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A traffic store of a world whose distances arrive in metres."""
    folder = tmp_path_factory.mktemp("store")
    parcels.write_traffic(folder, parcel_model, World(sent=lambda rows: rows.with_columns(pl.col("distance") * 1000)))
    return folder


@pytest.fixture(scope="module")
def report(parcel_model: Model, store: Path) -> MonitorReport:
    return parcels.watched(parcel_model, store)


@dataclass
class Receiver:
    """A server that keeps what it gets."""

    url: str
    status: int = 200
    requests: list[tuple[str, str, str, bytes]] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def _keep(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.requests.append((self.command, self.path, self.headers["content-type"], body))
            self.send_response(got.status)
            self.end_headers()

        do_POST = do_PUT = _keep  # noqa: N815 (the names of http.server)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    got = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield got
    server.shutdown()
    server.server_close()


def send(report: MonitorReport, state: Path, **targets: Any) -> None:
    deliver(report, Targets(state=state, **targets), open_files(str(state.parent)))


def test_metrics_have_stable_names_and_reach_a_pushgateway(report: MonitorReport, tmp_path: Path) -> None:
    with receiver() as got:
        send(report, tmp_path / "state", textfile=tmp_path / "parcels.prom", push=got.url)
    text = (tmp_path / "parcels.prom").read_text()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    model = (("model", "parcels"), ("version", "1.0.0"))
    assert samples["model_monitor_verdict", ("action", "fix the data"), *model] == 1
    assert samples["model_monitor_verdict", ("action", "retrain"), *model] == 0
    assert (
        samples["model_monitor_data_fault_share", ("fault", "unit"), ("field", "distance"), *model[:1], model[1]] == 1
    )
    assert samples["model_monitor_rows_a_day", *model] == 3000
    ((method, path, media_type, body),) = got.requests
    assert (method, path) == ("PUT", "/metrics/job/model_monitor/model/parcels")
    assert media_type.startswith("text/plain")
    assert body.decode() == text


@pytest.mark.parametrize("message_format", ["slack", "alertmanager", "cloudevents"], ids=case_id)
def test_news_is_sent_once(report: MonitorReport, tmp_path: Path, message_format: str) -> None:
    with receiver() as got:
        for _ in range(2):
            send(report, tmp_path / "state", webhook=got.url, message_format=message_format)
        assert len(got.requests) == 1
        later = report.model_copy(update={"verdict": report.verdict.model_copy(update={"action": "retrain"})})
        send(later, tmp_path / "state", webhook=got.url, message_format=message_format)
    assert len(got.requests) == 2
    content = json.loads(got.requests[0][3])
    if message_format == "slack":
        assert content["text"].startswith("parcels:1.0.0: Fix the data: 'distance' is broken")
        assert "multiplied by 1,000" in content["blocks"][0]["text"]["text"]
    elif message_format == "alertmanager":
        (alert,) = content
        assert (alert["labels"]["severity"], alert["labels"]["owner"]) == ("critical", "backend engineer")
        assert datetime.fromisoformat(alert["startsAt"]) < datetime.fromisoformat(alert["endsAt"])
    else:
        assert (content["specversion"], content["subject"]) == ("1.0", "parcels:1.0.0")
        assert content["data"]["verdict"]["action"] == "fix the data"


def test_a_message_that_was_refused_is_sent_again(report: MonitorReport, tmp_path: Path) -> None:
    with receiver() as got:
        got.status = 503
        with pytest.raises(EnvironmentFault, match="refused what was sent: status 503"):
            send(report, tmp_path / "state", webhook=got.url, html=tmp_path / "page.html")
        assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
        got.status = 200
        send(report, tmp_path / "state", webhook=got.url)
    assert len(got.requests) == 2
    with pytest.raises(EnvironmentFault, match=r"^127\.0\.0\.1 cannot be reached"):
        send(report, tmp_path / "other", webhook=f"{got.url}/secret")
    with pytest.raises(UsageError, match="--format: expected slack, alertmanager, cloudevents"):
        Targets(message_format="teams")
