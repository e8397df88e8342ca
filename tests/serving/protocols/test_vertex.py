"""Vertex AI's requests to a custom container, over a socket."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from tests.serving.protocols import answers
from tests.serving.protocols.served import HEALTH, PREDICT, Served
from tests.support import tiny
from tests.support.processes import Server

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None, "distance": 12.25}, tiny.ROW | {"seats": 3}]


@pytest.fixture(scope="module")
def client(either: Served) -> httpx.Client:
    return either.client


def test_instances_are_answered_with_predictions_to_the_last_bit(client: httpx.Client) -> None:
    expected = {"predictions": answers.native(client, ROWS)}
    assert client.post(PREDICT, json={"instances": ROWS, "parameters": {"any": 1}}).json() == expected
    row_lists = [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]
    assert client.post(PREDICT, json={"instances": row_lists}).json() == expected


def test_its_health_is_where_the_platform_asks(client: httpx.Client) -> None:
    assert client.get(HEALTH).json() == {"status": "Healthy"}


def test_without_the_platform_there_is_no_path(server: Server) -> None:
    assert httpx.get(f"{server.url}{HEALTH}").status_code == 404
    assert httpx.post(f"{server.url}{PREDICT}", json={"instances": ROWS}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", PREDICT, b"[]", (400, "INVALID_ARGUMENT")),
        ("POST", PREDICT, {"rows": ROWS}, (400, "INVALID_ARGUMENT")),
        ("GET", PREDICT, b"", (405, "UNIMPLEMENTED")),
        ("POST", HEALTH, b"", (405, "UNIMPLEMENTED")),
        ("POST", PREDICT, {"instances": [tiny.ROW] * 101}, (413, "RESOURCE_EXHAUSTED")),
        ("POST", PREDICT, {"instances": [tiny.ROW | {"seats": 0.5}]}, (422, "INVALID_ARGUMENT")),
    ],
)
def test_a_refusal_is_one_of_googles(
    client: httpx.Client, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    answer = answers.ask(client, method, path, body)
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == expected
    assert answer.status_code == error["code"]
    assert error["message"]


@settings(max_examples=100)
@given(answers.bodies("instances", "parameters"))
def test_no_body_breaks_it(client: httpx.Client, body: bytes) -> None:
    assert client.post(PREDICT, content=body).status_code in (200, 400, 413, 422)


def test_answers_are_as_described(client: httpx.Client) -> None:
    answers.assert_described(client, HEALTH, client.get(HEALTH), "get")
    answers.assert_described(client, PREDICT, client.post(PREDICT, json={"instances": ROWS}))
