"""TensorFlow Serving's REST API and version 1 of KServe's protocol, over a socket."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.protocols import answers
from tests.serving.protocols.served import Served
from tests.support import tiny

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None, "distance": 12.25}, tiny.ROW | {"seats": 3}]
MODEL = "/v1/models/served"


@pytest.fixture(scope="module")
def client(labels: Served) -> httpx.Client:
    return labels.client


@pytest.fixture(scope="module")
def numbers(number: Served) -> httpx.Client:
    return number.client


def native(client: httpx.Client, rows: Sequence[Any] = ROWS) -> list[dict[str, Any]]:
    return answers.native(client, rows)


def columns(rows: Sequence[dict[str, Any]] = ROWS) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def in_tensors(prediction: dict[str, Any]) -> dict[str, Any]:
    return prediction | {"probabilities": list(prediction["probabilities"].values())}


@pytest.mark.parametrize("selector", ["", "/versions/1000000", "/labels/stable"])
def test_rows_are_answered_with_rows_to_the_last_bit(client: httpx.Client, selector: str) -> None:
    answer = client.post(f"{MODEL}{selector}:predict", json={"instances": ROWS})
    assert answer.json() == {"predictions": [in_tensors(each) for each in native(client)]}


def test_columns_are_answered_with_columns(client: httpx.Client) -> None:
    answer = client.post(f"{MODEL}:predict", json={"signature_name": "serving_default", "inputs": columns()})
    expected = [in_tensors(each) for each in native(client)]
    assert answer.json() == {"outputs": {name: [each[name] for each in expected] for name in expected[0]}}


def test_rows_under_inputs_are_those_of_kserve(client: httpx.Client) -> None:
    expected = [in_tensors(each) for each in native(client)]
    for rows in (ROWS, [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]):
        answer = client.post(f"{MODEL}:predict", json={"inputs": rows}).json()
        assert answer["predictions"] == expected
        assert answer["outputs"] == {name: [each[name] for each in expected] for name in expected[0]}


def test_values_may_be_tensors_of_one_value(client: httpx.Client) -> None:
    """Keras' models take tensors of the shape [rows, 1], and their clients send such values to any server."""
    expected = client.post(f"{MODEL}:predict", json={"instances": ROWS}).json()
    rows = [{name: [value] for name, value in row.items()} for row in ROWS]
    assert client.post(f"{MODEL}:predict", json={"instances": rows}).json() == expected
    inputs = {name: [[value] for value in values] for name, values in columns().items()}
    expected = client.post(f"{MODEL}:predict", json={"inputs": columns()}).json()
    assert client.post(f"{MODEL}:predict", json={"inputs": inputs}).json() == expected
    assert client.post(f"{MODEL}:predict", json={"instances": [rows[0] | {"seats": [1, 2]}]}).status_code == 422


def test_rows_may_be_lists_in_the_order_of_the_contract(client: httpx.Client) -> None:
    row_lists = [[row.get(name) for name in tiny.CONTRACT.names] for row in ROWS]
    expected = client.post(f"{MODEL}:predict", json={"instances": ROWS})
    assert client.post(f"{MODEL}:predict", json={"instances": row_lists}).json() == expected.json()


def test_a_number_is_answered_by_its_name_and_alone_by_regress(numbers: httpx.Client) -> None:
    expected = native(numbers)
    assert numbers.post(f"{MODEL}:predict", json={"instances": ROWS}).json() == {"predictions": expected}
    regression = numbers.post(f"{MODEL}:regress", json={"examples": ROWS}).json()
    assert regression == {"results": [each["value"] for each in expected]}
    assert numbers.post(f"{MODEL}:classify", json={"examples": ROWS}).status_code == 404


def test_classify_answers_pairs_and_examples_share_a_context(client: httpx.Client) -> None:
    context = {name: value for name, value in tiny.ROW.items() if name != "distance"}
    examples = [{"distance": 1.0}, {"distance": 4000.0}]
    answer = client.post(f"{MODEL}:classify", json={"context": context, "examples": examples})
    expected = native(client, [context | example for example in examples])
    assert answer.json() == {"results": [[list(pair) for pair in each["probabilities"].items()] for each in expected]}
    assert client.post(f"{MODEL}:regress", json={"examples": ROWS}).status_code == 404


def test_sets_are_a_tensor_too(sets: Served) -> None:
    answer = sets.client.post(f"{MODEL}:predict", json={"instances": ROWS})
    outputs = sets.client.get(f"{MODEL}/metadata").json()["metadata"]["signature_def"]["signature_def"]
    answers.assert_described(sets.client, "/v1/models/{model}:predict", answer)
    assert [len(each["set"]) for each in answer.json()["predictions"]] == [3] * len(ROWS)
    assert outputs["serving_default"]["outputs"]["set"]["dtype"] == "DT_BOOL"


