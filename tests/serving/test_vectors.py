"""A model with vectors in every protocol: the answers have the bits of ONNX Runtime's own."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import httpx
import jsonschema
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from openapi_spec_validator import validate

from tests.serving.grpc import tensorflow
from tests.serving.grpc.client import Client
from tests.support import tensor_models
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers
from tests.support.tensor_models import CONTRACT, LABELS, ONE_VECTOR

pytestmark = pytest.mark.slow

VERTEX = "/vertex/predict"
VARIABLES = (("AIP_PREDICT_ROUTE", VERTEX),)
INFER = "/v2/models/served/infer"

ROWS = tensor_models.vector_rows(CONTRACT, 12)
FULL_ROWS = [row for row in ROWS if None not in row.values()]

Probabilities = NDArray[np.float32]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile(CONTRACT, tensor_models.write_vectors, VARIABLES, speaks_grpc=True))


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def one_vector(servers: SharedServers) -> Iterator[httpx.Client]:
    """A server of a model whose only field is a vector."""
    running = servers.get(Profile(ONE_VECTOR, tensor_models.write_vectors, VARIABLES))
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


def expected(server: Server, rows: Sequence[Mapping[str, Any]]) -> Probabilities:
    return tensor_models.answers(server.model, tensor_models.vector_arrays(CONTRACT, rows))


def assert_bits(actual: Any, probabilities: Probabilities) -> None:
    numbers = np.array(actual, np.float64)
    assert (numbers == numbers.astype(np.float32)).all()
    assert numbers.astype(np.float32).tobytes() == probabilities.tobytes()


def of_predictions(predictions: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    return [[prediction["probabilities"][label] for label in LABELS] for prediction in predictions]


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def split(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


#: Requests in JSON by path, and where the answer has the predictions.
JSON_REQUESTS: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("/predict", lambda rows: {"rows": rows}, lambda answer: answer["predictions"]),
    ("/invocations", lambda rows: {"instances": rows}, lambda answer: answer["predictions"]),
    ("/invocations", lambda rows: {"inputs": columns(rows)}, lambda answer: answer["predictions"]),
    ("/invocations", lambda rows: {"dataframe_split": split(rows)}, lambda answer: answer["predictions"]),
    ("/invocations", lambda rows: {"dataframe_records": rows}, lambda answer: answer["predictions"]),
    ("/invocations", lambda rows: [list(row.values()) for row in rows], lambda answer: answer["predictions"]),
    ("/score", lambda rows: {"data": rows}, lambda answer: answer),
    ("/score", lambda rows: {"input_data": split(rows)}, lambda answer: answer),
    (VERTEX, lambda rows: {"instances": rows}, lambda answer: answer["predictions"]),
    ("/predictions/served", lambda rows: rows, lambda answer: answer),
    ("/predictions/served", lambda rows: {"data": rows}, lambda answer: answer),
]


@pytest.mark.parametrize(("path", "body", "predictions"), JSON_REQUESTS)
def test_json_is_answered_with_the_bits_of_onnx_runtime(
    server: Server, client: httpx.Client, path: str, body: Callable[[Any], Any], predictions: Callable[[Any], Any]
) -> None:
    answer = client.post(path, json=body(ROWS)).raise_for_status().json()
    assert_bits(of_predictions(predictions(answer)), expected(server, ROWS))


def test_columns_are_answered_with_columns(server: Server, client: httpx.Client) -> None:
    answer = client.post("/predict", json={"columns": columns(ROWS)}).raise_for_status().json()["columns"]
    actual = np.array([answer[f"probabilities.{label}"] for label in LABELS]).T
    assert_bits(actual, expected(server, ROWS))


@pytest.mark.parametrize("kind", ["stream", "file", "parquet"])
@pytest.mark.parametrize("count", [12, 600])
def test_tables_have_lists(server: Server, client: httpx.Client, kind: str, count: int) -> None:
    rows = tensor_models.vector_rows(CONTRACT, count)
    schema: dict[str, pl.DataType] = {
        "embedding": pl.List(pl.Float32),
        "tokens": pl.Array(pl.Int64, 4),
        "age": pl.Float64(),
    }
    frame, file = pl.DataFrame(rows, schema=schema), io.BytesIO()
    writers = {"stream": frame.write_ipc_stream, "file": frame.write_ipc, "parquet": frame.write_parquet}
    writers[kind](file)  # type: ignore[operator]
    media_type = "application/vnd.apache." + (kind if kind == "parquet" else f"arrow.{kind}")
    headers = {"content-type": media_type, "accept": "application/json"}
    answer = client.post("/predict", content=file.getvalue(), headers=headers).raise_for_status().json()["columns"]
    assert_bits(np.array([answer[f"probabilities.{label}"] for label in LABELS]).T, expected(server, rows))


def tensors(rows: Sequence[Mapping[str, Any]], nested: bool) -> list[dict[str, Any]]:
    values = columns(rows)
    flat = {name: data if nested else np.ravel(data).tolist() for name, data in values.items()}
    return [
        {"name": "embedding", "shape": [len(rows), 8], "datatype": "FP32", "data": flat["embedding"]},
        {"name": "tokens", "shape": [len(rows), 4], "datatype": "INT64", "data": flat["tokens"]},
        {"name": "age", "shape": [len(rows), 1], "datatype": "FP64", "data": values["age"]},
    ]


@pytest.mark.parametrize("nested", [True, False])
def test_open_inference_takes_a_tensor_for_a_vector(server: Server, client: httpx.Client, nested: bool) -> None:
    answer = client.post(INFER, json={"inputs": tensors(FULL_ROWS, nested)}).raise_for_status().json()
    assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), expected(server, FULL_ROWS))


@pytest.mark.parametrize("count", [3, 100])
def test_open_inference_takes_bytes(server: Server, client: httpx.Client, count: int) -> None:
    rows = (FULL_ROWS * 20)[:count]
    heads, blobs = [], []
    for tensor, dtype in zip(tensors(rows, nested=False), ("<f4", "<i8", "<f8"), strict=True):
        blobs.append(np.array(tensor.pop("data"), dtype).tobytes())
        heads.append(tensor | {"parameters": {"binary_data_size": len(blobs[-1])}})
    head = json.dumps({"inputs": heads}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = client.post(INFER, content=b"".join([head, *blobs]), headers=headers).raise_for_status().json()
    assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), expected(server, rows))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [1, 7]}, "expected the input `embedding` to have the shape [rows, 8]"),
        ({"shape": [8]}, "expected the input `embedding` to have the shape [rows, 8]"),
        ({"data": [1.0] * 7}, "expected the `data` of an input to have the number of values in its `shape`"),
        ({"data": [1.0] * 7 + [None]}, "row 0, embedding: null at index 7 is not accepted: send a number"),
    ],
)
def test_open_inference_refuses_other_tensors(client: httpx.Client, change: dict[str, Any], reason: str) -> None:
    tensor = {"name": "embedding", "shape": [1, 8], "datatype": "FP32", "data": [1.0] * 8}
    answer = client.post(INFER, json={"inputs": [tensor | change]})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"] == reason


def test_metadata_names_the_shapes(client: httpx.Client) -> None:
    inputs = client.get("/v2/models/served").json()["inputs"]
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in inputs] == [
        ("embedding", "FP32", [-1, 8]),
        ("tokens", "INT64", [-1, 4]),
        ("age", "FP64", [-1, 1]),
    ]
    assert [tensor["dims"] for tensor in client.get("/v2/models/served/config").json()["input"]] == [[8], [4], [1]]
    signature = client.get("/v1/models/served/metadata").json()["metadata"]["signature_def"]["signature_def"]
    shape = signature["serving_default"]["inputs"]["embedding"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in shape] == ["-1", "8"]


@pytest.mark.parametrize("as_columns", [True, False])
def test_tensorflow_serving_takes_rows_and_columns(server: Server, client: httpx.Client, as_columns: bool) -> None:
    body = {"inputs": columns(ROWS)} if as_columns else {"instances": ROWS}
    answer = client.post("/v1/models/served:predict", json=body).raise_for_status().json()
    actual = answer["outputs"]["probabilities"] if as_columns else [p["probabilities"] for p in answer["predictions"]]
    assert_bits(actual, expected(server, ROWS))


def test_scalars_of_rows_of_tensors_are_lists_of_one(server: Server, client: httpx.Client) -> None:
    rows = [row | {"age": [row["age"]]} for row in FULL_ROWS]
    answer = client.post("/v1/models/served:predict", json={"instances": rows}).raise_for_status().json()
    assert_bits([prediction["probabilities"] for prediction in answer["predictions"]], expected(server, FULL_ROWS))


def test_grpc_takes_tensors(server: Server) -> None:
    assert server.grpc_port is not None
    for is_raw in (True, False):
        with closing((grpc := Client(server.grpc_port)).channel):
            message = grpc.message("ModelInfer", model_name="served")
            for tensor in tensors(FULL_ROWS, nested=False):
                dtype, field = {
                    "FP32": ("<f4", "fp32_contents"),
                    "INT64": ("<i8", "int64_contents"),
                    "FP64": ("<f8", "fp64_contents"),
                }[tensor["datatype"]]
                data = tensor.pop("data")
                added = message.inputs.add(**tensor)
                if is_raw:
                    message.raw_input_contents.append(np.array(data, dtype).tobytes())
                else:
                    getattr(added.contents, field).extend(data)
            answer = grpc.start("ModelInfer", message).result()
        tensor = answer.outputs[0]
        values = np.frombuffer(answer.raw_output_contents[0], "<f4") if is_raw else tensor.contents.fp32_contents
        assert_bits(np.reshape(values, (-1, 3)), expected(server, FULL_ROWS))


def test_tensorflow_serving_over_grpc(server: Server) -> None:
    assert server.grpc_port is not None
    with closing((grpc := Client(server.grpc_port, tensorflow.SERVICE)).channel):
        message = grpc.message("Predict", model_spec={"name": "served"})
        for tensor, (number, field) in zip(
            tensors(FULL_ROWS, False), ((1, "float_val"), (9, "int64_val"), (2, "double_val")), strict=True
        ):
            proto = message.inputs[tensor["name"]]
            proto.dtype = number
            for size in tensor["shape"]:
                proto.tensor_shape.dim.add(size=size)
            getattr(proto, field).extend(tensor["data"])
        answer = tensorflow.outputs_of(grpc.start("Predict", message).result())
        assert_bits(answer["probabilities"], expected(server, FULL_ROWS))
        features = {
            "embedding": {"float_list": {"value": FULL_ROWS[0]["embedding"]}},
            "tokens": {"int64_list": {"value": FULL_ROWS[0]["tokens"]}},
            "age": {"float_list": {"value": [0.5]}},
        }
        example = {"features": {"feature": features}}
        message = grpc.message(
            "Classify", model_spec={"name": "served"}, input={"example_list": {"examples": [example]}}
        )
        (result,) = grpc.start("Classify", message).result().result.classifications
        assert_bits([[label.score for label in result.classes]], expected(server, [FULL_ROWS[0] | {"age": 0.5}]))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predictions/served", lambda vectors: vectors),
        ("/predictions/served", lambda vectors: {"instances": vectors}),
        ("/predictions/served", lambda vectors: [[vector] for vector in vectors]),
        ("/invocations", lambda vectors: {"inputs": vectors}),
        ("/invocations", lambda vectors: {"inputs": {"embedding": vectors}}),
        ("/invocations", lambda vectors: {"instances": [{"features": vector} for vector in vectors]}),
        ("/score", lambda vectors: {"data": vectors}),
        (VERTEX, lambda vectors: {"instances": vectors}),
    ],
)
def test_a_model_of_one_vector_takes_a_list_of_vectors(one_vector: httpx.Client, path: str, body: Any) -> None:
    vectors = [row["embedding"] for row in FULL_ROWS]
    native = one_vector.post("/predict", json={"columns": {"embedding": vectors}}).raise_for_status().json()["columns"]
    answer = one_vector.post(path, json=body(vectors)).raise_for_status().json()
    predictions = answer if isinstance(answer, list) else answer["predictions"]
    assert of_predictions(predictions) == [
        list(row) for row in zip(*(native[f"probabilities.{label}"] for label in LABELS), strict=True)
    ]


def test_a_list_of_values_is_one_row(server: Server, client: httpx.Client) -> None:
    for row in ROWS[:5]:
        answer = client.post("/invocations", json=list(row.values())).raise_for_status().json()
        assert_bits(of_predictions(answer["predictions"]), expected(server, [row]))


def test_one_vector_as_an_array_of_numpy(one_vector: httpx.Client) -> None:
    vectors = np.array([row["embedding"] for row in FULL_ROWS], np.float32)
    native = one_vector.post("/predict", json={"rows": [{"embedding": vector} for vector in vectors.tolist()]}).json()
    for array, count in ((vectors, len(vectors)), (vectors[0], 1)):
        file = io.BytesIO()
        np.save(file, array)
        answer = one_vector.post("/invocations", content=file.getvalue(), headers={"content-type": "application/x-npy"})
        assert answer.raise_for_status().json()["predictions"] == native["predictions"][:count]
    file = io.BytesIO()
    np.save(file, vectors[:, :5])
    answer = one_vector.post("/invocations", content=file.getvalue(), headers={"content-type": "application/x-npy"})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "expected an array of numbers of the shape [rows, 8]",
    )


def test_formats_without_lists_are_refused(client: httpx.Client) -> None:
    answer = client.post("/invocations", content="1,2,3", headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    assert "CSV cannot hold the vector `embedding`" in answer.json()["message"]
    file = io.BytesIO()
    np.save(file, np.zeros((2, 3)))
    answer = client.post("/invocations", content=file.getvalue(), headers={"content-type": "application/x-npy"})
    assert answer.status_code == 400
    assert "the vector `embedding` and the other fields" in answer.json()["message"]


def test_the_document_describes_vectors(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    validate(document)
    schemas = document["components"]["schemas"]
    assert schemas["FieldEmbedding"]["items"] == {"type": "number"}
    assert (schemas["FieldEmbedding"]["minItems"], schemas["FieldTokens"]["maxItems"]) == (8, 4)
    for name, value in (
        ("Row", ROWS[4]),
        ("Values", list(ROWS[4].values())),
        ("RowList", ROWS),
        ("FieldColumns", columns(ROWS)),
    ):
        jsonschema.validate(value, schemas[name] | {"components": document["components"]})
    request = {"inputs": [dict(tensor) for tensor in tensors(FULL_ROWS[:1], nested=False)]}
    jsonschema.validate(request, schemas["OpenInferenceRequest"] | {"components": document["components"]})


def test_norms_are_counted(server: Server, client: httpx.Client) -> None:
    client.post("/predict", json={"rows": ROWS}).raise_for_status()
    text = client.get("/metrics").text
    assert 'model_feature_values_total{bin="missing",feature="embedding"' in text
