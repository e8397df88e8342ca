"""TensorFlow Serving's protocol over gRPC, with a client that learns the messages by reflection."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.grpc import tensorflow
from tests.serving.grpc.client import Client, refusal
from tests.serving.protocols import answers, numbers_model
from tests.serving.protocols.served import KEY, Served
from tests.serving.protocols.speakers import of_predictions
from tests.support import tiny
from tests.support.servers import Profile, SharedServers

#: The numbers of these rows are float32.
ROWS = [tiny.ROW | {"temp": 51.25}, tiny.ROW | {"origin": "EWR", "distance": 12.25}, tiny.ROW | {"seats": 3}]
SPECIFICATION = {"name": "served", "version": {"value": 1_000_000}, "signature_name": "serving_default"}


@pytest.fixture(scope="module")
def client(labels: Served) -> Iterator[Client]:
    client = Client(labels.grpc_port, tensorflow.SERVICE, x_api_key=KEY)
    with closing(client.channel):
        yield client


def native(served: Served, rows: Sequence[Any]) -> dict[str, list[Any]]:
    return of_predictions(answers.native(served.client, rows), served.contract)


def described(specification: Any) -> tuple[str, int, str]:
    return specification.name, specification.version.value, specification.signature_name


@pytest.mark.parametrize("count", [1, 3, 90])
@pytest.mark.parametrize("is_content", [False, True])
def test_rows_get_the_predictions_of_the_service(any_output: Served, count: int, is_content: bool) -> None:
    rows = (ROWS * count)[:count]
    client = Client(any_output.grpc_port, tensorflow.SERVICE, x_api_key=KEY)
    with closing(client.channel):
        answer = client.start("Predict", tensorflow.predict(client, rows, is_content)).result()
    assert tensorflow.outputs_of(answer) == native(any_output, rows)
    assert described(answer.model_spec) == ("served", 1_000_000, "serving_default")


@pytest.mark.parametrize(
    "specification",
    [SPECIFICATION, {"name": "served", "version_label": "stable"}, {"name": "served", "signature_name": ""}],
)
def test_the_only_version_label_and_signature_may_be_named(client: Client, specification: dict[str, Any]) -> None:
    message = tensorflow.predict(client, ROWS, model_spec=specification)
    assert len(tensorflow.outputs_of(client.start("Predict", message).result())["decision"]) == 3


@pytest.mark.parametrize("dtype", [name for name in tensorflow.DTYPES if name not in ("DT_STRING", "DT_BOOL")])
@pytest.mark.parametrize("is_content", [False, True])
@pytest.mark.parametrize("count", [2, 40])
def test_a_number_may_have_any_dtype(client: Client, labels: Served, dtype: str, is_content: bool, count: int) -> None:
    rows = [tiny.ROW | {"distance": 77.0, "seats": 77}, tiny.ROW | {"distance": 3.0, "seats": 3}] * (count // 2)
    message = tensorflow.predict(client, rows)
    convert = float if dtype in ("DT_FLOAT", "DT_DOUBLE", "DT_HALF") else int
    for name in ("distance", "seats"):
        tensorflow.put(message.inputs[name], dtype, [convert(row[name]) for row in rows], is_content)
    assert tensorflow.outputs_of(client.start("Predict", message).result()) == native(labels, rows)


def test_one_tensor_may_hold_all_fields(servers: SharedServers) -> None:
    """It has the shape [rows, fields], as for a Keras model with one input."""
    server = servers.get(Profile(numbers_model.CONTRACT, numbers_model.write, speaks_grpc=True))
    assert server.grpc_port
    client = Client(server.grpc_port, tensorflow.SERVICE)
    message = client.message("Predict", model_spec={"name": "served"})
    tensor = message.inputs["dense_input"]
    tensorflow.put(tensor, "DT_FLOAT", [1.0, 51.0, 3.0, 1000.0, float("nan"), 7.0])
    tensor.tensor_shape.dim[0].size, tensor.tensor_shape.dim[1].size = 2, 3
    with closing(client.channel):
        outputs = tensorflow.outputs_of(client.start("Predict", message).result())
    assert outputs["value"] == [np.float32(0.001), np.float32(1.0)]
    assert outputs["lower"] == [np.float32(0.051), np.float32(0.001)]


def test_one_value_fills_a_tensor(client: Client, labels: Served) -> None:
    """TensorFlow writes a tensor of equal values like this."""
    for count in (3, 90):
        message = tensorflow.predict(client, [tiny.ROW] * count)
        for tensor in message.inputs.values():
            for _, values in list(tensor.ListFields())[2:]:
                del values[1:]
        outputs = tensorflow.outputs_of(client.start("Predict", message).result())
        assert outputs == native(labels, [tiny.ROW] * count)


@pytest.mark.parametrize("count", [3, 40])
def test_what_is_missing_is_nan_or_left_out(client: Client, labels: Served, count: int) -> None:
    rows = [tiny.ROW | {"temp": None, "carrier": None}] * count
    with_nan = [{name: row[name] for name in row if name != "carrier"} | {"temp": float("nan")} for row in rows]
    answer = client.start("Predict", tensorflow.predict(client, with_nan)).result()
    assert tensorflow.outputs_of(answer) == native(labels, rows)


def test_outputs_are_those_of_the_filter(client: Client, labels: Served) -> None:
    message = tensorflow.predict(client, ROWS, output_filter=["decision", "decision"])
    outputs = tensorflow.outputs_of(client.start("Predict", message).result())
    assert outputs == {"decision": native(labels, ROWS)["decision"]}


def test_classify_answers_labels_and_scores(client: Client, labels: Served) -> None:
    """Examples have no booleans, and may share a context."""
    examples = [tensorflow.example(row) for row in ROWS]
    context = {name: value for name, value in tiny.ROW.items() if name != "distance"} | {"temp": None, "holiday": True}
    distances = [tensorflow.example({"distance": 1.0}), tensorflow.example({"distance": 4000.0})]
    shared = {"examples": distances, "context": tensorflow.example(context)}
    for message_input, rows in (
        ({"example_list": {"examples": examples}}, ROWS),
        ({"example_list_with_context": shared}, [context | {"distance": 1.0}, context | {"distance": 4000.0}]),
    ):
        answer = client.call("Classify", model_spec={"name": "served"}, input=message_input)
        scores = [{each.label: each.score for each in row.classes} for row in answer.result.classifications]
        assert scores == [each["probabilities"] for each in answers.native(labels.client, rows)]
        assert described(answer.model_spec) == ("served", 1_000_000, "serving_default")


def test_regress_answers_numbers(number: Served) -> None:
    client = Client(number.grpc_port, tensorflow.SERVICE, x_api_key=KEY)
    request = {
        "model_spec": {"name": "served"},
        "input": {"example_list": {"examples": [tensorflow.example(row) for row in ROWS * 30]}},
    }
    with closing(client.channel):
        answer = client.call("Regress", **request)
        call = client.start("Classify", client.message("Classify", **request))
        assert refusal(call) == ("INVALID_ARGUMENT", "malformed_body")
        assert call.details() == "the model is a regression; call Regress or Predict"
    assert [each.value for each in answer.result.regressions] == native(number, ROWS * 30)["value"]


def test_the_status_and_the_metadata_are_those_of_rest(client: Client, labels: Served) -> None:
    service = Client(labels.grpc_port, "tensorflow.serving.ModelService", x_api_key=KEY)
    with closing(service.channel):
        (version,) = service.call("GetModelStatus", model_spec=SPECIFICATION).model_version_status
    assert (version.version, version.state, version.status.error_code) == (1_000_000, 30, 0)
    answer = client.call("GetModelMetadata", model_spec={"name": "served"}, metadata_field=["signature_def"])
    pool = client.methods["Predict"].input_type.file.pool
    definitions = message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.SignatureDefMap"))()
    assert answer.metadata["signature_def"].Unpack(definitions)
    signature = definitions.signature_def["serving_default"]
    rest = labels.client.get("/v1/models/served/metadata").json()["metadata"]["signature_def"]["signature_def"]
    for tensors, expected in (
        (signature.inputs, rest["serving_default"]["inputs"]),
        (signature.outputs, rest["serving_default"]["outputs"]),
    ):
        assert {name: tensorflow.NAMES[each.dtype] for name, each in tensors.items()} == {
            name: each["dtype"] for name, each in expected.items()
        }
        assert {name: [str(dim.size) for dim in each.tensor_shape.dim] for name, each in tensors.items()} == {
            name: [dim["size"] for dim in each["tensor_shape"]["dim"]] for name, each in expected.items()
        }
    assert described(answer.model_spec) == ("served", 1_000_000, "")


@pytest.mark.parametrize(
    ("specification", "code", "text"),
    [
        ({}, "NOT_FOUND", "GET /v1/models names the one"),
        ({"name": "SECRET"}, "NOT_FOUND", "GET /v1/models names the one"),
        ({"name": "served", "version": {"value": 2}}, "NOT_FOUND", "GetModelStatus without a version"),
        ({"name": "served", "version_label": "SECRET"}, "NOT_FOUND", "the only label of a version is `stable`"),
        ({"name": "served", "signature_name": "SECRET"}, "INVALID_ARGUMENT", "the only signature is `serving_default`"),
    ],
)
def test_another_model_is_refused(client: Client, specification: dict[str, Any], code: str, text: str) -> None:
    for method in ("Predict", "Classify", "Regress", "GetModelMetadata"):
        call = client.start(method, client.message(method, model_spec=specification))
        assert refusal(call)[0] == code
        assert text in call.details()
        assert "SECRET" not in call.details()


def changed(client: Client, **change: Any) -> Any:
    """Return a request whose tensor of a field is wrong."""
    message = tensorflow.predict(client, ROWS)
    tensor = message.inputs["distance"]
    for name, value in change.items():
        match name:
            case "shape":
                del tensor.tensor_shape.dim[:]
                for size in value:
                    tensor.tensor_shape.dim.add(size=size)
            case "double_val":
                tensor.double_val[:] = value
            case "name":
                message.inputs[value].CopyFrom(tensor)
            case _:
                setattr(tensor, name, value)
    return message


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"dtype": 8}, "malformed_body", "expected the `dtype` of an input to be one of DT_FLOAT"),
        ({"dtype": 1}, "malformed_body", "expected the `float_val` of an input to have the number of values"),
        ({"dtype": 7, "tensor_content": b"x"}, "malformed_body", "expected the values of an input of DT_STRING in"),
        ({"double_val": []}, "malformed_body", "expected the `double_val` of an input to have the number of values"),
        ({"double_val": [1.0, 2.0]}, "malformed_body", "expected the `double_val` of an input"),
        ({"tensor_content": b"12345"}, "malformed_body", "expected an input to have as many bytes as"),
        ({"shape": []}, "malformed_body", "the shape [rows] or [rows, 1]"),
        ({"shape": [3, 2]}, "malformed_body", "the shape [rows] or [rows, 1]"),
        ({"shape": [2]}, "malformed_body", "the shape [rows] or [rows, 1]"),
        ({"shape": [-1]}, "malformed_body", "expected at least one row"),
        ({"name": "SECRET"}, "invalid_rows", "row 0"),
        ({"double_val": [1e9, 1.0, 1.0]}, "invalid_rows", "row 0, distance: "),
    ],
)
def test_a_tensor_that_is_wrong_is_refused(client: Client, change: dict[str, Any], code: str, text: str) -> None:
    call = client.start("Predict", changed(client, **change))
    assert refusal(call) == ("INVALID_ARGUMENT", code)
    assert text in call.details()
    assert "JSON" not in call.details()


@pytest.mark.parametrize(
    ("method", "fields", "status", "text"),
    [
        ("Predict", {}, "INVALID_ARGUMENT", "expected at least one input"),
        ("Predict", {"output_filter": ["SECRET"]}, "INVALID_ARGUMENT", "to be one of probabilities, decision"),
        ("Classify", {}, "INVALID_ARGUMENT", "expected `input` to have an `example_list`"),
        ("Classify", {"input": {"example_list": {}}}, "INVALID_ARGUMENT", "the list of rows is empty"),
        (
            "Classify",
            {"input": {"example_list": {"examples": [tensorflow.example(ROWS[0])] * 101}}},
            "RESOURCE_EXHAUSTED",
            "send at most 100",
        ),
        (
            "Classify",
            {"input": {"example_list": {"examples": [tensorflow.example(tiny.ROW | {"origin": "SECRET"})]}}},
            "INVALID_ARGUMENT",
            "row 0, origin: expected one of",
        ),
        ("Regress", {}, "INVALID_ARGUMENT", "call Classify or Predict"),
        ("GetModelMetadata", {}, "INVALID_ARGUMENT", "expected `metadata_field` to have `signature_def`"),
        ("GetModelMetadata", {"metadata_field": ["SECRET"]}, "INVALID_ARGUMENT", "expected `metadata_field`"),
    ],
)
def test_a_request_that_is_wrong_is_refused(
    client: Client, method: str, fields: dict[str, Any], status: str, text: str
) -> None:
    call = client.start(method, client.message(method, model_spec={"name": "served"}, **fields))
    assert refusal(call)[0] == status
    assert text in call.details()
    assert "SECRET" not in call.details()


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ({"float_list": {"value": [1.0, 2.0]}}, "row 1, distance: expected one value in a feature"),
        ({"bytes_list": {"value": [b"\xff"]}}, "row 1, distance: expected text in UTF-8"),
        ({"bytes_list": {"value": [b"near"]}}, "row 1, distance: "),
        ({}, "row 1, distance: "),
    ],
)
def test_a_feature_that_is_wrong_is_refused(client: Client, feature: dict[str, Any], text: str) -> None:
    wrong = tensorflow.example(ROWS[0])
    wrong["features"]["feature"]["distance"] = feature
    fields = {"input": {"example_list": {"examples": [tensorflow.example(ROWS[0]), wrong]}}}
    call = client.start("Classify", client.message("Classify", model_spec={"name": "served"}, **fields))
    assert refusal(call)[0] == "INVALID_ARGUMENT"
    assert text in call.details()


def test_a_key_is_needed_and_other_methods_do_not_exist(labels: Served, client: Client) -> None:
    stranger = Client(labels.grpc_port, tensorflow.SERVICE)
    with closing(stranger.channel):
        for method in stranger.methods:
            assert refusal(stranger.start(method, b"")) == ("UNAUTHENTICATED", "unauthorized")
    for path in ("PredictionService/MultiInference", "ModelService/HandleReloadConfigRequest"):
        call = client.channel.unary_unary(f"/tensorflow.serving.{path}").future(b"", metadata=client.metadata)
        assert call.exception().code() is grpc.StatusCode.UNIMPLEMENTED


def test_calls_are_counted_under_the_protocol(labels: Served, client: Client) -> None:
    sample = 'model_requests_total{protocol="tensorflow_serving_grpc",route="Predict",status="200"}'

    def count() -> float:
        lines = [line for line in labels.client.get("/metrics").text.splitlines() if line.startswith(sample)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    before = count()
    client.start("Predict", tensorflow.predict(client, ROWS)).result()
    assert count() == before + 1


TENSOR = st.fixed_dictionaries(
    {"dtype": st.integers(0, 25), "tensor_shape": st.fixed_dictionaries({"dim": st.lists(
        st.fixed_dictionaries({"size": st.integers(-1, 3)}), max_size=3)})},
    optional={
        "tensor_content": st.binary(max_size=24),
        "float_val": st.lists(st.floats(width=32), max_size=3),
        "double_val": st.lists(st.floats(), max_size=3),
        "int_val": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "half_val": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "string_val": st.lists(st.binary(max_size=5), max_size=3),
        "bool_val": st.lists(st.booleans(), max_size=3),
    },
)  # fmt: skip


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([*tiny.ROW, "other", ""]), TENSOR, max_size=4))
def test_no_request_is_a_server_error(client: Client, inputs: dict[str, Any]) -> None:
    message = client.message("Predict", model_spec={"name": "served"}, inputs=inputs)
    assert refusal(client.start("Predict", message))[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


@settings(max_examples=100)
@given(st.sampled_from(["Predict", "Classify"]), st.integers(0, 700), st.integers(0, 9), st.binary(max_size=8))
def test_no_damage_is_a_server_error(client: Client, method: str, offset: int, length: int, damage: bytes) -> None:
    examples = {"input": {"example_list": {"examples": [tensorflow.example(row) for row in ROWS]}}}
    messages = {
        "Predict": tensorflow.predict(client, ROWS),
        "Classify": client.message("Classify", model_spec={"name": "served"}, **examples),
    }
    content = messages[method].SerializeToString()
    call = client.start(method, content[:offset] + damage + content[offset + length :])
    assert call.exception() is None or refusal(call)[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "NOT_FOUND")
