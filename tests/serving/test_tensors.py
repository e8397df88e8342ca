"""A model with tensors: rows of different shapes in one batch are answered as each of them alone, in every protocol."""

import asyncio
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import polars as pl
import pytest
from openapi_spec_validator import validate

from model_deployer.contract.artifact import Artifact
from model_deployer.serving.engines.offline import predict
from tests.serving.grpc import tensorflow
from tests.serving.grpc.client import Client
from tests.serving.test_vectors import JSON_REQUESTS, VARIABLES, VERTEX, assert_bits, columns, of_predictions
from tests.support import tensor_models
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers
from tests.support.tensor_models import LABELS, ONE_TENSOR, WITH_TENSORS

pytestmark = pytest.mark.slow

INFER = "/v2/models/served/infer"
ROWS = tensor_models.tensor_rows(WITH_TENSORS, 12)

#: Rows without null, whose tensors have one shape.
EQUAL_ROWS = [row | {"spectrogram": [[0.5, -1, 2, 0.25], [1, number, 0, 3]]} for number, row in enumerate(ROWS[:3])]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile(WITH_TENSORS, tensor_models.write_tensors, VARIABLES, speaks_grpc=True))


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def one_tensor(servers: SharedServers) -> Iterator[httpx.Client]:
    """A server of a model whose only field is a tensor."""
    running = servers.get(Profile(ONE_TENSOR, tensor_models.write_tensors, VARIABLES))
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


def expected(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Any:
    return tensor_models.tensor_answers(folder, WITH_TENSORS, rows)


@pytest.mark.parametrize(("path", "body", "predictions"), JSON_REQUESTS)
def test_json_has_tensors_of_any_shape(
    server: Server, client: httpx.Client, path: str, body: Any, predictions: Any
) -> None:
    answer = client.post(path, json=body(ROWS)).raise_for_status().json()
    assert_bits(of_predictions(predictions(answer)), expected(server.model, ROWS))


@pytest.mark.parametrize("kind", ["stream", "parquet"])
@pytest.mark.parametrize("count", [12, 600])
def test_tables_have_tensors(server: Server, client: httpx.Client, kind: str, count: int) -> None:
    rows, file = tensor_models.tensor_rows(WITH_TENSORS, count), io.BytesIO()
    schema: dict[str, pl.DataType] = {
        "spectrogram": pl.List(pl.List(pl.Float32)),
        "matrix": pl.Array(pl.Int64, (2, 3)),
        "age": pl.Float64(),
    }
    frame = pl.DataFrame(rows, schema=schema)
    _ = frame.write_parquet(file) if kind == "parquet" else frame.write_ipc_stream(file)
    media_type = "application/vnd.apache." + (kind if kind == "parquet" else f"arrow.{kind}")
    headers = {"content-type": media_type, "accept": "application/json"}
    answer = client.post("/predict", content=file.getvalue(), headers=headers).raise_for_status().json()["columns"]
    actual = np.array([answer[f"probabilities.{label}"] for label in LABELS]).T
    assert_bits(actual, expected(server.model, rows))


def test_requests_of_different_shapes_share_a_batch(server: Server) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            return await asyncio.gather(*(client.post("/predict", json=row) for row in ROWS * 5))

    answers = [response.raise_for_status().json()["predictions"][0] for response in asyncio.run(ask())]
    assert_bits(of_predictions(answers), expected(server.model, ROWS * 5))


def inputs(rows: Sequence[Mapping[str, Any]], nested: bool) -> list[dict[str, Any]]:
    values = columns(rows)
    flat = {name: data if nested else np.ravel(data).tolist() for name, data in values.items()}
    return [
        {"name": "spectrogram", "shape": [len(rows), 2, 4], "datatype": "FP32", "data": flat["spectrogram"]},
        {"name": "matrix", "shape": [len(rows), 2, 3], "datatype": "INT64", "data": flat["matrix"]},
        {"name": "age", "shape": [len(rows), 1], "datatype": "FP64", "data": values["age"]},
    ]


@pytest.mark.parametrize("nested", [True, False])
def test_open_inference_takes_tensors(server: Server, client: httpx.Client, nested: bool) -> None:
    answer = client.post(INFER, json={"inputs": inputs(EQUAL_ROWS, nested)}).raise_for_status().json()
    assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), expected(server.model, EQUAL_ROWS))
    assert [each["shape"] for each in client.get("/v2/models/served").json()["inputs"]] == [
        [-1, -1, 4],
        [-1, 2, 3],
        [-1, 1],
    ]


