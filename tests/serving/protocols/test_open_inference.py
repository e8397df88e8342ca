"""The Open Inference Protocol over a real socket, with a real server."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from tests.serving.protocols import numbers_model, speakers
from tests.support import tiny
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers

INFER = "/v2/models/served/infer"
DATATYPES = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}
ROWS = [tiny.ROW | {"distance": 41.7 * number, "origin": ("JFK", "EWR")[number % 2]} for number in range(100)]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def numbers(servers: SharedServers) -> Iterator[httpx.Client]:
    """A server with a regression whose fields are all numbers."""
    running = servers.get(Profile(numbers_model.CONTRACT, numbers_model.write))
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


def native(client: httpx.Client, rows: Sequence[Any]) -> list[dict[str, Any]]:
    predictions: list[dict[str, Any]] = (
        client.post("/predict", json={"rows": rows}).raise_for_status().json()["predictions"]
    )
    return predictions


def inputs_of(rows: Sequence[dict[str, Any]], shape: Sequence[int] = (), nested: bool = False) -> list[dict[str, Any]]:
    """Return one tensor per field; fields that the first row lacks are left out."""
    return [
        {
            "name": name,
            "shape": [len(rows), *shape],
            "datatype": DATATYPES[type(value)],
            "data": [[row[name]] if nested else row[name] for row in rows],
        }
        for name, value in rows[0].items()
    ]


def binary_request(
    inputs: list[dict[str, Any]], only: Sequence[str] = (), **options: Any
) -> tuple[bytes, dict[str, str]]:
    """Return a body and its header, with the data of the inputs as bytes after the JSON.

    Args:
        inputs: The inputs with their data.
        only: The names of the inputs whose data are bytes; empty for all of them.
        **options: Other keys of the request.
    """
    blobs, heads = [], []
    for tensor in inputs:
        if only and tensor["name"] not in only:
            heads.append(tensor)
            continue
        blobs.append(blob := speakers.to_bytes(tensor["datatype"], tensor["data"]))
        head = {key: tensor[key] for key in ("name", "shape", "datatype")}
        heads.append(head | {"parameters": {"binary_data_size": len(blob)}})
    document = json.dumps({"inputs": heads} | options).encode()
    return b"".join([document, *blobs]), {"Inference-Header-Content-Length": str(len(document))}


def outputs_of(answer: httpx.Response) -> dict[str, list[Any]]:
    """Return the tensors of a response by name, whether they came as JSON or as bytes."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get("inference-header-content-length", len(answer.content)))
    offset, outputs = length, {}
    for tensor in json.loads(answer.content[:length])["outputs"]:
        if "data" in tensor:
            outputs[tensor["name"]] = np.array(tensor["data"]).reshape(tensor["shape"]).tolist()
            continue
        size = tensor["parameters"]["binary_data_size"]
        blob, offset = answer.content[offset : offset + size], offset + size
        outputs[tensor["name"]] = speakers.from_bytes(tensor["datatype"], blob, tensor["shape"])
    assert offset == len(answer.content)
    return outputs


def expected(predictions: list[dict[str, Any]]) -> dict[str, Any]:
    if "value" in predictions[0]:
        return {name: [each[name] for each in predictions] for name in ("value", "lower", "upper")}
    return {
        "probabilities": [list(each["probabilities"].values()) for each in predictions],
        "decision": [each["decision"] for each in predictions],
    }


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[:2], ROWS])
@pytest.mark.parametrize(("shape", "nested"), [((), False), ((1,), False), ((1,), True)])
def test_json_gets_the_predictions_of_the_service(
    client: httpx.Client, rows: list[Any], shape: tuple[int, ...], nested: bool
) -> None:
    answer = client.post(INFER, json={"id": "mine", "inputs": inputs_of(rows, shape, nested)})
    assert outputs_of(answer) == expected(native(client, rows))
    assert {key: answer.json()[key] for key in ("id", "model_name", "model_version")} == {
        "id": "mine", "model_name": "served", "model_version": "1.0.0",
    }  # fmt: skip


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS])
@pytest.mark.parametrize("only", [(), ("distance", "remark")])
@pytest.mark.parametrize("is_binary", [True, False])
def test_bytes_get_the_predictions_of_the_service(
    client: httpx.Client, rows: list[Any], only: Sequence[str], is_binary: bool
) -> None:
    body, header = binary_request(inputs_of(rows), only, parameters={"binary_data_output": is_binary})
    answer = client.post("/v2/models/served/versions/1.0.0/infer", content=body, headers=header)
    assert outputs_of(answer) == expected(native(client, rows))
    assert ("inference-header-content-length" in answer.headers) == is_binary


