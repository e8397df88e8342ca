"""TorchServe's inference API over gRPC, with a client that learns the messages by reflection."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.grpc.client import Client, refusal
from tests.serving.protocols import answers
from tests.serving.protocols.served import KEY, Served
from tests.serving.protocols.speakers import TORCHSERVE
from tests.support import tiny

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None, "distance": 12.25}, tiny.ROW | {"seats": 3}]
ROW_LISTS = [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]


@pytest.fixture(scope="module")
def client(either: Served) -> Iterator[Client]:
    client = Client(either.grpc_port, TORCHSERVE, x_api_key=KEY)
    with closing(client.channel):
        yield client


def encode(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def start(client: Client, body: Any, key: str = "data", **fields: Any) -> grpc.Future:
    message = client.message("Predictions", **{"model_name": "served", "input": {key: encode(body)}} | fields)
    return client.start("Predictions", message)


@pytest.mark.parametrize("key", ["data", "body"])
@pytest.mark.parametrize("version", ["", "1.0.0"])
def test_a_prediction_is_that_of_rest(client: Client, either: Served, key: str, version: str) -> None:
    for body in (ROWS, ROW_LISTS, ROWS[0], {"data": ROWS}, {"instances": ROWS}, ROWS * 30):
        expected = either.client.post("/predictions/served", json=body).raise_for_status()
        assert start(client, body, key, model_version=version).result().prediction == expected.content


def test_a_stream_has_the_prediction_and_ends(client: Client, either: Served) -> None:
    method = client.methods["StreamPredictions"]
    stream = client.channel.unary_stream(
        f"/{TORCHSERVE}/StreamPredictions",
        request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    message = client.message("StreamPredictions", model_name="served", input={"data": encode(ROWS)})
    (response,) = stream(message, metadata=client.metadata, timeout=10)
    assert json.loads(response.prediction) == answers.native(either.client, ROWS)
    message.model_name = "other"
    with pytest.raises(grpc.RpcError) as error:
        list(stream(message, metadata=client.metadata, timeout=10))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert dict(error.value.trailing_metadata())["x-error-code"] == "not_found"


def test_health_needs_no_key(client: Client, either: Served) -> None:
    stranger = Client(either.grpc_port, TORCHSERVE)
    with closing(stranger.channel):
        health = stranger.start("Ping", b"").result().health
        assert json.loads(health) == httpx.get(f"{either.client.base_url}/ping").json() == {"status": "Healthy"}
        assert refusal(start(stranger, ROWS)) == ("UNAUTHENTICATED", "unauthorized")


@pytest.mark.parametrize(
    ("fields", "expected", "text"),
    [
        ({"model_name": "SECRET"}, ("NOT_FOUND", "not_found"), "GET /model names what it has"),
        ({"model_version": "SECRET"}, ("NOT_FOUND", "not_found"), "GET /model names what it has"),
        ({"input": {}}, ("INVALID_ARGUMENT", "malformed_body"), "under `data` or `body`"),
        ({"input": {"SECRET": b"{}"}}, ("INVALID_ARGUMENT", "malformed_body"), "under `data` or `body`"),
        ({"input": {"data": b""}}, ("INVALID_ARGUMENT", "malformed_body"), "the body is empty"),
        ({"input": {"data": b"SECRET"}}, ("INVALID_ARGUMENT", "malformed_body"), "JSON"),
        ({"input": {"data": b"[]"}}, ("INVALID_ARGUMENT", "malformed_body"), "the list of rows is empty"),
        (
            {"input": {"data": encode([tiny.ROW | {"origin": "SECRET"}])}},
            ("INVALID_ARGUMENT", "invalid_rows"),
            "row 0, origin: expected one of",
        ),
        (
            {"input": {"data": b"[" + b"{}," * 100 + b"{}]"}},
            ("RESOURCE_EXHAUSTED", "too_many_rows"),
            "send at most 100",
        ),
        ({"input": {"data": b"[" + b"1," * 40_000 + b"1]"}}, ("RESOURCE_EXHAUSTED", "too_many_rows"), "more values"),
    ],
)
def test_a_request_that_is_wrong_is_refused(
    client: Client, fields: dict[str, Any], expected: tuple[str, str], text: str
) -> None:
    call = start(client, ROWS, **fields)
    assert refusal(call) == expected
    assert text in call.details()
    assert "SECRET" not in call.details()


def test_other_methods_do_not_exist(client: Client) -> None:
    call = client.channel.unary_unary(f"/{TORCHSERVE}/StreamPredictions2").future(b"", metadata=client.metadata)
    assert call.exception().code() is grpc.StatusCode.UNIMPLEMENTED


@settings(max_examples=100)
@given(answers.bodies("instances", "data"), st.sampled_from(["data", "body", "other"]))
def test_no_request_is_a_server_error(client: Client, body: bytes, key: str) -> None:
    call = start(client, body, key)
    assert call.exception() is None or refusal(call)[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
