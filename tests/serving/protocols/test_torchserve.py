"""TorchServe's inference API, over a socket."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.protocols import answers
from tests.serving.protocols.served import Served
from tests.support import tiny

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None, "distance": 12.25}, tiny.ROW | {"seats": 3}]
ROW_LISTS = [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]
MODEL = "/predictions/served"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def client(either: Served) -> httpx.Client:
    return either.client


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/1.0.0"])
def test_an_answer_has_the_shape_of_what_was_asked(client: httpx.Client, method: str, path: str) -> None:
    def ask(body: Any) -> Any:
        return answers.ask(client, method, path, body).json()

    expected = answers.native(client, ROWS)
    for body in (ROWS, ROW_LISTS, {"data": ROWS}, {"data": ROW_LISTS}):
        assert ask(body) == expected
    for body in (ROWS, ROW_LISTS):
        assert ask({"instances": body}) == {"predictions": expected}
    assert ask(ROWS[1]) == ask({"data": ROWS[1]}) == expected[1]


def test_form_fields_are_rows(client: httpx.Client) -> None:
    """A form holds what a body does; where it has several fields, each is a row."""
    expected = answers.native(client, ROWS)
    texts = [json.dumps(row) for row in ROWS]
    files = [("data", ("row.json", text, "application/json")) for text in texts]
    assert client.post(MODEL, files=files).json() == expected
    assert client.post(MODEL, files=files[:1]).json() == expected[0]
    assert client.post(MODEL, files={"data": (None, json.dumps(ROWS)), "other": (None, "x")}).json() == expected
    assert client.post(MODEL, data={"data": texts}).json() == expected
    assert client.post(MODEL, data={"data": json.dumps({"instances": ROWS})}).json() == {"predictions": expected}


@pytest.mark.parametrize(
    "content_type", [FORM, "text/plain", "application/octet-stream", "multipart/form-data; boundary=x"]
)
def test_json_is_json_whatever_it_is_announced_as(client: httpx.Client, content_type: str) -> None:
    answer = client.post(MODEL, content=json.dumps(tiny.ROW), headers={"content-type": content_type})
    assert [answer.json()] == answers.native(client, [tiny.ROW])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"5", "application/json"),
        (b"[]", "application/json"),
        (b'{"instances": []}', "application/json"),
        (b"data=", FORM),
        (b"data=%ff", FORM),
        (b"rows=" + quote(json.dumps(tiny.ROW)).encode(), FORM),
        (b"--x", "multipart/form-data"),
        (b"--x--", "multipart/form-data; boundary=x"),
        (b"--y\r\n\r\nx\r\n--y--", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n{', "multipart/form-data; boundary=x"),
    ],
)
def test_what_holds_no_rows_is_refused(client: httpx.Client, body: bytes, content_type: str) -> None:
    answer = client.post(MODEL, content=body, headers={"content-type": content_type})
    document = answer.json()
    assert (answer.status_code, document["code"], document["type"]) == (400, 400, "BadRequestException")


@settings(max_examples=100)
@given(
    answers.bodies("instances", "data"), st.sampled_from(["application/json", FORM, "multipart/form-data; boundary=x"])
)
def test_no_body_breaks_it(client: httpx.Client, body: bytes, content_type: str) -> None:
    answer = client.post(MODEL, content=body, headers={"content-type": content_type})
    assert answer.status_code in (200, 400, 413, 422)


@settings(max_examples=100)
@given(st.integers(0, 400), st.binary(max_size=8))
def test_no_damage_to_a_form_breaks_it(client: httpx.Client, offset: int, damage: bytes) -> None:
    request = client.build_request("POST", MODEL, files=[("data", json.dumps(row)) for row in ROWS])
    body = request.read()
    content = body[:offset] + damage + body[offset + len(damage) :]
    answer = client.post(MODEL, content=content, headers={"content-type": request.headers["content-type"]})
    assert answer.status_code in (200, 400, 422)


def test_root_is_the_page_and_options_the_document(client: httpx.Client) -> None:
    """GET / stays the page of the service, and OPTIONS / answers with the document."""
    document = client.options("/").json()
    assert document["paths"].keys() >= {"/predict", "/ping", "/", "/predictions/{model}"}
    assert client.get("/api-description").json() == document
    assert client.get("/").headers["content-type"].startswith("text/html")
    assert client.post("/").status_code == 405


def test_health_is_asked_without_a_key(client: httpx.Client) -> None:
    assert httpx.get(f"{client.base_url}/ping").json() == {"status": "Healthy"}


def test_answers_are_as_described(client: httpx.Client) -> None:
    answers.assert_described(client, "/ping", client.get("/ping"), "get")
    answers.assert_described(client, "/", client.options("/"), "options")
    for body in (tiny.ROW, ROWS, ROW_LISTS, {"instances": ROWS}, {"data": ROWS}):
        answers.assert_described(client, "/predictions/{model}", client.post(MODEL, json=body))
