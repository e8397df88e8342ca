"""Models that answer several numbers in every protocol: a handwritten one, and an adopted embedding of torch.

The answers have the bits of ONNX Runtime's own, and those of the embedding are those of torch up to rounding.
"""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import httpx
import jsonschema
import numpy as np
import polars as pl
import pytest
from grpc import RpcError
from numpy.typing import NDArray
from openapi_spec_validator import validate

from tests.serving.grpc import tensorflow
from tests.serving.grpc.client import Client
from tests.serving.test_vectors import JSON_REQUESTS, VARIABLES, columns
from tests.support import tensor_models, text_embeddings
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers
from tests.support.tensor_models import WITH_TARGETS
from tests.support.text_embeddings import WIDTH

pytestmark = pytest.mark.slow

INFER = "/v2/models/served/infer"
NAMES = ("height", "weight", "age")
ROWS = tensor_models.vector_rows(WITH_TARGETS, 12)
TOKENS = [{"tokens": [1, 2, number + 3]} for number in range(5)]
STREAM = "application/vnd.apache.arrow.stream"

Numbers = NDArray[np.float32]


@pytest.fixture(scope="module")
def targets(servers: SharedServers) -> Server:
    return servers.get(Profile(WITH_TARGETS, tensor_models.write_vectors, VARIABLES, speaks_grpc=True))


@pytest.fixture(scope="module")
def embedding(servers: SharedServers) -> Server:
    return servers.get(Profile(text_embeddings.CONTRACT, text_embeddings.write_adopted, VARIABLES, speaks_grpc=True))


def of_targets(server: Server) -> Numbers:
    return tensor_models.answers(server.model, tensor_models.vector_arrays(WITH_TARGETS, ROWS))


def of_tokens(server: Server) -> Numbers:
    return tensor_models.answers(server.model, {"tokens": np.array(columns(TOKENS)["tokens"], np.float64)})


def assert_bits(actual: Any, expected: Numbers) -> None:
    assert np.array(actual, np.float32).tobytes() == expected.tobytes()