def test_missing_field_of_many_rows_is_listed(client: httpx.Client) -> None:
    """Many rows without a field are refused with every problem."""
    body, header = binary_request(inputs_of([{name: row[name] for name in row if name != "departure"} for row in ROWS]))
    refusal = client.post(INFER, content=body, headers=header)
    assert refusal.status_code == 422
    assert [(problem["row"], problem["field"]) for problem in refusal.json()["errors"]] == [
        (number, "departure") for number in range(100)
    ]
    assert "and 95 more" in refusal.json()["error"]


def test_what_is_missing_is_null_or_left_out(client: httpx.Client) -> None:
    with_nulls = [row | {"temp": None, "carrier": None} for row in ROWS[:3]]
    without_fields = [{name: row[name] for name in row if name not in ("temp", "carrier")} for row in with_nulls]
    inputs = inputs_of(ROWS[:3])
    for tensor in inputs:
        if tensor["name"] in ("temp", "carrier"):
            tensor["data"] = [None] * 3
    native_outputs = expected(native(client, with_nulls))
    assert outputs_of(client.post(INFER, json={"inputs": inputs})) == native_outputs
    assert outputs_of(client.post(INFER, json={"inputs": inputs_of(without_fields)})) == native_outputs


@pytest.mark.parametrize("rows", [2, 40])
def test_nan_is_missing(numbers: httpx.Client, rows: int) -> None:
    with_nan = [{"distance": 0.1 * number, "temp": float("nan"), "seats": number} for number in range(rows)]
    body, header = binary_request(inputs_of(with_nan))
    native_outputs = expected(native(numbers, [row | {"temp": None} for row in with_nan]))
    assert outputs_of(numbers.post(INFER, content=body, headers=header)) == native_outputs


@pytest.mark.parametrize("rows", [1, 40])
def test_numbers_may_come_as_one_matrix(numbers: httpx.Client, rows: int) -> None:
    matrix = [[0.1 * number, float(number), number] for number in range(rows)]
    native_outputs = expected(
        native(numbers, [dict(zip(numbers_model.CONTRACT.names, row, strict=True)) for row in matrix])
    )
    tensor = {"name": "any", "shape": [rows, 3], "datatype": "FP64"}
    flat = [value for row in matrix for value in row]
    assert outputs_of(numbers.post(INFER, json={"inputs": [tensor | {"data": matrix}]})) == native_outputs
    assert outputs_of(numbers.post(INFER, json={"inputs": [tensor | {"data": flat}]})) == native_outputs
    body, header = binary_request([tensor | {"data": flat}])
    assert outputs_of(numbers.post(INFER, content=body, headers=header)) == native_outputs


def test_outputs_are_those_that_are_asked_for(client: httpx.Client) -> None:
    outputs = [{"name": "decision", "parameters": {"binary_data": True}}, {"name": "probabilities"}]
    answer = client.post(INFER, json={"inputs": inputs_of(ROWS[:2]), "outputs": outputs})
    assert list(outputs_of(answer)) == ["decision", "probabilities"]
    assert outputs_of(answer) == expected(native(client, ROWS[:2]))
    answer = client.post(INFER, json={"inputs": inputs_of(ROWS[:2]), "outputs": outputs[1:]})
    assert list(outputs_of(answer)) == ["probabilities"]


