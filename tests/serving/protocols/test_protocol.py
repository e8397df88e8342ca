"""The interface between the gateway and a protocol, tested with a protocol that exists for these tests only."""

import functools
import json
import re
import threading
import tracemalloc
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from model_deployer.contract import store
from model_deployer.contract.errors import InvalidRows, MalformedBody, NotFound, RequestError, UsageError
from model_deployer.contract.outputs import Classification
from model_deployer.serving.background import INLINE_BYTES
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.gateway import Gateway
from model_deployer.serving.http.keys import ApiKeys, load
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi, registry
from model_deployer.serving.protocols.inference import RequestReader
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route, build_router
from model_deployer.serving.protocols.row_forms import RowForms
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.serving.rows.tables import TableReader
from tests.serving.protocols.dialects import DIALECTS
from tests.support import tiny
from tests.support.processes import ROOT, run


class Toy(Protocol):
    name = "toy"

    @property
    def routes(self) -> Sequence[Route]:
        responses = {"200": {"description": "An answer."}}
        return [
            Route("/toy/{model}:ask", self._ask, {"post": {"operationId": "toyAsk", "responses": responses}}),
            Route(
                "/toy/alive", self._alive, {"get": {"operationId": "toyAlive", "responses": responses}}, is_public=True
            ),
        ]

    def schemas(self) -> Mapping[str, Any]:
        return {"ToyError": {"type": "object"}}

    def refusal(self, error: RequestError, request_id: str) -> Reply:
        return Reply(json.dumps({"toy": error.code, "id": request_id}).encode(), error.status)

    async def _ask(self, request: Request) -> Reply:
        if request.path_parameters["model"] != "tiny":
            raise NotFound("the model is called tiny")
        if not request.body:
            raise MalformedBody("the body is empty")
        rows = json.loads(request.body)
        outputs = await self.predictor.predict(rows)
        return Reply(json.dumps(outputs["probabilities"].tolist()).encode(), headers=[(b"x-toy", b"1")])

    async def _alive(self, request: Request) -> Reply:
        return Reply(b"alive", media_type=b"text/plain")


@pytest.fixture
async def predictor(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Predictor]:
    monkeypatch.setitem(registry.PROTOCOLS, "toy", Toy)
    tiny.save(tmp_path / "model")
    artifact = store.load("tiny")
    predictor = Predictor(artifact, Settings())
    predictor.start(OnnxEngine(artifact.model, artifact.contract.output))
    yield predictor
    predictor.close()


