"""The gateway and the predictor in this process, for behaviour that a real server shows too late or too rarely."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import InvalidRows
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.gateway import Gateway
from model_deployer.serving.http.asgi import Receive, Scope, Send
from model_deployer.serving.predictor import Predictor
from tests.support import tiny
from tests.support.stored_artifacts import STORED, json_of, name_of


def start(folder: Path, contract: Contract = tiny.CONTRACT, **options: Any) -> Predictor:
    tiny.write(folder, contract=contract, **options)
    return start_stored(folder)


def start_stored(folder: Path) -> Predictor:
    model = open_artifact(folder)
    predictor = Predictor(model, Settings())
    predictor.start(OnnxEngine(model.model, model.contract.output))
    return predictor


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the gateway passed the request on to BentoML")


def connect(predictor: Predictor) -> httpx.AsyncClient:
    gateway = Gateway(fail, predictor, Settings(), None, is_dependency=lambda: False)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=gateway), base_url="http://test")


async def post(predictor: Predictor, content: Any) -> httpx.Response:
    async with connect(predictor) as client:
        return await client.post("/predict", content=content, headers={"content-type": "application/json"})


async def test_a_body_that_does_not_arrive_in_time_is_refused(tmp_path: Path) -> None:
    async def incomplete_body() -> AsyncIterator[bytes]:
        yield b'{"distance": '
        await asyncio.Event().wait()

    answer = await post(
        start(tmp_path, tiny.CONTRACT.model_copy(update={"limits": Limits(timeout_seconds=0.2)})), incomplete_body()
    )
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


async def test_a_long_wrong_body_holds_up_nobody_else(tmp_path: Path) -> None:
    contract = tiny.CONTRACT.model_copy(update={"limits": Limits(rows=100_000)})
    predictor = start(tmp_path, contract)
    completed = []

    async def answer(name: str, body: bytes) -> None:
        try:
            await predictor.answer(body)
        except InvalidRows as error:
            assert error.total == 1
        completed.append(name)

    rows = [tiny.ROW] * 20_000
    long_body = json.dumps({"rows": [*rows, tiny.ROW | {"distance": "far"}]}).encode()
    await asyncio.gather(answer("long and invalid", long_body), answer("short", json.dumps(tiny.ROW).encode()))
    assert completed == ["short", "long and invalid"]


async def test_a_row_whose_answer_is_not_a_number_is_refused_alone(tmp_path: Path) -> None:
    """The error names the row, and the other requests of the same batch are answered."""
    predictor = start(tmp_path, tiny.UNBOUNDED)
    requests = [[tiny.ROW], [tiny.ROW, tiny.UNANSWERED], [tiny.ROW, tiny.ROW], [tiny.UNANSWERED]]
    bodies = [json.dumps({"rows": rows}).encode() for rows in requests]
    first, second, third, fourth = await asyncio.gather(*map(predictor.answer, bodies), return_exceptions=True)
    assert isinstance(first, bytes) and isinstance(third, bytes)
    assert json.loads(third)["predictions"] == 2 * json.loads(first)["predictions"]
    assert b"null" not in first
    for refused, row in ((second, 1), (fourth, 0)):
        assert isinstance(refused, InvalidRows)
        assert [(problem.row, problem.field, problem.code) for problem in refused.problems] == [
            (row, None, "refused_by_model")
        ]
    assert b'model_invalid_values_total{code="refused_by_model",field="other"} 2.0' in predictor.metrics.text()


async def test_process_without_shared_folder_has_own_counters(tmp_path: Path) -> None:
    """Without a shared folder of metrics, a process shows its own counters."""
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    predictor = start(tmp_path)
    await post(predictor, json.dumps(tiny.ROW).encode())
    assert b'model_requests_total{protocol="native",route="/predict",status="200"} 1.0' in predictor.metrics.text()


@pytest.mark.parametrize("folder", STORED, ids=name_of)
async def test_stored_model_is_described_by_its_files(folder: Path) -> None:
    """A stored model is described by its files as they are."""
    manifest = json_of(folder, artifact.MANIFEST)
    described = {name: value for name, value in manifest.items() if name not in ("files", "format")}
    described["contract"] = json_of(folder, artifact.CONTRACT)
    described["evaluation"] = json_of(folder, artifact.EVALUATION)
    async with connect(start_stored(folder)) as client:
        answers = [await client.get("/model") for _ in range(2)]
    assert [answer.content for answer in answers] == [msgspec.json.encode(described)] * 2


async def test_wrong_evaluation_fails_the_description_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model whose evaluation cannot be read predicts, but does not describe itself."""
    predictor = start(tmp_path, evaluation={"metrics": 7})
    with caplog.at_level("ERROR", "model_deployer"):
        async with connect(predictor) as client:
            predicted = await client.post("/predict", json=tiny.ROW)
            described = await client.get("/model")
    assert predicted.status_code == 200
    assert (described.status_code, described.json()["code"]) == (500, "prediction_failed")
    assert "the model's evaluation cannot be read" in described.json()["detail"]
    assert "evaluation.json: metrics: expected" in caplog.text
    assert "Traceback" not in caplog.text
