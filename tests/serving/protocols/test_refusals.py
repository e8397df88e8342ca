"""Every kind of error in every protocol: its status, its format, its request id, and no value that a client sent."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.outputs import Output
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.gateway import Gateway
from model_deployer.serving.http.asgi import Receive, Scope, Send
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.rows.columns import Columns
from tests.serving.protocols import answers
from tests.serving.protocols.dialects import DIALECTS, INVALID, PROBLEM, SECRET, Dialect, ask, assert_refused
from tests.serving.protocols.served import HEALTH, KEY, PREDICT, Served
from tests.support import tiny

each_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())


@pytest.mark.parametrize(("status", "changes"), INVALID.values(), ids=INVALID.keys())
@each_dialect
def test_what_is_wrong_is_refused_as_described(
    labels: Served, dialect: Dialect, status: int, changes: Mapping[str, Any]
) -> None:
    answer = ask(labels.client, dialect, changes)
    assert_refused(answer, dialect, status)
    if answer.request.method == "POST":
        answers.assert_described(labels.client, dialect.path, answer)


@pytest.mark.parametrize("change", [{"origin": "UA\ud800"}, {"\udfff": 1}], ids=["value", "name"])
@each_dialect
def test_half_of_a_surrogate_pair_is_refused(labels: Served, dialect: Dialect, change: Mapping[str, Any]) -> None:
    """Python's json module accepts it, and neither UTF-8 nor the graph does."""
    changes: dict[str, Any] = {"rows": [{**tiny.ROW, **change}]}
    if dialect is DIALECTS["open_inference"]:  # its bodies name the tensors, not the fields of a row
        changes["content"] = json.dumps(dialect.body([tiny.ROW])).replace('"JFK"', '"\\ud800"')
    answer = ask(labels.client, dialect, changes)
    assert_refused(answer, dialect, 400 if dialect.path.startswith(("/v2", "/invocations")) else 422)


@each_dialect
def test_missing_body_times_out_as_the_client_asked(labels: Served, dialect: Dialect) -> None:
    """A body that does not arrive is waited for as long as the client allows."""
    head = f"POST {dialect.real_path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nX-Request-ID: mine\r\n"
    with socket.create_connection(("127.0.0.1", labels.server.port), timeout=10) as connection:
        connection.sendall(f"{head}X-Request-Timeout-Ms: 50\r\nContent-Length: 9\r\n\r\n".encode())
        raw_answer = http.client.HTTPResponse(connection)
        raw_answer.begin()
        answer = httpx.Response(raw_answer.status, headers=dict(raw_answer.headers), content=raw_answer.read())
    assert_refused(answer, dialect, 408)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (f"/v2/models/{SECRET}/infer", DIALECTS["open_inference"].keys),
        (f"/v2/models/served/versions/{SECRET}/infer", DIALECTS["open_inference"].keys),
        (f"/v1/models/{SECRET}:predict", {"error"}),
        (f"/v1/models/served/versions/{SECRET}:predict", {"error"}),
        (f"/v1/models/served/labels/{SECRET}:predict", {"error"}),
        (f"/predictions/{SECRET}", {"code", "type", "message"}),
        (f"/predictions/served/{SECRET}", {"code", "type", "message"}),
        (f"/{SECRET}", PROBLEM),
    ],
)
def test_a_model_that_there_is_not_is_not_found(labels: Served, path: str, keys: set[str]) -> None:
    answer = labels.client.post(path, json={}, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.json().keys(), answer.headers["x-request-id"]) == (404, keys, "mine")
    assert SECRET not in answer.text


OPEN_INFERENCE, TORCHSERVE = DIALECTS["open_inference"].keys, DIALECTS["torchserve"].keys


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/v2/models/served/unknown", OPEN_INFERENCE),
        ("/v2/repository/models/served/load", OPEN_INFERENCE),
        ("/v2/systemsharedmemory/region/mine/register", OPEN_INFERENCE),
        (f"/v2/{SECRET}", OPEN_INFERENCE),
        ("/v1/models/served:explain", {"error"}),
        (f"/V1/{SECRET}", {"error"}),
        ("/predictions", TORCHSERVE),
        ("/explanations/served", TORCHSERVE),
        ("/v3", PROBLEM),
        ("/v2x", PROBLEM),
    ],
)
def test_unknown_paths_are_refused_as_the_clients_of_a_prefix_expect(
    labels: Served, method: str, path: str, keys: set[str]
) -> None:
    answer = labels.client.request(method, path, content=b"x", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.json().keys(), answer.headers["x-request-id"]) == (404, keys, "mine")
    assert SECRET not in answer.text
    assert "/docs.json" in answer.text