@pytest.mark.parametrize("selector", ["", "/versions/1000000", "/labels/stable"])
def test_the_status_is_that_of_both_protocols(client: httpx.Client, selector: str) -> None:
    status = client.get(f"{MODEL}{selector}").json()
    assert (status["name"], status["ready"]) == ("served", True)
    (version,) = status["model_version_status"]
    assert (version["version"], version["state"], version["status"]["error_code"]) == ("1000000", "AVAILABLE", "OK")
    assert client.get("/v1/models").json() == {"models": ["served"]}


def test_the_metadata_names_every_tensor(client: httpx.Client) -> None:
    metadata = client.get(f"{MODEL}/metadata").json()
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert list(signature["inputs"]) == tiny.CONTRACT.names
    assert signature["inputs"]["seats"]["dtype"] == "DT_INT64"
    assert signature["outputs"]["probabilities"]["tensor_shape"]["dim"][1]["size"] == "2"
    assert metadata["model_spec"]["version"] == "1000000"


def test_paths_are_of_any_case_and_names_are_not(client: httpx.Client) -> None:
    assert client.post("/V1/Models/served:PREDICT", json={"instances": ROWS}).status_code == 200
    assert client.get("/v1/models/SERVED").status_code == 404


def test_the_type_of_the_body_is_not_looked_at(client: httpx.Client) -> None:
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/octet-stream"):
        content = httpx.Request("POST", "http://x", json={"instances": ROWS}).content
        answer = client.post(f"{MODEL}:predict", content=content, headers={"content-type": content_type})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", f"{MODEL}:predict", b"[1]", 400),
        ("POST", f"{MODEL}:predict", b"{}", 400),
        ("POST", f"{MODEL}:predict", {"instances": ROWS, "inputs": {}}, 400),
        ("POST", f"{MODEL}:predict", {"instances": {}}, 400),
        ("POST", f"{MODEL}:predict", {"instances": ROWS, "signature_name": "other"}, 400),
        ("POST", f"{MODEL}:predict", {"inputs": columns() | {"seats": [1]}}, 400),
        ("POST", f"{MODEL}:predict", {"inputs": {"seats": 1}}, 400),
        ("POST", f"{MODEL}:predict", {"inputs": {}}, 400),
        ("POST", f"{MODEL}:classify", {"examples": {}}, 400),
        ("POST", f"{MODEL}:classify", {"examples": ROWS, "context": 1}, 400),
        ("GET", f"{MODEL}/labels/canary", b"", 404),
        ("POST", f"{MODEL}/metadata", b"", 405),
        ("POST", f"{MODEL}:predict", {"instances": [[1, 2]]}, 422),
        ("POST", f"{MODEL}:predict", b'{"instances": [{"distance": NaN}]}', 422),
    ],
)
def test_a_refusal_has_the_one_key_of_the_protocol(
    client: httpx.Client, method: str, path: str, body: Any, status: int
) -> None:
    answer = answers.ask(client, method, path, body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert answer.headers["x-request-id"]


def test_a_refusal_names_what_is_wrong_and_no_value(client: httpx.Client) -> None:
    answer = client.post(f"{MODEL}:predict", json={"instances": [tiny.ROW | {"origin": "secret"}] * 9})
    assert answer.json()["error"].startswith("row 0, origin: expected one of")
    assert answer.json()["error"].endswith("; and 4 more")
    assert "secret" not in answer.text


@settings(max_examples=100)
@given(st.sampled_from(["predict", "classify"]), answers.bodies("instances", "inputs", "examples", "context"))
def test_no_body_breaks_it(client: httpx.Client, verb: str, body: bytes) -> None:
    assert client.post(f"{MODEL}:{verb}", content=body).status_code in (200, 400, 413, 422)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "/v1/models", None),
        ("get", "/v1/models/{model}", None),
        ("get", "/v1/models/{model}/metadata", None),
        ("post", "/v1/models/{model}:predict", {"instances": ROWS}),
        ("post", "/v1/models/{model}:predict", {"inputs": columns()}),
        ("post", "/v1/models/{model}:classify", {"examples": ROWS}),
    ],
)
def test_answers_are_as_described(client: httpx.Client, method: str, path: str, body: Any) -> None:
    real = path.replace("{model}", "served")
    answers.assert_described(client, path, client.request(method, real, json=body), method)