def by_name(predictions: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    assert all(list(prediction["values"]) == list(NAMES) for prediction in predictions)
    return [list(prediction["values"].values()) for prediction in predictions]


def post(server: Server, path: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", timeout=30, **options).raise_for_status()


def test_texts_of_different_lengths_are_answered_as_by_torch(embedding: Server) -> None:
    rows = [{"tokens": text} for text in text_embeddings.TEXTS]
    answer = post(embedding, "/predict", json={"rows": rows}).json()["predictions"]
    expected = text_embeddings.own_embeddings(text_embeddings.TEXTS)
    assert np.allclose([row["values"] for row in answer], expected, atol=1e-6)
    refused = httpx.post(f"{embedding.url}/predict", json={"tokens": [1, text_embeddings.TOKENS]})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "out_of_range")


@pytest.mark.parametrize(("path", "body", "predictions"), JSON_REQUESTS)
def test_json_has_targets_by_name_and_embeddings_as_lists(
    targets: Server, embedding: Server, path: str, body: Any, predictions: Any
) -> None:
    assert_bits(by_name(predictions(post(targets, path, json=body(ROWS)).json())), of_targets(targets))
    answers = predictions(post(embedding, path, json=body(TOKENS)).json())
    assert_bits([answer["values"] for answer in answers], of_tokens(embedding))


def test_columns_and_tables(targets: Server, embedding: Server) -> None:
    """A target is a column; an embedding is a list of a fixed size."""
    answer = post(targets, "/predict", json={"columns": columns(ROWS)}).json()["columns"]
    assert_bits(np.array([answer[f"values.{name}"] for name in NAMES]).T, of_targets(targets))
    answer = post(embedding, "/predict", json={"columns": columns(TOKENS)}).json()["columns"]
    assert_bits(answer["values"], of_tokens(embedding))
    for server, rows in ((targets, ROWS), (embedding, TOKENS)):
        content = post(server, "/predict", json={"rows": rows}, headers={"accept": STREAM}).content
        frame = pl.read_ipc_stream(io.BytesIO(content))
        if server is targets:
            assert frame.columns == [f"values.{name}" for name in NAMES]
            assert_bits(frame.to_numpy(), of_targets(targets))
        else:
            assert frame.schema == {"values": pl.Array(pl.Float32, WIDTH)}
            assert_bits(frame["values"].to_numpy(), of_tokens(embedding))


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-npy"])
def test_csv_and_arrays_have_a_cell_for_each_number(targets: Server, embedding: Server, media_type: str) -> None:
    for server, rows, expected in ((targets, ROWS, of_targets(targets)), (embedding, TOKENS, of_tokens(embedding))):
        response = post(server, "/invocations", json={"instances": rows}, headers={"accept": media_type})
        if media_type == "text/csv":
            lines = response.text.splitlines()
            assert_bits([[float(cell) for cell in line.split(",")] for line in lines], expected)
        else:
            assert_bits(np.load(io.BytesIO(response.content)), expected)


def tensor(is_binary: bool) -> tuple[dict[str, Any], bytes]:
    """Return the tokens as a tensor, and their bytes if it is binary."""
    array = np.array(columns(TOKENS)["tokens"], "<i8")
    content = array.tobytes()
    data = {"parameters": {"binary_data_size": len(content)}} if is_binary else {"data": array.ravel().tolist()}
    return {"name": "tokens", "shape": list(array.shape), "datatype": "INT64", **data}, content


def test_open_inference(targets: Server, embedding: Server) -> None:
    """One tensor has all numbers, in the order of the targets."""
    for server, width in ((targets, 3), (embedding, WIDTH)):
        (output,) = httpx.get(f"{server.url}/v2/models/served").json()["outputs"]
        assert output == {"name": "values", "datatype": "FP32", "shape": [-1, width]}
    (answer,) = post(embedding, INFER, json={"inputs": [tensor(is_binary=False)[0]]}).json()["outputs"]
    assert answer["shape"] == [5, WIDTH]
    assert_bits(np.reshape(answer["data"], (5, WIDTH)), of_tokens(embedding))
    binary, content = tensor(is_binary=True)
    head = json.dumps({"inputs": [binary], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    response = post(embedding, INFER, content=head + content, headers=headers)
    length = int(response.headers["inference-header-content-length"])
    assert_bits(np.frombuffer(response.content[length:], "<f4").reshape(5, WIDTH), of_tokens(embedding))


def test_open_inference_over_grpc(embedding: Server) -> None:
    assert embedding.grpc_port is not None
    with closing((grpc := Client(embedding.grpc_port)).channel):
        message = grpc.message("ModelInfer", model_name="served")
        binary, content = tensor(is_binary=True)
        message.inputs.add(name="tokens", datatype="INT64", shape=binary["shape"])
        message.raw_input_contents.append(content)
        answer = grpc.start("ModelInfer", message).result()
    assert list(answer.outputs[0].shape) == [5, WIDTH]
    assert_bits(np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(5, WIDTH), of_tokens(embedding))


def test_tensorflow_serving(targets: Server, embedding: Server) -> None:
    """The only tensor drops its name, as in TensorFlow Serving."""
    answer = post(targets, "/v1/models/served:predict", json={"instances": ROWS}).json()
    assert_bits(answer["predictions"], of_targets(targets))
    answer = post(embedding, "/v1/models/served:predict", json={"inputs": columns(TOKENS)}).json()
    assert_bits(answer["outputs"], of_tokens(embedding))
    assert httpx.post(f"{targets.url}/v1/models/served:regress", json={"examples": ROWS}).status_code == 404


def test_tensorflow_serving_over_grpc(embedding: Server) -> None:
    assert embedding.grpc_port is not None
    with closing((grpc := Client(embedding.grpc_port, tensorflow.SERVICE)).channel):
        message = grpc.message("Predict", model_spec={"name": "served"})
        tokens, _ = tensor(is_binary=False)
        proto = message.inputs["tokens"]
        proto.dtype = 9  # DT_INT64
        for size in tokens["shape"]:
            proto.tensor_shape.dim.add(size=size)
        proto.int64_val.extend(tokens["data"])
        answer = tensorflow.outputs_of(grpc.start("Predict", message).result())
        assert_bits(answer["values"], of_tokens(embedding))
        with pytest.raises(RpcError, match="the model gives several numbers for each row; call Predict"):
            grpc.start("Regress", grpc.message("Regress", model_spec={"name": "served"})).result()


def test_the_document_describes_the_answers(targets: Server, embedding: Server) -> None:
    for server, rows in ((targets, ROWS), (embedding, TOKENS)):
        document = httpx.get(f"{server.url}/docs.json").json()
        validate(document)
        schemas = document["components"]["schemas"]
        answer = post(server, "/predict", json={"rows": rows}).json()
        jsonschema.validate(answer["predictions"][0], schemas["Prediction"])
        answer = post(server, "/predict", json={"columns": columns(rows)}).json()
        jsonschema.validate(answer, schemas["TableAnswer"] | {"components": document["components"]})


def test_drift_is_counted_by_target(targets: Server) -> None:
    post(targets, "/predict", json={"rows": ROWS})
    text = httpx.get(f"{targets.url}/metrics").text
    assert all(f'output="values[{column}]"' in text for column in range(3))