def test_slashes_at_the_end_of_a_path_below_a_prefix_count_for_nothing(labels: Served) -> None:
    for path in ("/v2", "/v2/models", "/v2/models/served", "/v2/models/served/ready", "/v1/models/served"):
        assert labels.client.get(f"{path}/").json() == labels.client.get(path).json()
    assert labels.client.get("/v2" + 30_000 * "/").json() == labels.client.get("/v2").json()
    assert httpx.get(f"{labels.server.url}/v2/unknown").json().keys() == OPEN_INFERENCE  # there is no key


def test_the_methods_of_a_path_are_told(labels: Served) -> None:
    allowed = {
        dialect.path: ask(labels.client, dialect, {"method": "DELETE"}).headers["allow"]
        for dialect in DIALECTS.values()
    }
    assert {path: methods for path, methods in allowed.items() if methods != "POST"} == {
        "/predictions/{model}/{version}": "POST, PUT", "/score": "POST, OPTIONS",
    }  # fmt: skip


def test_no_refusal_leaves_a_value_in_the_log(labels: Served) -> None:
    for dialect in DIALECTS.values():
        for _, changes in INVALID.values():
            ask(labels.client, dialect, changes)
    assert SECRET not in labels.server.log.read_text()


class ControlledEngine(OnnxEngine):
    """An engine that starts no batch while its gate is closed, and fails if it is broken.

    These tests need a model that is slow or fails; no request makes a good model do so.
    """

    def __init__(self, model: Path, output: Output) -> None:
        super().__init__(model, output)
        self.gate = threading.Event()
        self.gate.set()
        self.is_broken = False

    def tune(self, columns: Columns) -> None:
        """Leave ``inline_rows`` at 0, so that no batch runs in the event loop."""

    def run(self, columns: Columns) -> dict[str, Any]:
        assert self.gate.wait(30)
        if self.is_broken:
            raise ArithmeticError
        return super().run(columns)


@pytest.fixture
def controlled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Predictor, ControlledEngine]]:
    """A predictor whose queue has space for one row, and its engine."""
    monkeypatch.setenv("AIP_HEALTH_ROUTE", HEALTH)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", PREDICT)
    tiny.write(tmp_path, "served")
    artifact = open_artifact(tmp_path)
    predictor = Predictor(artifact, Settings(queue_rows=1))
    engine = ControlledEngine(artifact.model, artifact.contract.output)
    predictor.start(engine)
    yield predictor, engine
    engine.gate.set()
    predictor.close()


@each_dialect
async def test_what_cannot_be_done_in_time_or_at_all_is_refused(
    dialect: Dialect, controlled: tuple[Predictor, ControlledEngine]
) -> None:
    predictor, engine = controlled
    transport = httpx.ASGITransport(Gateway(fail, predictor, Settings(), None, is_dependency=lambda: False))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

        async def ask(**headers: str) -> httpx.Response:
            all_headers = {"Content-Type": "application/json", "X-Request-ID": "mine", **headers}
            return await client.post(dialect.real_path, json=dialect.body([tiny.ROW]), headers=all_headers)

        engine.gate.clear()
        assert_refused(await ask(**{"X-Request-Timeout-Ms": "30"}), dialect, 504)
        waiting = asyncio.create_task(ask())
        while predictor.refusal(10, 0) is None:
            await asyncio.sleep(0)
        refusal = await ask()
        assert_refused(refusal, dialect, 503)
        assert refusal.headers["retry-after"] == "1"
        engine.gate.set()
        assert (await waiting).status_code == 200
        engine.is_broken = True
        assert_refused(await ask(), dialect, 500)


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the gateway passed the request on to BentoML")
