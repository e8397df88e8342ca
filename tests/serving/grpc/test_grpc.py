"""The Open Inference Protocol over gRPC, with a real server of two workers and real connections."""

import json
import math
import random
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import numpy as np
import polars as pl
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.contract import Limits
from tests.serving.grpc import slow
from tests.serving.grpc.client import SERVICE, Client, add_input, outputs_of, refusal
from tests.support import tiny
from tests.support.processes import Server, free_port, run, serve, until

pytestmark = pytest.mark.slow

KEY = "the-key-of-a-caller"
SERVICES = (
    SERVICE,
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "org.pytorch.serve.grpc.inference.InferenceAPIsService",
)
ROWS = [tiny.ROW | {"distance": 41.7 * number, "origin": ("JFK", "EWR")[number % 2]} for number in range(90)]


class Running(NamedTuple):
    server: Server
    port: int


def slow_rows(rows: int, milliseconds: int) -> list[dict[str, Any]]:
    """Return rows that take this time together."""
    return [tiny.ROW | {"distance": 4_000.0 + milliseconds / rows}] * rows


@contextmanager
def started(folder: Path, seconds: float, *arguments: str) -> Iterator[Running]:
    """Start a server of the slow model, with two workers and an API key; ``seconds`` is the time limit of a request."""
    limits = Limits(rows=100, body_bytes=100_000, timeout_seconds=seconds)
    (folder / "settings.yaml").write_text("services: {ModelService: {workers: 2}}\n")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "graph", slow.graph)
        patch.setenv("BENTOML_CONFIG", str(folder / "settings.yaml"))
        patch.setenv("DEPLOYER_API_KEYS", KEY)
        patch.setenv("DEPLOYER_LOG_REQUESTS", "all")
        patch.setenv("DEPLOYER_THREADS", "1")
        patch.setenv("DEPLOYER_QUEUE_ROWS", "100")
        patch.setenv("DEPLOYER_GRPC_PORT", str(port))
        contract = tiny.CONTRACT.model_copy(update={"limits": limits})
        files = tiny.write(folder / "files", "served", contract=contract)
        home = tiny.home_of(folder / "home", folder / "files", files)
        with serve(arguments, home, folder / "log") as server:
            until(lambda: server.log.read_text().count("gRPC server listening") == 2)
            yield Running(server, port)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("grpc"), 3) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[Client]:
    client = Client(running.port, x_api_key=KEY)
    with closing(client.channel):
        yield client


@pytest.fixture(scope="module")
def http(running: Running) -> Iterator[httpx.Client]:
    with http_client(running) as client:
        yield client


def http_client(running: Running) -> httpx.Client:
    return httpx.Client(base_url=running.server.url, timeout=30, headers={"x-api-key": KEY})