def test_health_and_metadata(client: httpx.Client) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert client.get(path).json() == {"live": True, "ready": True}
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]
    index = client.post("/v2/repository/index", json={"ready": True}).json()
    assert index == [{"name": "served", "version": "1.0.0", "state": "READY", "reason": ""}]
    for path in ("/v2/models/served", "/v2/models/served/versions/1.0.0"):
        assert client.get(f"{path}/ready").json() == {"name": "served", "ready": True}
        model = client.get(path).json()
        assert model["inputs"][:3] == [
            {"name": "distance", "datatype": "FP64", "shape": [-1, 1]},
            {"name": "temp", "datatype": "FP64", "shape": [-1, 1]},
            {"name": "seats", "datatype": "INT64", "shape": [-1, 1]},
        ]
        assert model["outputs"] == [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "decision", "datatype": "BYTES", "shape": [-1]},
        ]


def test_models_configuration_and_statistics(client: httpx.Client) -> None:
    assert client.get("/v2/models").json() == {"models": ["served"]}
    for path in ("/v2/models/served", "/v2/models/served/versions/1.0.0"):
        configuration, metadata = client.get(f"{path}/config").json(), client.get(path).json()
        assert configuration["max_batch_size"] == 100
        for kind in ("input", "output"):
            assert [tensor["name"] for tensor in configuration[kind]] == [each["name"] for each in metadata[f"{kind}s"]]
            shapes = [[-1, *tensor["dims"]] for tensor in configuration[kind]]
            assert shapes == [each["shape"] for each in metadata[f"{kind}s"]]
        types = {tensor["name"]: (tensor["data_type"], tensor["optional"]) for tensor in configuration["input"]}
        assert (types["seats"], types["carrier"]) == (("TYPE_INT64", False), ("TYPE_STRING", True))


def test_statistics_count_requests_rows_and_failures(client: httpx.Client) -> None:
    def statistics(path: str = "/v2/models/served/stats") -> dict[str, Any]:
        (model,) = client.get(path).json()["model_stats"]
        return dict(model)

    before = statistics()
    client.post(INFER, json={"inputs": inputs_of(ROWS[:7])}).raise_for_status()
    assert client.post(INFER, json={}).status_code == 400
    after = statistics("/v2/models/served/versions/1.0.0/stats")
    assert (after["name"], after["version"]) == ("served", "1.0.0")
    assert statistics("/v2/models/stats")["execution_count"] == after["execution_count"] > before["execution_count"]
    assert after["inference_count"] == before["inference_count"] + 7
    for outcome in ("success", "fail"):
        counts = [each["inference_stats"][outcome]["count"] for each in (before, after)]
        assert counts[1] == counts[0] + 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["inference_stats"]["queue"]["count"] > before["inference_stats"]["queue"]["count"]


def with_change(index: int = 0, **values: Any) -> list[dict[str, Any]]:
    """Return valid inputs, except for values of one of them."""
    inputs = inputs_of(ROWS[:2])
    inputs[index] |= values
    return inputs


@pytest.mark.parametrize(
    ("inputs", "status", "code"),
    [
        ([], 400, "malformed_body"),
        ("nothing", 400, "malformed_body"),
        (with_change(shape=[]), 400, "malformed_body"),
        (with_change(shape=[2, 2]), 400, "malformed_body"),
        (with_change(shape=[3]), 400, "malformed_body"),
        (with_change(data=[1.0]), 400, "malformed_body"),
        (with_change(data=[[1.0], 2.0]), 400, "malformed_body"),
        (with_change(data=None), 400, "malformed_body"),
        (with_change(datatype="SECRET"), 400, "malformed_body"),
        (with_change(1, name="distance"), 400, "malformed_body"),
        (with_change(name="unknown"), 422, "invalid_rows"),
        (with_change(data=["SECRET", "SECRET"]), 422, "invalid_rows"),
        (with_change(data=[1.0, 1e9]), 422, "invalid_rows"),
        (inputs_of([tiny.ROW] * 101), 413, "too_many_rows"),
    ],
)
def test_what_is_wrong_is_refused_in_the_protocols_words(
    client: httpx.Client, inputs: Any, status: int, code: str
) -> None:
    answer = client.post(INFER, json={"inputs": inputs}, headers={"X-Request-ID": "me"})
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (status, code, "me")
    assert answer.json()["error"]
    assert "SECRET" not in answer.text


