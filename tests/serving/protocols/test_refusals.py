"""Every kind of refusal through every protocol: its status, its envelope, its id, and nothing that a client sent."""

import asyncio
import http.client
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
from tests.serving.protocols.dialects import DIALECTS, PROBLEM, SECRET, WRONG, Dialect, ask, assert_refused
from tests.serving.protocols.served import HEALTH, KEY, PREDICT, Served
from tests.support import tiny

each_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())


@pytest.mark.parametrize(("status", "sent"), WRONG.values(), ids=WRONG.keys())
@each_dialect
def test_what_is_wrong_is_refused_as_described(
    labels: Served, dialect: Dialect, status: int, sent: Mapping[str, Any]
) -> None:
    answer = ask(labels.client, dialect, sent)
    assert_refused(answer, dialect, status)
    if answer.request.method == "POST":
        answers.assert_described(labels.client, dialect.path, answer)


@each_dialect
def test_a_body_that_does_not_arrive_is_waited_for_as_long_as_the_client_allows(
    labels: Served, dialect: Dialect
) -> None:
    head = f"POST {dialect.real_path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nX-Request-ID: mine\r\n"
    with socket.create_connection(("127.0.0.1", labels.server.port), timeout=10) as connection:
        connection.sendall(f"{head}X-Request-Timeout-Ms: 50\r\nContent-Length: 9\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        found = httpx.Response(answer.status, headers=dict(answer.headers), content=answer.read())
    assert_refused(found, dialect, 408)
    assert found.headers["connection"] == "close"


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


def test_the_methods_of_a_path_are_told(labels: Served) -> None:
    told = {
        dialect.path: ask(labels.client, dialect, {"method": "DELETE"}).headers["allow"]
        for dialect in DIALECTS.values()
    }
    assert {path: methods for path, methods in told.items() if methods != "POST"} == {
        "/predictions/{model}/{version}": "POST, PUT", "/score": "POST, OPTIONS",
    }  # fmt: skip


def test_no_refusal_leaves_a_value_in_the_log(labels: Served) -> None:
    for dialect in DIALECTS.values():
        for _, sent in WRONG.values():
            ask(labels.client, dialect, sent)
    assert SECRET not in labels.server.log.read_text()


class Held(OnnxEngine):
    """An engine that begins no batch while its gate is closed, and fails where it is broken.

    No request makes a sound model as slow, or as wrong, as these tests need it.
    """

    def __init__(self, model: Path, output: Output) -> None:
        super().__init__(model, output)
        self.gate = threading.Event()
        self.gate.set()
        self.is_broken = False

    def tune(self, columns: Columns) -> None:
        """No batch runs in the event loop."""

    def run(self, columns: Columns) -> dict[str, Any]:
        assert self.gate.wait(30)
        if self.is_broken:
            raise ArithmeticError
        return super().run(columns)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Predictor, Held]]:
    """A predictor in whose queue there is room for a row, and its engine."""
    monkeypatch.setenv("AIP_HEALTH_ROUTE", HEALTH)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", PREDICT)
    tiny.write(tmp_path, "served")
    artifact = open_artifact(tmp_path)
    predictor, engine = Predictor(artifact, Settings(queue_rows=1)), Held(artifact.model, artifact.contract.output)
    predictor.start(engine)
    yield predictor, engine
    engine.gate.set()
    predictor.close()


@each_dialect
async def test_what_cannot_be_done_in_time_or_at_all_is_refused(dialect: Dialect, held: tuple[Predictor, Held]) -> None:
    predictor, engine = held
    transport = httpx.ASGITransport(Gateway(nothing, predictor, Settings(), None, is_dependency=lambda: False))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

        async def ask(**more: str) -> httpx.Response:
            headers = {"Content-Type": "application/json", "X-Request-ID": "mine", **more}
            return await client.post(dialect.real_path, json=dialect.body([tiny.ROW]), headers=headers)

        engine.gate.clear()
        assert_refused(await ask(**{"X-Request-Timeout-Ms": "30"}), dialect, 504)
        waiting = asyncio.create_task(ask())
        while predictor.refusal(10) is None:
            await asyncio.sleep(0)
        refused = await ask()
        assert_refused(refused, dialect, 503)
        assert refused.headers["retry-after"] == "1"
        engine.gate.set()
        assert (await waiting).status_code == 200
        engine.is_broken = True
        assert_refused(await ask(), dialect, 500)


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("fell through")