def test_open_inference_takes_bytes(server: Server, client: httpx.Client) -> None:
    heads, blobs = [], []
    for tensor, dtype in zip(inputs(EQUAL_ROWS, nested=False), ("<f4", "<i8", "<f8"), strict=True):
        blobs.append(np.array(tensor.pop("data"), dtype).tobytes())
        heads.append(tensor | {"parameters": {"binary_data_size": len(blobs[-1])}})
    head = json.dumps({"inputs": heads}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = client.post(INFER, content=b"".join([head, *blobs]), headers=headers).raise_for_status().json()
    assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), expected(server.model, EQUAL_ROWS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [1, 7, 4]}, "expected the input `spectrogram` to have the shape [rows, 1 to 6, 4]"),
        ({"shape": [1, 8]}, "expected the input `spectrogram` to have the shape [rows, 1 to 6, 4]"),
        ({"data": [1.0] * 7}, "expected the `data` of an input to have the number of values in its `shape`"),
        ({"data": [1.0] * 7 + [None]}, "row 0, spectrogram: null at [1][3] is not accepted: send a number"),
    ],
)
def test_open_inference_refuses_other_tensors(client: httpx.Client, change: dict[str, Any], reason: str) -> None:
    tensor = {"name": "spectrogram", "shape": [1, 2, 4], "datatype": "FP32", "data": [1.0] * 8}
    answer = client.post(INFER, json={"inputs": [tensor | change]})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"] == reason


@pytest.mark.parametrize("is_raw", [True, False])
def test_grpc_takes_tensors(server: Server, is_raw: bool) -> None:
    assert server.grpc_port is not None
    fields = {"FP32": ("<f4", "fp32_contents"), "INT64": ("<i8", "int64_contents"), "FP64": ("<f8", "fp64_contents")}
    with closing((grpc := Client(server.grpc_port)).channel):
        message = grpc.message("ModelInfer", model_name="served")
        for tensor in inputs(EQUAL_ROWS, nested=False):
            dtype, field = fields[tensor["datatype"]]
            data = tensor.pop("data")
            added = message.inputs.add(**tensor)
            if is_raw:
                message.raw_input_contents.append(np.array(data, dtype).tobytes())
            else:
                getattr(added.contents, field).extend(data)
        answer = grpc.start("ModelInfer", message).result()
    tensor = answer.outputs[0]
    values = np.frombuffer(answer.raw_output_contents[0], "<f4") if is_raw else tensor.contents.fp32_contents
    assert_bits(np.reshape(values, (-1, 3)), expected(server.model, EQUAL_ROWS))


@pytest.mark.parametrize("as_columns", [True, False])
def test_tensorflow_serving_takes_rows_and_columns(server: Server, client: httpx.Client, as_columns: bool) -> None:
    body = {"inputs": columns(ROWS)} if as_columns else {"instances": ROWS}
    answer = client.post("/v1/models/served:predict", json=body).raise_for_status().json()
    actual = answer["outputs"]["probabilities"] if as_columns else [p["probabilities"] for p in answer["predictions"]]
    assert_bits(actual, expected(server.model, ROWS))
    signature = client.get("/v1/models/served/metadata").json()["metadata"]["signature_def"]["signature_def"]
    shape = signature["serving_default"]["inputs"]["spectrogram"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in shape] == ["-1", "-1", "4"]


def test_tensorflow_serving_over_grpc(server: Server) -> None:
    assert server.grpc_port is not None
    with closing((grpc := Client(server.grpc_port, tensorflow.SERVICE)).channel):
        message = grpc.message("Predict", model_spec={"name": "served"})
        lists = ((1, "float_val"), (9, "int64_val"), (2, "double_val"))
        for tensor, (number, field) in zip(inputs(EQUAL_ROWS, False), lists, strict=True):
            proto = message.inputs[tensor["name"]]
            proto.dtype = number
            for size in tensor["shape"]:
                proto.tensor_shape.dim.add(size=size)
            getattr(proto, field).extend(tensor["data"])
        answer = tensorflow.outputs_of(grpc.start("Predict", message).result())
        assert_bits(answer["probabilities"], expected(server.model, EQUAL_ROWS))
        features = {
            "spectrogram": {"float_list": {"value": np.ravel(EQUAL_ROWS[0]["spectrogram"])}},
            "matrix": {"int64_list": {"value": np.ravel(EQUAL_ROWS[0]["matrix"])}},
        }
        examples = {"example_list": {"examples": [{"features": {"feature": features}}]}}
        message = grpc.message("Classify", model_spec={"name": "served"}, input=examples)
        (result,) = grpc.start("Classify", message).result().result.classifications
        scores = [[label.score for label in result.classes]]
        assert_bits(scores, expected(server.model, [EQUAL_ROWS[0] | {"age": None}]))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predictions/served", lambda tensors: tensors),
        ("/predictions/served", lambda tensors: {"instances": tensors}),
        ("/predictions/served", lambda tensors: [[tensor] for tensor in tensors]),
        ("/invocations", lambda tensors: {"inputs": tensors}),
        ("/invocations", lambda tensors: {"inputs": {"spectrogram": tensors}}),
        ("/invocations", lambda tensors: {"instances": [{"features": tensor} for tensor in tensors]}),
        ("/score", lambda tensors: {"data": tensors}),
        (VERTEX, lambda tensors: {"instances": tensors}),
    ],
)
def test_a_model_of_one_tensor_takes_a_list_of_tensors(one_tensor: httpx.Client, path: str, body: Any) -> None:
    tensors = [row["spectrogram"] for row in ROWS]
    rows = {"rows": [{"spectrogram": tensor} for tensor in tensors]}
    native = one_tensor.post("/predict", json=rows).raise_for_status().json()["predictions"]
    answer = one_tensor.post(path, json=body(tensors)).raise_for_status().json()
    predictions = answer if isinstance(answer, list) else answer["predictions"]
    assert of_predictions(predictions) == of_predictions(native)


