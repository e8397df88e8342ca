"""What the log says about a request: every refusal can be found by its request id, and no value of a caller."""

import json
import socket
from typing import Any

import httpx
import pytest

from model_deployer.serving.observability.line_limit import BURST_LINES, LINES_PER_SECOND, LineLimit
from tests.support import tiny
from tests.support.processes import Server, until
from tests.support.servers import Profile, SharedServers

SHOP, UNNAMED, WRONG = "key-of-the-shop-1", "key-without-a-name", "key-that-is-wrong"
SECRET = "do-not-log-4711"

PROFILE = Profile(
    variables=(("DEPLOYER_API_KEYS", f"shop: {SHOP}, {UNNAMED}"), ("DEPLOYER_LOG_REQUESTS", "all")),
)


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(PROFILE)


@pytest.fixture(scope="module")
def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"x-api-key": SHOP})


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    """Return the line of a request, which is written before its response is sent."""
    (line,) = [line for line in lines(server) if line.get("request_id") == request_id]
    return line


def test_invalid_rows_are_described_without_their_values(server: Server, client: httpx.Client) -> None:
    row = tiny.ROW | {"distance": SECRET, "do-not-log-this-name": 1}
    body = json.dumps({"rows": [tiny.ROW, row, row]}).encode()
    answer = client.post("/predict", content=body, headers={"x-request-id": "invalid"})
    assert answer.status_code == 422
    line = line_of(server, "invalid")
    for varying in ("time", "milliseconds"):
        line.pop(varying)
    assert line == {
        "level": "info",
        "message": "request refused",
        "logger": "model_deployer",
        "request_id": "invalid",
        "method": "POST",
        "route": "/predict",
        "status": 422,
        "protocol": "native",
        "body_bytes": len(body),
        "key": "shop",
        "code": "invalid_rows",
        "problems": 4,
        "problem_rows": 2,
        "fields": ["distance", "other"],
        "problem_codes": ["unknown_field", "wrong_type"],
    }
    assert "do-not-log" not in server.log.read_text()


REFUSALS: dict[str, tuple[str, str, bytes, dict[str, str], int]] = {
    "malformed_body": ("POST", "/predict", b"{", {}, 400),
    "unauthorized": ("POST", "/predict", b"{}", {"x-api-key": WRONG}, 401),
    "body_too_large": ("POST", "/predict", b"x" * 5_000_000, {}, 413),
    "unsupported_media_type": ("POST", "/predict", b"x", {"content-type": "text/plain"}, 415),
    "method_not_allowed": ("GET", "/predict", b"", {}, 405),
    "not_found": ("GET", f"/{SECRET}", b"", {}, 404),
    "method_not_allowed of a probe": ("POST", "/livez", b"", {}, 405),
    "malformed_body of SageMaker": ("POST", "/invocations", b"{", {}, 400),
    "malformed_body of TensorFlow Serving": ("POST", "/v1/models/served:predict", b"{", {}, 400),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_found_by_its_request_id(server: Server, client: httpx.Client, name: str) -> None:
    method, path, content, headers, status = REFUSALS[name]
    answer = client.request(method, path, content=content, headers=headers | {"x-request-id": f"refused: {name}"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, f"refused: {name}")
    line = line_of(server, f"refused: {name}")
    assert (line["status"], line["code"], line["method"]) == (status, name.partition(" ")[0], method)
    assert SECRET not in server.log.read_text()


def test_a_refusal_at_the_connection_is_found_too(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"GET /{SECRET} HTTP/9\r\n\r\n".encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    line = line_of(server, json.loads(body)["request_id"])
    assert (line["status"], line["code"], line["protocol"]) == (400, "malformed_request", "none")
    assert SECRET not in server.log.read_text()


@pytest.mark.parametrize(("key", "name"), [(SHOP, "shop"), (UNNAMED, "sha256:074165b2"), (WRONG, None)])
def test_a_line_has_the_name_of_the_key(server: Server, key: str, name: str | None) -> None:
    request_id = f"named-{name}"
    httpx.post(f"{server.url}/predict", json=tiny.ROW, headers={"x-api-key": key, "x-request-id": request_id})
    assert line_of(server, request_id).get("key") == name
    assert not [secret for secret in (SHOP, UNNAMED, WRONG) if secret in server.log.read_text()]


def test_probes_are_not_logged(server: Server, client: httpx.Client) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/ping", "/v2/health/live", "/v2/health/ready"):
        assert client.get(path, headers={"x-request-id": f"probe{path}"}).status_code == 200
    client.get("/model", headers={"x-request-id": "no-probe"})
    until(lambda: any(line.get("request_id") == "no-probe" for line in lines(server)))
    assert not [line for line in lines(server) if line.get("request_id", "").startswith("probe")]


def test_a_flood_of_lines_is_thinned_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test sets the clock, so that it does not have to wait."""
    now = [0.0]
    monkeypatch.setattr("model_deployer.serving.observability.line_limit.time.monotonic", lambda: now[0])
    limit = LineLimit()
    assert [limit.admit("flood") for _ in range(BURST_LINES + 7)] == [0] * BURST_LINES + [None] * 7
    assert limit.admit("other") == 0
    now[0] = 1 / LINES_PER_SECOND
    assert [limit.admit("flood"), limit.admit("flood")] == [7, None]