LENGTH = "Inference-Header-Content-Length"


@pytest.mark.parametrize(
    ("request_options", "status", "code"),
    [
        ({"content": b"{"}, 400, "malformed_body"),
        ({"content": b"\xff"}, 400, "malformed_body"),
        ({"content": b"[" * 50_000}, 400, "malformed_body"),
        ({"content": b"x" * 200_000}, 413, "body_too_large"),
        ({"content": b"x", "headers": {"content-encoding": "compress"}}, 415, "unsupported_media_type"),
        ({"json": {"inputs": with_change(), "outputs": [{"name": "other"}]}}, 400, "malformed_body"),
        ({"content": b"{}", "headers": {LENGTH: "3"}}, 400, "malformed_body"),
        ({"content": b"{}", "headers": {LENGTH: "-1"}}, 400, "malformed_body"),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(
    client: httpx.Client, request_options: Any, status: int, code: str
) -> None:
    answer = client.post(INFER, **request_options)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", INFER, 405, "method_not_allowed"),
        ("POST", "/v2/models/other/infer", 404, "not_found"),
        ("GET", "/v2/models/other", 404, "not_found"),
        ("GET", "/v2/models/served/versions/2.0.0", 404, "not_found"),
        ("GET", "/v2/models/served/versions/2.0.0/ready", 404, "not_found"),
    ],
)
def test_what_is_not_there_is_refused(client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"]


def test_bytes_that_do_not_add_up_are_refused(client: httpx.Client) -> None:
    body, header = binary_request(inputs_of(ROWS[:3]))
    length = int(header["Inference-Header-Content-Length"])
    for invalid in (body[:-1], body + b"x", body[:length], body[:length] + b"\xff" * (len(body) - length)):
        answer = client.post(INFER, content=invalid, headers=header)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


def test_the_document_is_valid_and_true(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    validate(document)
    operation = document["paths"]["/v2/models/{model}/infer"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    for name, body in (
        ("OpenInferenceRequest", example),
        ("OpenInferenceAnswer", client.post(INFER, json=example).raise_for_status().json()),
        ("OpenInferenceModel", client.get("/v2/models/served").json()),
        ("OpenInferenceError", client.post(INFER).json()),
    ):
        jsonschema.validate(body, {"$ref": f"#/components/schemas/{name}", "components": document["components"]})


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=100)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from([*tiny.ROW, "other"]) | ANY_JSON,
                "shape": st.lists(st.integers(-1, 3), max_size=3) | ANY_JSON,
                "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "INT64"]) | ANY_JSON,
                "data": st.lists(ANY_JSON, max_size=3) | ANY_JSON,
                "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-9, 99)}) | ANY_JSON,
            },
        ),
        max_size=4,
    ),
    st.binary(max_size=40),
)
def test_no_request_is_a_server_error(client: httpx.Client, inputs: list[Any], blobs: bytes) -> None:
    head = json.dumps({"inputs": inputs}).encode()
    header = {"Inference-Header-Content-Length": str(len(head))}
    assert client.post(INFER, content=head + blobs, headers=header).status_code < 500


@settings(max_examples=100)
@given(st.integers(0, 2_000), st.binary(max_size=8))
def test_no_damage_is_a_server_error(client: httpx.Client, offset: int, damage: bytes) -> None:
    body, header = binary_request(inputs_of(ROWS[:3]))
    damaged_body = body[:offset] + damage + body[offset + len(damage) :]
    assert client.post(INFER, content=damaged_body, headers=header).status_code < 500
