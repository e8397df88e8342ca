"""A server for each of BentoML's settings that the service supports, and for some that it refuses."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import certificates, tiny
from tests.support.processes import Server, run, serve, until

pytestmark = pytest.mark.slow

PAGE, OTHER_PAGE = "https://shop.example", "https://evil.example"
KEY = "the-key-of-a-page"

CORS = """
http:
  cors:
    enabled: true
    access_control_allow_origins: ["https://shop.example"]
    access_control_allow_methods: [GET, POST]
    access_control_allow_headers: [Content-Type, X-API-Key]
    access_control_allow_credentials: true
    access_control_expose_headers: [X-Request-ID]
"""


@contextmanager
def configured(folder: Path, services: str, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Start a server with a configuration.yaml whose section ``services`` has these settings."""
    file = folder / "configuration.yaml"
    lines = "".join(f"  {line}\n" for line in services.strip().splitlines())
    file.write_text(f"services:\n  metrics: {{enabled: false}}\n{lines}")
    variables = {"DEPLOYER_CONFIGURATION": str(file), "DEPLOYER_API_KEYS": KEY, "DEPLOYER_LOG_REQUESTS": "all"}
    home = tiny.home(folder / "home", "1.0.0")
    with serve([], home, folder / "log", variables=variables, tls=tls) as server:
        yield server


# CORS (https://fetch.spec.whatwg.org/#http-cors-protocol)


@pytest.fixture(scope="module")
def cors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with configured(tmp_path_factory.mktemp("cors"), CORS) as server:
        yield server


@pytest.mark.parametrize("path", ["/predict", "/model", "/score", "/v1/models/served:predict", "/livez"])
def test_a_page_may_ask_before_it_sends(cors: Server, path: str) -> None:
    question = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-api-key"}
    answer = httpx.options(cors.url + path, headers={"origin": PAGE} | question)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert httpx.options(cors.url + path, headers={"origin": OTHER_PAGE} | question).status_code == 400


@pytest.mark.parametrize(
    ("path", "row", "key", "status"),
    [
        ("/predict", tiny.ROW, KEY, 200),
        ("/predict", {}, KEY, 422),
        ("/predict", tiny.ROW, "", 401),
        ("/score", {"data": [tiny.ROW]}, KEY, 200),
        ("/nothing", {}, KEY, 404),
    ],
)
def test_a_page_reads_answers_and_errors(
    cors: Server, path: str, row: dict[str, object], key: str, status: int
) -> None:
    answer = httpx.post(cors.url + path, json=row, headers={"origin": PAGE, "x-api-key": key})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-expose-headers"] == "X-Request-ID"
    assert "Origin" in answer.headers["vary"]
    other = httpx.post(cors.url + path, json=row, headers={"origin": OTHER_PAGE, "x-api-key": key})
    assert "access-control-allow-origin" not in other.headers
    without = httpx.post(cors.url + path, json=row, headers={"x-api-key": key})
    assert (without.status_code, "access-control-allow-origin" in without.headers) == (status, False)


# Others


def test_a_server_has_the_certificate_of_its_settings(tmp_path: Path) -> None:
    certificate, key = certificates.write(tmp_path)
    services = f"ssl: {{enabled: true, certfile: {certificate}, keyfile: {key}}}"
    trusted = certificates.client_context(certificate)
    with configured(tmp_path, services, trusted) as server:
        answer = httpx.post(f"{server.url}/predict", json=tiny.ROW, headers={"x-api-key": KEY}, verify=trusted)
        assert answer.status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/livez")


def test_bentomls_access_log_and_workers(tmp_path: Path) -> None:
    with configured(tmp_path, "workers: 2\nbacklog: 128\nlogging: {access: {enabled: true}}") as server:
        assert len(server.workers()) == 2
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW, headers={"x-api-key": KEY}).status_code == 200
        until(lambda: "path=/predict" in server.log.read_text())  # the line follows the answer


@pytest.mark.parametrize("variable", ["DEPLOYER_CONFIGURATION", "BENTOML_CONFIG"])
def test_a_refused_setting_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text("services:\n  metrics: {enabled: true}\n")
    monkeypatch.setenv(variable, str(file))
    completed = run("bentoml", "serve", BENTOML_HOME=str(tiny.home(tmp_path / "home", "1.0.0")))
    assert completed.returncode == 1
    assert f"{file}:2: services.metrics.enabled: only `enabled: false` is possible" in completed.stderr
    assert "Traceback" not in completed.stderr