def native(http: httpx.Client, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the predictions of the service's own route as tensors."""
    predictions = http.post("/predict", json={"rows": rows}).raise_for_status().json()["predictions"]
    return {
        "probabilities": [list(each["probabilities"].values()) for each in predictions],
        "decision": [each["decision"] for each in predictions],
    }


def metric(http: httpx.Client, sample: str) -> float:
    match = re.search(rf"^{re.escape(sample)} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return float(match[1]) if match else 0.0


def requests_sample(method: str, status: int) -> str:
    return f'model_requests_total{{protocol="open_inference_grpc",route="{method}",status="{status}"}}'


# Answers


@pytest.mark.parametrize("rows", [1, 2, 90])
@pytest.mark.parametrize("is_raw", [True, False])
def test_rows_get_the_predictions_of_the_service(client: Client, http: httpx.Client, rows: int, is_raw: bool) -> None:
    answer = client.start("ModelInfer", client.infer(ROWS[:rows], is_raw=is_raw, id="mine")).result()
    assert outputs_of(answer) == native(http, ROWS[:rows])
    assert bool(answer.raw_output_contents) == is_raw
    assert (answer.id, answer.model_name, answer.model_version) == ("mine", "served", "1.0.0")


@pytest.mark.parametrize("rows", [3, 40])
@pytest.mark.parametrize("is_raw", [True, False])
def test_what_is_missing_is_nan_or_left_out(client: Client, http: httpx.Client, rows: int, is_raw: bool) -> None:
    with_nulls = [row | {"temp": None, "carrier": None} for row in ROWS[:rows]]
    with_nan = [{name: row[name] for name in row if name != "carrier"} | {"temp": float("nan")} for row in with_nulls]
    answer = client.start("ModelInfer", client.infer(with_nan, is_raw=is_raw)).result()
    assert outputs_of(answer) == native(http, with_nulls)


@pytest.mark.parametrize("is_raw", [True, False])
def test_a_number_may_have_another_datatype(client: Client, http: httpx.Client, is_raw: bool) -> None:
    rows = [tiny.ROW | {"distance": 0.5, "seats": 7}] * 2
    other_fields = [{name: row[name] for name in row if name not in ("distance", "seats")} for row in rows]
    message = client.infer(other_fields, is_raw=is_raw)
    add_input(message, "distance", "FP32", [0.5, 0.5], is_raw=is_raw)
    add_input(message, "seats", "FP64", [7.0, 7.0], is_raw=is_raw)
    assert outputs_of(client.start("ModelInfer", message).result()) == native(http, rows)


def test_empty_contents_next_to_raw_values_are_accepted(client: Client, http: httpx.Client) -> None:
    """MLServer's converter writes them."""
    message = client.infer(ROWS[:2])
    for tensor in message.inputs:
        tensor.contents.SetInParent()
    assert outputs_of(client.start("ModelInfer", message).result()) == native(http, ROWS[:2])


def test_no_refusal_speaks_of_json(client: Client) -> None:
    for is_raw in (True, False):
        message = client.infer([dict.fromkeys(tiny.ROW, "text")] * 2, is_raw=is_raw)
        call = client.start("ModelInfer", message)
        assert refusal(call) == ("INVALID_ARGUMENT", "invalid_rows")
        assert "JSON" not in call.details()
    for blob in (np.array([np.inf, 1.0]).tobytes(), np.array([np.nan, 1.0]).tobytes(), b""):
        call = client.start("ModelInfer", with_change(client, blob=blob))
        assert refusal(call)[0] == "INVALID_ARGUMENT"
        assert "JSON" not in call.details()


def test_outputs_are_those_that_are_asked_for(client: Client, http: httpx.Client) -> None:
    outputs = [{"name": "decision"}, {"name": "decision"}]
    for is_raw in (True, False):
        answer = client.start("ModelInfer", client.infer(ROWS[:2], is_raw=is_raw, outputs=outputs)).result()
        assert outputs_of(answer) == {"decision": native(http, ROWS[:2])["decision"]}


def test_health_metadata_and_index(client: Client) -> None:
    assert client.call("ServerLive").live
    assert client.call("ServerReady").ready
    assert client.call("ServerMetadata").name == "model-deployer"
    (model,) = client.call("RepositoryIndex").models
    assert (model.name, model.version, model.state) == ("served", "1.0.0", "READY")
    for version in ("", "1.0.0"):
        assert client.call("ModelReady", name="served", version=version).ready
        metadata = client.call("ModelMetadata", name="served", version=version)
        inputs = [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs]
        assert inputs[:3] == [("distance", "FP64", [-1, 1]), ("temp", "FP64", [-1, 1]), ("seats", "INT64", [-1, 1])]
        outputs = [(each.name, each.datatype, list(each.shape)) for each in metadata.outputs]
        assert outputs == [("probabilities", "FP32", [-1, 2]), ("decision", "BYTES", [-1])]
        assert (list(metadata.versions), metadata.platform) == (["1.0.0"], "onnxruntime_onnx")


def test_reflection_lists_and_describes_all_that_is_served(client: Client) -> None:
    versions = {f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")}
    names = {*SERVICES, "grpc.health.v1.Health", *versions}
    assert set(client.reflection.get_services()) == names
    for name in names:
        assert name.rpartition(".")[2] in str(client.reflection.FindFileContainingSymbol(name))
    assert set(client.methods) == {
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryIndex",
        "ModelConfig", "ModelStatistics",
    }  # fmt: skip


def test_reflection_speaks_v1_too(client: Client) -> None:
    """Its messages are those of v1alpha under other names."""
    ask = client.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    symbols = [SERVICE, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1.ServerReflectionRequest", "none"]
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols]
    answers = list(ask(iter(requests), timeout=10))
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])
        for answer in answers[:3]
    ]
    assert [file.package for file in files] == ["inference", "grpc.reflection.v1", "grpc.reflection.v1"]
    assert answers[3].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_configuration_and_statistics_are_those_of_rest(client: Client, http: httpx.Client) -> None:
    for version in ("", "1.0.0"):
        configuration = client.call("ModelConfig", name="served", version=version).config
        rest = http.get("/v2/models/served/config").json()
        as_json = MessageToDict(
            configuration, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        assert as_json["max_batch_size"] == rest["max_batch_size"] == 100
        assert [each["data_type"] for each in as_json["input"]] == [each["data_type"] for each in rest["input"]]
        assert [list(map(int, each["dims"])) for each in as_json["output"]] == [each["dims"] for each in rest["output"]]
    (before,) = client.call("ModelStatistics", name="served").model_stats
    client.start("ModelInfer", client.infer(ROWS[:3])).result()

    def is_counted() -> bool:
        (after,) = client.call("ModelStatistics").model_stats
        counts = [(each.inference_count, each.inference_stats.success.count) for each in (before, after)]
        return counts[1] == (counts[0][0] + 3, counts[0][1] + 1) and after.inference_stats.success.ns > 0

    until(is_counted)


def test_a_request_id_comes_back_with_answers_and_refusals(client: Client) -> None:
    valid, invalid = client.infer(ROWS[:1]), client.infer(ROWS[:1], model_version="2")
    for message in (valid, invalid):
        call = client.start("ModelInfer", message, x_request_id="mine-1")
        call.exception()
        assert dict(call.trailing_metadata())["x-request-id"] == "mine-1"
    call = client.start("ModelInfer", valid)
    call.exception()
    assert re.fullmatch("[0-9a-f]{32}", dict(call.trailing_metadata())["x-request-id"])


def test_tables_are_unpacked_next_to_grpc(http: httpx.Client, tmp_path: Path) -> None:
    """Tables are unpacked in a process of their own while the server speaks gRPC."""
    pl.DataFrame(ROWS[:3]).write_parquet(tmp_path / "table")
    content = (tmp_path / "table").read_bytes()
    answer = http.post("/predict", content=content, headers={"content-type": "application/vnd.apache.parquet"})
    assert answer.json()["columns"]["decision"] == native(http, ROWS[:3])["decision"]


# Errors


def with_change(client: Client, *, is_raw: bool = True, rows: int = 2, index: int = 0, **values: Any) -> Any:
    """Return a valid request, except for values of one input."""
    message = client.infer(ROWS[:rows], is_raw=is_raw)
    for name, value in values.items():
        if name == "shape":
            message.inputs[index].shape[:] = value
        elif name == "blob":
            message.raw_input_contents[index] = value
        elif name == "contents":
            message.inputs[index].contents.CopyFrom(type(message.inputs[index].contents)(**value))
        else:
            setattr(message.inputs[index], name, value)
    return message


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize(
    ("values", "grpc_code", "code"),
    [
        ({"shape": []}, "INVALID_ARGUMENT", "malformed_body"),
        ({"shape": [0]}, "INVALID_ARGUMENT", "malformed_body"),
        ({"shape": [-1]}, "INVALID_ARGUMENT", "malformed_body"),
        ({"shape": [3]}, "INVALID_ARGUMENT", "malformed_body"),
        ({"shape": [2, 2]}, "INVALID_ARGUMENT", "malformed_body"),
        ({"shape": [2**62]}, "RESOURCE_EXHAUSTED", "too_many_rows"),
        ({"datatype": "SECRET"}, "INVALID_ARGUMENT", "malformed_body"),
        ({"datatype": "FP16"}, "INVALID_ARGUMENT", "malformed_body"),
        ({"index": 1, "name": "distance"}, "INVALID_ARGUMENT", "malformed_body"),
        ({"name": "SECRET"}, "INVALID_ARGUMENT", "invalid_rows"),
        ({"contents": {"fp32_contents": [1.0, 2.0]}}, "INVALID_ARGUMENT", "malformed_body"),
        ({"contents": {"fp64_contents": [1.0]}}, "INVALID_ARGUMENT", "malformed_body"),
    ],
)
def test_an_input_that_is_wrong_is_refused(
    client: Client, values: Mapping[str, Any], is_raw: bool, grpc_code: str, code: str
) -> None:
    call = client.start("ModelInfer", with_change(client, is_raw=is_raw, **values))
    assert refusal(call) == (grpc_code, code)
    assert call.details()


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"blob": b""}, "malformed_body"),
        ({"blob": b"\0" * 17}, "malformed_body"),
        ({"index": 4, "blob": b"\xff\xff\xff\xff"}, "malformed_body"),
        ({"index": 4, "blob": b"\1\0\0\0\xff\1\0\0\0\xff"}, "malformed_body"),
        ({"index": 4, "blob": b"\6\0\0\0SECRET\6\0\0\0SECRET"}, "invalid_rows"),
        ({"blob": np.array([np.inf, 1.0]).tobytes()}, "invalid_rows"),
        ({"blob": np.array([1e9, 1.0]).tobytes()}, "invalid_rows"),
    ],
)
def test_raw_values_that_are_wrong_are_refused(client: Client, values: Mapping[str, Any], code: str) -> None:
    call = client.start("ModelInfer", with_change(client, **values))
    assert refusal(call) == ("INVALID_ARGUMENT", code)
    assert "SECRET" not in call.details()