def test_one_tensor_is_one_row(one_tensor: httpx.Client) -> None:
    tensor = ROWS[0]["spectrogram"]
    native = one_tensor.post("/predict", json={"spectrogram": tensor}).raise_for_status().json()["predictions"]
    answer = one_tensor.post("/invocations", json=tensor).raise_for_status().json()
    assert of_predictions(answer["predictions"]) == of_predictions(native)


def test_tensors_as_an_array_of_numpy(one_tensor: httpx.Client) -> None:
    tensors = np.array([row["spectrogram"] for row in EQUAL_ROWS], np.float32)
    rows = {"rows": [{"spectrogram": tensor} for tensor in tensors.tolist()]}
    native = one_tensor.post("/predict", json=rows).json()["predictions"]
    for array, count in ((tensors, len(tensors)), (tensors[0], 1)):
        file = io.BytesIO()
        np.save(file, array)
        answer = one_tensor.post("/invocations", content=file.getvalue(), headers={"content-type": "application/x-npy"})
        assert answer.raise_for_status().json()["predictions"] == native[:count]
    file = io.BytesIO()
    np.save(file, tensors[:, :, :3])
    answer = one_tensor.post("/invocations", content=file.getvalue(), headers={"content-type": "application/x-npy"})
    assert answer.json()["message"] == "expected an array of numbers of the shape [rows, 1 to 6, 4]"


def test_the_document_describes_tensors(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    validate(document)
    schemas = document["components"]["schemas"]
    row = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    field = schemas["FieldSpectrogram"]
    assert (field["items"], field["minItems"], field["maxItems"]) == (row, 1, 6)
    valid = [("Row", ROWS[3]), ("Values", list(ROWS[3].values())), ("RowList", ROWS), ("FieldColumns", columns(ROWS))]
    for name, value in valid:
        jsonschema.validate(value, schemas[name] | {"components": document["components"]})
    for nested in (True, False):
        request = {"inputs": inputs(EQUAL_ROWS[:1], nested)}
        jsonschema.validate(request, schemas["OpenInferenceRequest"] | {"components": document["components"]})


def test_csv_is_refused_and_norms_are_counted(client: httpx.Client) -> None:
    answer = client.post("/invocations", content="1,2,3", headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    assert "CSV cannot hold the tensor `spectrogram`" in answer.json()["message"]
    client.post("/predict", json={"rows": ROWS}).raise_for_status()
    assert 'model_feature_values_total{bin="missing",feature="matrix"' in client.get("/metrics").text


def test_offline_predictions_are_the_same(tmp_path: Path) -> None:
    served = Artifact(tmp_path / "files", tensor_models.write_tensors(tmp_path / "files"))
    rows = tensor_models.tensor_rows(WITH_TENSORS, 30)
    predictions = [each for each in predict(served, rows) if each is not None]
    assert_bits(of_predictions(predictions), expected(tmp_path / "files", rows))


def test_the_runner_takes_batches_of_different_shapes(servers: SharedServers) -> None:
    running = servers.get(Profile(WITH_TENSORS, tensor_models.write_tensors, (("DEPLOYER_ENGINE", "runner"),)))
    rows = tensor_models.tensor_rows(WITH_TENSORS, 300)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
            parts = [rows[start : start + 60] for start in range(0, 300, 60)]
            return await asyncio.gather(*(client.post("/predict", json={"rows": part}) for part in parts))

    answers = [each for response in asyncio.run(ask()) for each in response.raise_for_status().json()["predictions"]]
    assert_bits(of_predictions(answers), expected(running.model, rows))
    assert running.metric("model_degraded") == 0
