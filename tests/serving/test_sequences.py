"""A model with sequences: rows of different lengths in one batch are answered as each of them alone."""

import asyncio
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import polars as pl
import pytest
from onnx import helper

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ArtifactError
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.batching import concatenate_columns
from model_deployer.serving.engines.offline import predict
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.predictor import Predictor
from tests.serving.grpc.client import Client
from tests.serving.test_vectors import JSON_REQUESTS, VARIABLES, assert_bits, columns, of_predictions
from tests.support import tensor_models
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers
from tests.support.tensor_models import WITH_SEQUENCES

pytestmark = pytest.mark.slow

INFER = "/v2/models/served/infer"
ROWS = tensor_models.sequence_rows(WITH_SEQUENCES, 12)


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile(WITH_SEQUENCES, tensor_models.write_sequences, VARIABLES, speaks_grpc=True))


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def expected(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Any:
    return tensor_models.answers(folder, tensor_models.sequence_arrays(WITH_SEQUENCES, rows))


@pytest.mark.parametrize(("path", "body", "predictions"), JSON_REQUESTS)
def test_json_has_sequences_of_any_length(
    server: Server, client: httpx.Client, path: str, body: Any, predictions: Any
) -> None:
    answer = client.post(path, json=body(ROWS)).raise_for_status().json()
    assert_bits(of_predictions(predictions(answer)), expected(server.model, ROWS))


@pytest.mark.parametrize("kind", ["stream", "parquet"])
@pytest.mark.parametrize("count", [12, 600])
def test_tables_have_sequences(server: Server, client: httpx.Client, kind: str, count: int) -> None:
    rows, file = tensor_models.sequence_rows(WITH_SEQUENCES, count), io.BytesIO()
    frame = pl.DataFrame(rows, schema={"words": pl.List(pl.Int32), "signal": pl.List(pl.Float32)})
    _ = frame.write_parquet(file) if kind == "parquet" else frame.write_ipc_stream(file)
    media_type = "application/vnd.apache." + (kind if kind == "parquet" else f"arrow.{kind}")
    headers = {"content-type": media_type, "accept": "application/json"}
    answer = client.post("/predict", content=file.getvalue(), headers=headers).raise_for_status().json()["columns"]
    actual = np.array([answer[f"probabilities.{label}"] for label in tensor_models.LABELS]).T
    assert_bits(actual, expected(server.model, rows))


def test_requests_of_different_lengths_share_a_batch(server: Server) -> None:
    """Concurrent requests get the answers that they get alone."""

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            return await asyncio.gather(*(client.post("/predict", json=row) for row in ROWS * 5))

    answers = [response.raise_for_status().json()["predictions"][0] for response in asyncio.run(ask())]
    assert_bits(of_predictions(answers), expected(server.model, ROWS * 5))


def test_a_tensor_has_one_length(server: Server, client: httpx.Client) -> None:
    rows = [{"words": [number, 2, 3], "signal": [0.5, number / 8]} for number in range(5)]
    inputs = [
        {"name": "words", "shape": [5, 3], "datatype": "INT64", "data": columns(rows)["words"]},
        {"name": "signal", "shape": [5, 2], "datatype": "FP32", "data": np.ravel(columns(rows)["signal"]).tolist()},
    ]
    answer = client.post(INFER, json={"inputs": inputs}).raise_for_status().json()
    assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), expected(server.model, rows))
    assert [tensor["shape"] for tensor in client.get("/v2/models/served").json()["inputs"]] == [[-1, -1], [-1, -1]]
    inputs[0] |= {"shape": [5, 13], "data": [1] * 65}
    refusal = client.post(INFER, json={"inputs": inputs})
    assert "the shape [rows, length], with a length from 1 to 12" in refusal.json()["error"]
    assert server.grpc_port is not None
    with closing((grpc := Client(server.grpc_port)).channel):
        message = grpc.message("ModelInfer", model_name="served")
        message.inputs.add(name="words", datatype="INT64", shape=[5, 3])
        message.raw_input_contents.append(np.array(columns(rows)["words"], "<i8").tobytes())
        answer = grpc.start("ModelInfer", message).result()
        numbers = np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(-1, 3)
        assert_bits(numbers, expected(server.model, [row | {"signal": None} for row in rows]))


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"words": []}, "wrong_length", "expected a list of 1 to 12 whole numbers, each from 0 to 9; it has 0"),
        ({"words": [1] * 13}, "wrong_length", "expected a list of 1 to 12 whole numbers, each from 0 to 9; it has 13"),
        ({"words": [1, 10]}, "out_of_range", "expected a whole number from 0 to 9 at index 1"),
        ({"signal": [1.0]}, "wrong_length", "expected a list of 2 to 20 numbers; it has 1"),
        ({"signal": [1.0, None]}, "not_nullable", "null at index 1 is not accepted: send a number"),
    ],
)
def test_problems_name_what_is_expected(client: httpx.Client, change: dict[str, Any], code: str, message: str) -> None:
    (problem,) = client.post("/predict", json=ROWS[0] | change).json()["errors"]
    assert (problem["code"], problem["message"]) == (code, message)