@pytest.mark.parametrize(
    ("method", "fields", "code"),
    [
        ("ModelInfer", {"model_name": "served"}, "malformed_body"),
        ("ModelInfer", {"model_name": "served", "raw_input_contents": [b"x"]}, "malformed_body"),
        ("ModelInfer", {"model_name": "served", "outputs": [{"name": "x"}]}, "malformed_body"),
        ("ModelInfer", {"model_name": "other"}, "not_found"),
        ("ModelReady", {"name": "served", "version": "2.0.0"}, "not_found"),
        ("ModelMetadata", {"name": "other"}, "not_found"),
        ("ModelConfig", {"name": "other"}, "not_found"),
        ("ModelStatistics", {"name": "served", "version": "2"}, "not_found"),
    ],
)
def test_what_is_not_there_is_refused_and_counted(
    client: Client, http: httpx.Client, method: str, fields: Mapping[str, Any], code: str
) -> None:
    status, name = (404, "NOT_FOUND") if code == "not_found" else (400, "INVALID_ARGUMENT")
    before = metric(http, requests_sample(method, status))
    assert refusal(client.start(method, client.message(method, **fields))) == (name, code)
    # Another worker may answer the request for the metrics just before the count is written.
    until(lambda: metric(http, requests_sample(method, status)) == before + 1)


