"""Tables in requests and responses, with a real server."""

import io
import json
from typing import Any

import httpx
import polars as pl
import pytest

from model_deployer.serving.rows.formats import FILE, PARQUET, STREAM
from tests.serving.protocols.speakers import READERS, WRITERS
from tests.support import tiny
from tests.support.processes import Server

FRAME = pl.DataFrame([tiny.ROW | {"origin": origin} for origin in ("JFK", "EWR", "LGA")])
JSON = "application/json"


def body(media_type: str, frame: pl.DataFrame = FRAME) -> bytes:
    if media_type == JSON:
        return json.dumps({"columns": frame.to_dict(as_series=False)}).encode()
    file = io.BytesIO()
    WRITERS[media_type](frame, file)
    return file.getvalue()


def post(server: Server, content: bytes, media_type: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/predict", content=content, headers={"content-type": media_type} | headers, timeout=30
    )


def table(answer: httpx.Response) -> dict[str, list[Any]]:
    assert answer.status_code == 200, answer.text
    media_type = answer.headers["content-type"]
    if media_type == JSON:
        columns: dict[str, list[Any]] = answer.json()["columns"]
        return columns
    return READERS[media_type](io.BytesIO(answer.content)).to_dict(as_series=False)


@pytest.mark.parametrize("accept", [JSON, STREAM, FILE, PARQUET])
@pytest.mark.parametrize("content_type", [JSON, STREAM, FILE, PARQUET])
def test_every_format_is_answered_in_every_format(server: Server, content_type: str, accept: str) -> None:
    rows = post(server, json.dumps({"rows": FRAME.to_dicts()}).encode(), JSON).json()["predictions"]
    answer = post(server, body(content_type), content_type, accept=accept)
    assert answer.headers["content-type"] == accept
    assert answer.headers.get("x-model") == (None if accept == JSON else "served:1.0.0")
    assert table(answer) == {
        "decision": [row["decision"] for row in rows],
        "probabilities.late": pytest.approx([row["probabilities"]["late"] for row in rows], abs=1e-7),
        "probabilities.on_time": pytest.approx([row["probabilities"]["on_time"] for row in rows], abs=1e-7),
    }


def test_rows_may_be_answered_with_a_table(server: Server) -> None:
    answer = post(server, json.dumps(tiny.ROW).encode(), JSON, accept=f"{STREAM}, {JSON};q=0.5")
    assert list(table(answer)) == ["decision", "probabilities.late", "probabilities.on_time"]


@pytest.mark.parametrize("accept", ["*/*", "text/html, */*;q=0.1", "", JSON])
def test_whoever_asks_for_nothing_in_particular_gets_json(server: Server, accept: str) -> None:
    assert "predictions" in post(server, json.dumps(tiny.ROW).encode(), JSON, accept=accept).json()


@pytest.mark.parametrize("content_type", [JSON, STREAM, PARQUET])
def test_what_is_wrong_in_a_table_is_said_as_for_rows(server: Server, content_type: str) -> None:
    invalid = FRAME.with_columns(distance=pl.Series([1.0, -1.0, 9e9]))
    answer = post(server, body(content_type, invalid), content_type, accept=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    answer_to_rows = post(server, json.dumps({"rows": invalid.to_dicts()}).encode(), JSON)
    assert answer.json() | {"request_id": ""} == answer_to_rows.json() | {"request_id": ""}


@pytest.mark.parametrize("media_type", [STREAM, FILE, PARQUET])
def test_garbage_is_refused(server: Server, media_type: str) -> None:
    answer = post(server, b"garbage", media_type)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
