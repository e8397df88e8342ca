"""Vertex AI's requests to a custom container, over a socket."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from contract.contract import Contract
from tests import tiny
from tests.processes import Server, serve
from tests.serving.protocols import answers

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None, "distance": 12.25}, tiny.ROW | {"seats": 3}]

#: What the platform chooses where nobody names the paths.
HEALTH = "/v1/endpoints/12/deployedModels/34"
PREDICT = f"{HEALTH}:predict"


@pytest.fixture(scope="module", params=[tiny.CONTRACT, tiny.OF_A_NUMBER], ids=["labels", "number"])
def client(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    contract: Contract = request.param
    folder = tmp_path_factory.mktemp("vertex")
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for this server alone
            patch.setenv("AIP_HEALTH_ROUTE", HEALTH)
            patch.setenv("AIP_PREDICT_ROUTE", PREDICT)
            running = stack.enter_context(serve([], answers.home(folder, contract), folder / "log"))
        yield httpx.Client(base_url=running.url, timeout=30)


def test_instances_are_answered_with_predictions_to_the_last_bit(client: httpx.Client) -> None:
    expected = {"predictions": answers.native(client, ROWS)}
    assert client.post(PREDICT, json={"instances": ROWS, "parameters": {"any": 1}}).json() == expected
    listed = [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]
    assert client.post(PREDICT, json={"instances": listed}).json() == expected


def test_its_health_is_where_the_platform_asks(client: httpx.Client) -> None:
    assert client.get(HEALTH).json() == {"status": "healthy"}


def test_without_the_platform_there_is_no_path(server: Server) -> None:
    assert httpx.get(f"{server.url}{HEALTH}").status_code == 404
    assert httpx.post(f"{server.url}{PREDICT}", json={"instances": ROWS}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", PREDICT, b"", (400, "INVALID_ARGUMENT")),
        ("POST", PREDICT, b"{", (400, "INVALID_ARGUMENT")),
        ("POST", PREDICT, b"[]", (400, "INVALID_ARGUMENT")),
        ("POST", PREDICT, {"rows": ROWS}, (400, "INVALID_ARGUMENT")),
        ("POST", PREDICT, {"instances": []}, (400, "INVALID_ARGUMENT")),
        ("GET", PREDICT, b"", (405, "UNIMPLEMENTED")),
        ("POST", HEALTH, b"", (405, "UNIMPLEMENTED")),
        ("POST", PREDICT, {"instances": [tiny.ROW] * 101}, (413, "RESOURCE_EXHAUSTED")),
        ("POST", PREDICT, b"x" * 200_000, (413, "RESOURCE_EXHAUSTED")),
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


def test_an_encoding_that_is_not_known_is_refused_in_the_envelope(client: httpx.Client) -> None:
    answer = client.post(PREDICT, json={}, headers={"content-encoding": "br"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, 415)


@settings(deadline=None, max_examples=100)
@given(answers.bodies("instances", "parameters"))
def test_no_body_breaks_it(client: httpx.Client, body: bytes) -> None:
    assert client.post(PREDICT, content=body).status_code in (200, 400, 413, 422)


def test_answers_and_refusals_are_as_described(client: httpx.Client) -> None:
    answers.assert_described(client, HEALTH, client.get(HEALTH).json(), "get")
    answers.assert_described(client, PREDICT, client.post(PREDICT, json={"instances": ROWS}).json())
    answers.assert_described(client, PREDICT, client.post(PREDICT, json={}).json(), status="400")