def test_a_method_that_there_is_not_and_a_message_that_is_none(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.channel.unary_unary(f"/{SERVICE}/RepositoryModelLoad")(b"", metadata=client.metadata)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refusal(client.start("ModelInfer", b"\x3a\xff\xff")) == ("INVALID_ARGUMENT", "malformed_body")


def test_too_much_is_refused_packed_or_not(client: Client) -> None:
    many = client.infer([tiny.ROW] * 101)
    assert refusal(client.start("ModelInfer", many)) == ("RESOURCE_EXHAUSTED", "too_many_rows")
    call = client.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\0" * 10_000_000, metadata=client.metadata, compression=compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_refusal_is_short_whatever_was_sent(client: Client) -> None:
    message = client.infer(ROWS[:2])
    for index, tensor in enumerate(message.inputs):
        tensor.name = f"{index}" + "\u00e9" * 5_000
    assert refusal(client.start("ModelInfer", message)) == ("INVALID_ARGUMENT", "invalid_rows")


def test_without_a_key_only_health_and_reflection_are_answered(running: Running) -> None:
    for metadata in ({}, {"x_api_key": "a-wrong-key-of-a-caller"}, {"authorization": f"Basic {KEY}"}):
        client = Client(running.port, **metadata)
        with closing(client.channel):
            for method in sorted(client.methods):
                call = client.start(method, client.message(method))
                if method in ("ServerLive", "ServerReady"):
                    assert call.exception() is None
                else:
                    assert refusal(call) == ("UNAUTHENTICATED", "unauthorized")
    client = Client(running.port, authorization=f"Bearer {KEY}")
    with closing(client.channel):
        assert client.call("ServerMetadata").version == "1.0.0"


@pytest.mark.parametrize(
    ("method", "expected"), [("ModelInfer", ("UNAUTHENTICATED", "unauthorized")), ("ServerLive", None)]
)
def test_without_a_key_no_message_is_read(running: Running, method: str, expected: tuple[str, str] | None) -> None:
    """The response comes although the message never does."""
    never_sent = threading.Event()

    def messages() -> Iterator[bytes]:
        never_sent.wait()
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        call = channel.stream_unary(f"/{SERVICE}/{method}").future(messages(), timeout=10)
        try:
            assert (refusal(call) if call.exception() else None) == expected
        finally:
            never_sent.set()


def test_many_empty_messages_are_refused(client: Client) -> None:
    """They would take forty times the memory of their bytes."""
    call = client.start("ModelInfer", b"\x2a\x00" * 45_000)
    assert refusal(call) == ("RESOURCE_EXHAUSTED", "too_many_rows")


def test_health_is_listed_without_a_key(running: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    serving = health_pb2.HealthCheckResponse.SERVING
    statuses = {name: status.status for name, status in health.statuses.items()}
    assert statuses == dict.fromkeys(["", *SERVICES], serving)
    assert "Traceback" not in running.server.log.read_text()


def test_no_value_is_ever_in_the_log(running: Running, client: Client) -> None:
    client.start("ModelInfer", with_change(client, name="do-not-log-4711", datatype="do-not-log-4711")).exception()
    wrong = client.infer([tiny.ROW | {"distance": math.inf, "origin": "do-not-log-4711"}])
    client.start("ModelInfer", wrong, x_request_id="refused").exception()
    client.start("ModelInfer", client.infer(ROWS[:1]), x_request_id="to-be-found").result()
    lines = [json.loads(line) for line in running.server.log.read_text().splitlines() if line.startswith("{")]
    (refused,) = [line for line in lines if line.get("request_id") == "refused"]
    assert (refused["status"], refused["code"], refused["fields"]) == (422, "invalid_rows", ["distance", "origin"])
    until(lambda: '"request_id": "to-be-found", "route": "ModelInfer", "status": 200' in running.server.log.read_text())
    assert "do-not-log" not in running.server.log.read_text()
    assert KEY not in running.server.log.read_text()


# Time and load


def test_many_callers_at_once_get_what_each_asked_for(running: Running, http: httpx.Client) -> None:
    expected = native(http, ROWS)

    def ask(seed: int) -> None:
        generator = random.Random(seed)
        client = Client(running.port, x_api_key=KEY)
        with closing(client.channel):
            for _ in range(50):
                start = generator.randrange(len(ROWS) - 1)
                end = start + generator.choice((1, 1, 1, 3))
                message = client.infer(ROWS[start:end], is_raw=generator.random() < 0.5)
                is_valid = generator.random() < 0.8
                if not is_valid:
                    message.inputs[0].name = "stranger"
                call = client.start("ModelInfer", message)
                if is_valid:
                    expected_outputs = {name: values[start:end] for name, values in expected.items()}
                    assert outputs_of(call.result()) == expected_outputs
                else:
                    assert refusal(call) == ("INVALID_ARGUMENT", "invalid_rows")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [None] * 8


NAMES = st.sampled_from([*tiny.ROW, "other", ""]) | st.text(max_size=5)
NUMBERS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "fp64_contents": st.lists(st.floats(), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "int64_contents": NUMBERS,
        "int_contents": NUMBERS,
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=3),
        "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=3),
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=5), max_size=3),
    },
)
DATATYPES = st.sampled_from(["FP64", "FP32", "FP16", "BYTES", "BOOL", "INT64", "INT8", "UINT16", "UINT64", "BF16", ""])
INPUT = st.fixed_dictionaries(
    {"name": NAMES, "datatype": DATATYPES, "shape": st.lists(st.integers(-1, 3), max_size=3)},
    optional={"contents": CONTENTS},
)