def test_counts_of_numbers_are_watched(server: Server, client: httpx.Client) -> None:
    reference = json.loads((server.model / artifact.REFERENCE).read_text())["features"]["words"]
    assert (reference["counts"][0], reference["counts"][-1]) == (1.0, 12.0)
    client.post("/predict", json={"rows": ROWS}).raise_for_status()
    assert 'model_feature_values_total{bin="missing",feature="signal"' in client.get("/metrics").text


def test_offline_predictions_are_the_same(tmp_path: Path) -> None:
    served = Artifact(tmp_path / "files", tensor_models.write_sequences(tmp_path / "files"))
    rows = tensor_models.sequence_rows(WITH_SEQUENCES, 30)
    predictions = [each for each in predict(served, rows) if each is not None]
    assert_bits(of_predictions(predictions), expected(tmp_path / "files", rows))


def test_a_graph_that_reads_the_padding_is_not_served(tmp_path: Path) -> None:
    """A graph that divides by the length of the batch answers a row alone and among others differently."""
    graph = tensor_models.sequence_graph(WITH_SEQUENCES)
    nodes = graph.graph.node
    (mask,) = [node for node in nodes if node.output[0] == "_words_ones"]
    position = list(nodes).index(mask)
    nodes.remove(mask)
    nodes.insert(position, helper.make_node("Cast", ["_always"], ["_words_ones"], to=onnx.TensorProto.FLOAT))
    nodes.insert(position, helper.make_node("Or", ["_words_mask", "_words_end"], ["_always"]))
    rows = tensor_models.sequence_rows(WITH_SEQUENCES, 40)
    manifest = tensor_models.write(tmp_path / "files", WITH_SEQUENCES, graph, rows)
    served = Artifact(tmp_path / "files", manifest)
    with pytest.raises(ArtifactError, match="answers the golden case"):
        Predictor(served, Settings()).replay(OnnxEngine(served.model, served.contract.output))


def test_shorter_arrays_are_padded_when_they_are_joined() -> None:
    parts = [{"x": np.ones((2, 3)), "y": np.zeros((2, 1))}, {"x": np.ones((1, 1)), "y": np.zeros((1, 1))}]
    joined = concatenate_columns(parts)
    np.testing.assert_array_equal(joined["x"], [[1, 1, 1], [1, 1, 1], [1, np.nan, np.nan]])
    assert joined["y"].shape == (3, 1)


def test_the_runner_takes_batches_of_different_lengths(servers: SharedServers) -> None:
    variables = (("DEPLOYER_ENGINE", "runner"),)
    running = servers.get(Profile(WITH_SEQUENCES, tensor_models.write_sequences, variables))
    rows = tensor_models.sequence_rows(WITH_SEQUENCES, 600)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
            parts = [rows[start : start + 60] for start in range(0, 600, 60)]
            return await asyncio.gather(*(client.post("/predict", json={"rows": part}) for part in parts))

    answers = [each for response in asyncio.run(ask()) for each in response.raise_for_status().json()["predictions"]]
    assert_bits(of_predictions(answers), expected(running.model, rows))
    assert running.metric("model_degraded") == 0
