"""The sets of labels that a model of three labels returns, through every interface of the service."""

import io
from typing import Any

import bentoml
import httpx
import jsonschema
import polars as pl
import pytest

from model_deployer.serving.rows.formats import FILE, PARQUET, STREAM
from tests.support import tiny
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR"}, tiny.ROW | {"booked": None}]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile(tiny.WITH_SETS, speaks_grpc=True))


@pytest.fixture
def predictions(server: Server) -> list[dict[str, Any]]:
    answer: dict[str, Any] = httpx.post(f"{server.url}/predict", json={"rows": ROWS}).json()
    rows: list[dict[str, Any]] = answer["predictions"]
    return rows


def test_the_sets_follow_from_the_probabilities(predictions: list[dict[str, Any]]) -> None:
    for each in predictions:
        assert each["set"] == [label for label, number in each["probabilities"].items() if number >= 0.2]
    assert [len(each["set"]) for each in predictions] == [2, 2, 2]
    assert len({tuple(each["set"]) for each in predictions}) == 2


@pytest.mark.parametrize("accept", ["application/json", STREAM, FILE, PARQUET])
def test_a_table_holds_them_as_booleans(server: Server, predictions: list[dict[str, Any]], accept: str) -> None:
    columns = {name: [row[name] for row in ROWS] for name in tiny.ROW}
    answer = httpx.post(f"{server.url}/predict", json={"columns": columns}, headers={"accept": accept})
    if accept == "application/json":
        table = answer.json()["columns"]
    else:
        read: dict[str, Any] = {STREAM: pl.read_ipc_stream, FILE: pl.read_ipc, PARQUET: pl.read_parquet}
        frame = read[accept](io.BytesIO(answer.content))
        assert {frame.schema[f"set.{label}"] for label in tiny.WITH_SETS.output.labels} == {pl.Boolean}  # type: ignore[union-attr]
        table = frame.to_dict(as_series=False)
    for label in ("late", "on_time", "early"):
        assert table[f"set.{label}"] == [label in each["set"] for each in predictions]


def test_bentomls_own_client_gets_them(server: Server, predictions: list[dict[str, Any]]) -> None:
    with bentoml.SyncHTTPClient(server.url) as own:
        assert own.predict(rows=ROWS)["predictions"] == predictions


def test_the_document_speaks_of_them(server: Server) -> None:
    document = httpx.get(f"{server.url}/docs.json").json()
    for body, schema in (
        ({"rows": ROWS}, "Answer"),
        ({"columns": {n: [v] for n, v in tiny.ROW.items()}}, "TableAnswer"),
    ):
        answer = httpx.post(f"{server.url}/predict", json=body).json()
        jsonschema.validate(answer, document | {"$ref": f"#/components/schemas/{schema}"})
    prediction = document["components"]["schemas"]["Prediction"]
    assert "90%" in prediction["properties"]["set"]["description"]
    assert "set" in prediction["required"]