@settings(max_examples=100)
@given(st.lists(INPUT, max_size=4), st.lists(st.binary(max_size=20), max_size=4), st.lists(NAMES, max_size=2))
def test_no_request_is_a_server_error(client: Client, inputs: list[Any], blobs: list[bytes], names: list[str]) -> None:
    outputs = [{"name": name} for name in names]
    fields = {"model_name": "served", "inputs": inputs, "raw_input_contents": blobs, "outputs": outputs}
    call = client.start("ModelInfer", client.message("ModelInfer", **fields))
    assert refusal(call)[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


@settings(max_examples=100)
@given(st.booleans(), st.integers(0, 700), st.integers(0, 9), st.binary(max_size=8))
def test_no_damage_is_a_server_error(client: Client, is_raw: bool, offset: int, length: int, damage: bytes) -> None:
    message = client.infer(ROWS[:3], is_raw=is_raw).SerializeToString()
    call = client.start("ModelInfer", message[:offset] + damage + message[offset + length :])
    assert call.exception() is None or refusal(call)[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "NOT_FOUND")


# Load and shutdown. These tests come last, because the server's throughput estimate stays low after them


def test_refused_cancelled_and_late_calls_are_not_computed(client: Client, http: httpx.Client) -> None:
    """What is refused, cancelled or out of time is never computed."""
    samples = ("model_rows_total", *(requests_sample("ModelInfer", status) for status in (499, 503, 504)))
    before = [metric(http, sample) for sample in samples]
    batches = metric(http, "model_batch_rows_count")
    first = client.start("ModelInfer", client.infer(slow_rows(5, 1_000)))
    until(lambda: metric(http, "model_batch_rows_count") > batches)  # it is running, so the next calls wait
    late = client.start("ModelInfer", client.infer(ROWS[:1]), seconds=0.2)
    assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    waiting = [client.start("ModelInfer", client.infer(ROWS)) for _ in range(2)]  # the queue has space for one
    until(lambda: any(call.done() for call in waiting))
    refused, cancelled = sorted(waiting, key=lambda call: not call.done())
    assert refusal(refused) == ("UNAVAILABLE", "overloaded")
    assert dict(refused.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    cancelled.cancel()
    assert len(outputs_of(first.result())["decision"]) == 5
    assert outputs_of(client.start("ModelInfer", client.infer(ROWS[:1])).result()) == native(http, ROWS[:1])
    rows, disconnected, overloaded, timed_out = (
        metric(http, sample) - old_value for sample, old_value in zip(samples, before, strict=True)
    )
    assert (rows, disconnected + timed_out, overloaded) == (5 + 1 + 1, 2, 1)


def test_the_timeout_of_a_request_is_a_deadline(client: Client) -> None:
    message = client.infer(slow_rows(5, 500))
    message.parameters["timeout"].int64_param = 50_000
    assert refusal(client.start("ModelInfer", message)) == ("DEADLINE_EXCEEDED", "deadline_exceeded")
    until(lambda: client.start("ModelInfer", client.infer(ROWS[:1])).exception() is None)


def test_what_takes_too_long_is_given_up(client: Client) -> None:
    assert refusal(client.start("ModelInfer", client.infer(slow_rows(10, 8_000)))) == (
        "DEADLINE_EXCEEDED",
        "deadline_exceeded",
    )
    until(lambda: client.start("ModelInfer", client.infer(ROWS[:1])).exception() is None)


def test_a_taken_port_is_said_in_one_line(running: Running, tmp_path: Path) -> None:
    home = tiny.home(tmp_path, "1.0.0")
    completed = run(
        "bentoml", "serve", "--port", str(free_port()), BENTOML_HOME=str(home), DEPLOYER_GRPC_PORT=str(running.port)
    )
    assert completed.returncode == 1
    assert f"gRPC port {running.port} is used by another program" in completed.stderr
    assert "Traceback" not in completed.stderr


def test_calls_under_way_are_answered_at_shutdown(tmp_path: Path) -> None:
    """Calls that are under way are answered when the server receives SIGTERM."""
    with started(tmp_path, 30, "--host", "127.0.0.1") as running, http_client(running) as http:
        assert f'"address": "127.0.0.1:{running.port}"' in running.server.log.read_text()
        client = Client(running.port, x_api_key=KEY)
        with closing(client.channel):
            health = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            assert next(health).status == health_pb2.HealthCheckResponse.SERVING
            slow_call = client.start("ModelInfer", client.infer(slow_rows(5, 3_000)))
            until(lambda: metric(http, "model_batch_rows_count") == 1)
            running.server.process.terminate()
            assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
            last_call = client.start("ModelInfer", client.infer(ROWS[:1]))  # a client that does not watch the health
            until(lambda: refuses_calls(client))
            assert [len(outputs_of(call.result())["decision"]) for call in (slow_call, last_call)] == [5, 1]
        assert running.server.process.wait(timeout=20) == 0


def refuses_calls(client: Client) -> bool:
    error = client.start("ServerLive", client.message("ServerLive")).exception()
    return error is not None and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
