"""Azure Machine Learning's inference server, over a socket."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from tests.serving.protocols import answers
from tests.serving.protocols.served import Served
from tests.support import tiny

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None, "distance": 12.25}, tiny.ROW | {"seats": 3}]
ROW_LISTS = [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]

COLUMNS = {name: [row.get(name) for row in ROWS] for name in tiny.CONTRACT.names}
BY_INDEX = {name: dict(zip("210", column, strict=True)) for name, column in COLUMNS.items()}


@pytest.fixture(scope="module")
def client(either: Served) -> httpx.Client:
    return either.client


@pytest.mark.parametrize(
    "body",
    [
        {"data": ROWS},
        {"data": ROW_LISTS},
        {"input_data": ROWS},
        {"input_data": {"columns": tiny.CONTRACT.names, "index": [0, 1, 2], "data": ROW_LISTS}},
        {"input_data": {"columns": list(range(9)), "data": ROW_LISTS}},
        {"input_data": {"columns": ["index", *tiny.CONTRACT.names], "data": [[7, *row] for row in ROW_LISTS]}},
        {"input_data": COLUMNS},
        {"input_data": BY_INDEX},
        {"input_data": BY_INDEX | {"seats": dict(reversed(BY_INDEX["seats"].items()))}},
        {"input_data": COLUMNS | {"departure": [1_383_325_500_000] * 3}},
        {"data": COLUMNS},
        {"data": {"columns": tiny.CONTRACT.names, "data": ROW_LISTS}},
    ],
)
def test_rows_are_answered_with_predictions_to_the_last_bit(client: httpx.Client, body: Any) -> None:
    answer = client.post("/score", json=body)
    assert answer.json() == answers.native(client, ROWS)
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert float(answer.headers["x-ms-run-fn-exec-ms"]) > 0


def test_inputs_are_answered_with_results(client: httpx.Client) -> None:
    answer = client.post("/score", json={"Inputs": {"data": ROWS}, "GlobalParameters": 1.0})
    assert answer.json() == {"Results": answers.native(client, ROWS)}


def test_ids_come_back(client: httpx.Client) -> None:
    ids = {"x-request-id": "a", "x-ms-client-request-id": "b"}
    headers = client.post("/score", json={"data": ROWS}, headers=ids).headers
    assert (headers["x-request-id"], headers["x-ms-client-request-id"], headers["x-ms-request-id"]) == ("a", "b", "b")
    refusal = client.post("/score", json={"data": ROWS}, headers={"x-ms-client-request-id": "x" * 101})
    assert (refusal.status_code, list(refusal.json())) == (431, ["message"])


def test_options_and_swagger_are_answered(client: httpx.Client) -> None:
    options = client.options("/score")
    assert (options.status_code, options.text, options.headers["content-length"]) == (200, "", "0")
    assert client.get("/swagger.json").json()["swagger"] == "2.0"
    assert client.get("/swagger.json?version=2").json()["paths"]["/score"]
    for version in ("3", "3.1"):
        assert client.get(f"/swagger.json?version={version}").json()["openapi"] == "3.1.0"
    assert list(client.get("/swagger.json?version=4").json()) == ["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/score", b"[]", 400),
        ("POST", "/score", {"rows": ROWS}, 400),
        ("POST", "/score", {"Inputs": 1}, 400),
        ("POST", "/score", {"input_data": {"columns": [1], "data": ROW_LISTS}}, 400),
        ("POST", "/score", {"input_data": {}}, 400),
        ("POST", "/score", {"input_data": {"seats": 1}}, 400),
        ("POST", "/score", {"input_data": {"seats": [1], "temp": []}}, 400),
        ("POST", "/score", {"input_data": {"seats": {"0": 1}, "temp": {"1": 2}}}, 400),
        ("POST", "/score", {"input_data": {"columns": ["seats"], "data": [1]}}, 400),
        ("GET", "/swagger.json?version=4", b"", 404),
    ],
)
def test_a_refusal_is_a_message(client: httpx.Client, method: str, path: str, body: Any, status: int) -> None:
    answer = answers.ask(client, method, path, body)
    assert (answer.status_code, list(answer.json())) == (status, ["message"])
    assert answer.headers["x-ms-run-function-failed"] == "False"


@settings(max_examples=100)
@given(answers.bodies("data", "Inputs", "input_data"))
def test_no_body_breaks_it(client: httpx.Client, body: bytes) -> None:
    assert client.post("/score", content=body).status_code in (200, 400, 413, 422)


def test_answers_are_as_described(client: httpx.Client) -> None:
    answers.assert_described(client, "/score", client.post("/score", json={"data": ROWS}))
    answers.assert_described(client, "/swagger.json", client.get("/swagger.json"), "get")
