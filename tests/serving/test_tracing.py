"""OpenTelemetry tracing, configured through BentoML, with a collector that records the spans."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import httpx
import pytest

from tests.support import tiny
from tests.support.processes import serve

TRACE = "0af7651916cd43dd8448eb211c80319c"

SETTINGS = """
services:
  ModelService:
    tracing:
      exporter_type: otlp
      sample_rate: 1.0
      excluded_urls: livez,readyz,metrics
      otlp: {{protocol: http, endpoint: "http://127.0.0.1:{port}/v1/traces"}}
"""


@pytest.fixture
def spans() -> "Iterator[tuple[int, Queue[bytes]]]":
    """The port of a collector, and the spans that it received."""
    received: Queue[bytes] = Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector.server_port, received
        collector.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_trace_goes_on_where_tracing_is_configured(
    tmp_path: Path, spans: "tuple[int, Queue[bytes]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    port, received = spans
    settings = tmp_path / "settings.yaml"
    settings.write_text(SETTINGS.format(port=port))
    monkeypatch.setenv("BENTOML_CONFIG", str(settings))
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("DEPLOYER_LOG_REQUESTS", "all")
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "mine-3"}
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW, headers=headers).status_code == 200
        assert bytes.fromhex(TRACE) in received.get(timeout=30)
    (line,) = [line for line in server.log.read_text().splitlines() if '"request_id": "mine-3"' in line]
    assert f'"trace_id": "{TRACE}"' in line