def client(
    predictor: Predictor, keys: ApiKeys | None = None, protocols: tuple[str, ...] = ("toy",)
) -> httpx.AsyncClient:
    async def bento(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    settings = Settings().model_copy(update={"protocols": protocols})  # not validated: the toy is not in the settings
    app = Gateway(bento, predictor, settings, keys, lambda: False)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")


async def test_a_protocol_gets_the_predictions_of_the_service(predictor: Predictor) -> None:
    async with client(predictor) as http:
        native = (await http.post("/predict", json={"rows": [tiny.ROW]})).json()
        answer = await http.post("/toy/tiny:ask", json=[tiny.ROW])
    assert answer.json() == [list(native["predictions"][0]["probabilities"].values())]
    assert answer.headers["x-toy"] == "1"
    assert answer.headers["x-request-id"]


async def test_refusals_come_in_the_envelope_of_the_protocol(predictor: Predictor) -> None:
    async with client(predictor) as http:
        refusals = [
            await http.post("/toy/tiny:ask", json=[tiny.ROW | {"seats": 0.5}], headers={"X-Request-ID": "me"}),
            await http.post("/toy/tiny:ask"),
            await http.post("/toy/other:ask", json=[]),
            await http.get("/toy/tiny:ask"),
            await http.post("/toy/tiny:ask", json=[tiny.ROW] * 101),
            await http.post("/toy/tiny:ask", content=b"x" * 200_000),
        ]
    assert [(refusal.status_code, refusal.json()["toy"]) for refusal in refusals] == [
        (422, "invalid_rows"), (400, "malformed_body"), (404, "not_found"), (405, "method_not_allowed"),
        (413, "too_many_rows"), (413, "body_too_large"),
    ]  # fmt: skip
    assert refusals[0].json()["id"] == "me"
    assert refusals[3].headers["allow"] == "POST"


async def test_a_path_of_no_protocol_is_as_unknown_as_ever(predictor: Predictor) -> None:
    async with client(predictor) as http:
        assert (await http.post("/toy/tiny:other")).status_code == 404
        assert (await http.post("/toy/a/b:ask")).status_code == 404


async def test_it_is_counted_by_protocol_and_route_and_wants_the_key(predictor: Predictor, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("k" * 32)
    async with client(predictor, load(keys)) as http:
        assert (await http.get("/toy/alive")).status_code == 200
        assert (await http.post("/toy/tiny:ask", json=[tiny.ROW])).json()["toy"] == "unauthorized"
        with_key = {"X-API-Key": "k" * 32}
        assert (await http.post("/toy/tiny:ask", json=[tiny.ROW], headers=with_key)).status_code == 200
        text = (await http.get("/metrics", headers=with_key)).text
    assert 'model_requests_total{protocol="toy",route="/toy/{model}:ask",status="200"} 1.0' in text
    document = openapi.document(predictor.artifact, needs_key=True, protocols=[Toy(predictor)])
    assert document["paths"]["/toy/alive"]["get"]["security"] == []
    content = document["paths"]["/toy/{model}:ask"]["post"]["responses"]["401"]["content"]
    assert content["application/json"] == {"schema": {"$ref": "#/components/schemas/ToyError"}}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
async def test_what_is_no_number_is_refused_whoever_read_it(predictor: Predictor, number: float) -> None:
    with pytest.raises(InvalidRows) as caught:
        await predictor.predict([tiny.ROW | {"temp": number}])
    assert [(problem.field, problem.code) for problem in caught.value.problems] == [("temp", "not_finite")]


async def test_route_that_protocols_share_is_documented_once(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What two protocols describe alike is in the document once, and answered if either is spoken."""
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/ping")
    for names in (["invocations"], ["torchserve"], ["vertex"], ["invocations", "torchserve", "vertex"]):
        protocols = registry.create_protocols(names, predictor)
        ping = openapi.document(predictor.artifact, protocols=protocols)["paths"]["/ping"]["get"]
        assert ping["operationId"] == "ping"
        match = build_router(protocols)("GET", "/ping")
        assert match
        reply = await match.route.handler(Request("GET", {}, "", {}, b""))
        assert json.loads(reply.body) == {"status": "Healthy"}


class SecondToy(Toy):
    name = "second"


async def test_conflicting_protocols_are_refused_by_name(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two protocols that answer the same path, each in its own way, are refused by name."""
    monkeypatch.setitem(registry.PROTOCOLS, "second", SecondToy)
    assert registry.create_protocols(["toy", "second"], predictor)  # their descriptions are equal
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/toy/mine:ask")
    with pytest.raises(UsageError, match="toy and vertex both answer POST /toy/mine:ask"):
        registry.create_protocols(["toy", "vertex"], predictor)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AIP_HEALTH_ROUTE", "health", "AIP_HEALTH_ROUTE: expected a path"),
        ("AIP_HEALTH_ROUTE", "/{model}", "AIP_HEALTH_ROUTE: expected a path"),
        ("AIP_PREDICT_ROUTE", "/p?x=1", "AIP_PREDICT_ROUTE: expected a path"),
        ("AIP_PREDICT_ROUTE", "/metrics", "vertex: the service itself answers /metrics"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/html", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: expected"),
    ],
)
async def test_a_variable_that_cannot_be_is_refused_by_name(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=message):
        registry.create_protocols(list(registry.PROTOCOLS)[:-1], predictor)


@pytest.mark.slow
def test_server_with_conflicting_protocols_ends_in_one_line(tmp_path: Path) -> None:
    """A server whose protocols cannot be spoken together ends with a message of one line."""
    home = tiny.home(tmp_path / "home", "1.0.0")
    completed = run("bentoml", "serve", BENTOML_HOME=str(home), AIP_PREDICT_ROUTE="/v1/models/any:predict")
    assert completed.returncode == 1
    message = json.loads(completed.stderr.splitlines()[-1])["message"]
    assert message.startswith("tensorflow_serving and vertex both answer POST /v1/models/any:predict")


async def test_the_translator_of_the_document_works(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/05-protocols.md").read_text(), re.DOTALL)
    module: dict[str, Any] = {}
    exec(source, module)
    monkeypatch.setitem(registry.PROTOCOLS, "lists", module["Lists"])
    async with client(predictor, protocols=("lists",)) as http:
        native = (await http.post("/predict", json={"rows": [tiny.ROW]})).json()
        answer = await http.post("/lists", json={"lists": [list(tiny.ROW.values())]})
        refusal = await http.post("/lists", json={"lists": [[1]]}, headers={"X-Request-ID": "me"})
        document = (await http.get("/docs.json")).json()
    assert answer.json() == native["predictions"]
    assert (refusal.status_code, refusal.json()["request"]) == (422, "me")
    assert "/lists" in document["paths"]
    validate(document)


def test_paths_of_a_scanner_are_not_kept(predictor: Predictor) -> None:
    find = build_router([Toy(predictor)])
    path = "/toy/" + "x" * 60_000 + ":ask"
    match = find("POST", path)
    assert match is not None
    assert len(match.path_parameters["model"]) == 60_000
    tracemalloc.start()
    for number in range(200):
        find("POST", f"{number}{path}")
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 1_000_000


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "vertex"])  # its path is an environment variable
async def test_many_rows_are_read_and_answered_outside_of_the_event_loop(
    name: str, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    for owner, method in [
        (RowForms, "rows"), (Decoder, "__call__"), (Decoder, "objects"), (RequestReader, "fast"),
        (TableReader, "table"), (Classification, "predictions"), (Classification, "columns"),
        (Classification, "decisions"),
    ]:  # fmt: skip
        monkeypatch.setattr(owner, method, _recording(getattr(owner, method), threads))
    protocols = () if name == "native" else (name,)
    async with client(predictor, protocols=protocols) as http:
        path = DIALECTS[name].real_path.replace("served", "tiny")
        body = json.dumps(DIALECTS[name].body([tiny.ROW] * 100)) + " " * INLINE_BYTES
        answer = await http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert {thread.rpartition("_")[0] for thread in threads} == {"background"}


def _recording(function: Any, threads: set[str]) -> Any:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        threads.add(threading.current_thread().name)
        return function(*arguments, **options)

    return call


def test_a_grpc_port_needs_a_protocol_that_has_grpc() -> None:
    registry.check_grpc(("vertex", "open_inference"))
    with pytest.raises(UsageError, match="is available over gRPC; add one of open_inference"):
        registry.check_grpc(("vertex",))
