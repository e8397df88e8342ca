"""A real server that captures its traffic: every protocol, killed workers, and a store of objects."""

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import boto3
import httpx
import polars as pl
import pytest
from moto.server import ThreadedMotoServer

from model_deployer.serving.capture import capture
from model_deployer.serving.config.settings import ProtocolName
from tests.serving.capture.test_capture import ask as ask_in_process
from tests.serving.capture.test_capture import start
from tests.serving.protocols.golden_rows import ROWS
from tests.serving.protocols.served import served
from tests.serving.protocols.speakers import SPEAKERS
from tests.support import tiny
from tests.support.processes import Server, serve, until
from tests.support.servers import SharedServers

#: The keys that moto takes.
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}


def read(store: Path, table: str) -> pl.DataFrame:
    files = list((store / table).rglob("*.parquet"))
    return pl.read_parquet(files) if files else pl.DataFrame()


@pytest.mark.slow
def test_every_protocol_is_captured_alike(servers: SharedServers, tmp_path: Path) -> None:
    with served(
        servers,
        tiny.CONTRACT,
        DEPLOYER_CAPTURE=str(tmp_path),
        DEPLOYER_CAPTURE_SHARE="1",
        DEPLOYER_CAPTURE_SECONDS="0.1",
    ) as server:
        for speak in SPEAKERS.values():
            speak(server, ROWS)
        expected = len(SPEAKERS) * len(ROWS)
        until(lambda: len(read(tmp_path, "traffic")) >= expected)
    table = read(tmp_path, "traffic")
    assert len(table) == expected
    grpc = {"open_inference_grpc", "tensorflow_serving_grpc", "torchserve_grpc"}
    assert set(table["protocol"]) == {"native", *get_args(ProtocolName), *grpc}
    contents = Counter(table.select(pl.col("^(input|bin|output)\\..*$")).rows())
    assert {count % len(SPEAKERS) for count in contents.values()} == {0}


@pytest.mark.slow
def test_a_killed_worker_loses_its_last_file_and_another_one_says_so(tmp_path: Path) -> None:
    store = tmp_path / "store"
    variables = {"DEPLOYER_CAPTURE": str(store), "DEPLOYER_CAPTURE_SHARE": "1", "DEPLOYER_CAPTURE_SECONDS": "3600"}
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log", variables=variables) as server:
        ask(server, 7)
        label = {"labels": [{"request_id": "request-3", "label": "late"}]}
        assert httpx.post(f"{server.url}/feedback", json=label).status_code == 202
        (worker,) = server.workers()
        worker.kill()
        until(lambda: any((store / "losses").rglob("*.parquet")))
        ask(server, 2)
    (loss,) = read(store, "losses").to_dicts()
    assert loss["rows"] == 7
    assert "a killed worker had captured rows that are lost" in (tmp_path / "log").read_text()
    assert read(store, "labels")["request_id"].to_list() == ["request-3"]
    assert len(read(store, "traffic")) == 2  # a server that ends writes what it has
    assert not any((store / ".spool").iterdir())


def keys_of(bucket: Any) -> list[str]:
    return [entry["Key"] for entry in bucket.list_objects_v2(Bucket="traffic").get("Contents", [])]


def ask(server: Server, requests: int) -> None:
    with httpx.Client(base_url=server.url) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        for index in range(requests):
            answer = client.post("/predict", json=tiny.ROW, headers={"x-request-id": f"request-{index}"})
            assert answer.status_code == 200


async def test_captured_traffic_goes_to_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_INTERVAL_SECONDS", 0.02)
    old = "live/traffic/model=tiny/version=1.0.0/date=2024-01-01/hour=00/x.parquet"
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        url = "http://{}:{}".format(*moto.get_host_and_port())
        bucket = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **KEYS)
        bucket.create_bucket(Bucket="traffic")
        bucket.put_object(Bucket="traffic", Key=old, Body=b"")
        for name, value in {"ENDPOINT": url, "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "a", "REGION": "us-east-1"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        predictor = start(tmp_path, capture="s3://traffic/live", capture_spool=tmp_path / "spool")
        assert (await ask_in_process(predictor, [tiny.ROW])).status_code == 200
        until(lambda: old not in keys_of(bucket))
        predictor.close()
        (key,) = keys_of(bucket)
        assert key.startswith("live/traffic/model=tiny/version=1.0.0/date=")
        table = pl.read_parquet(bucket.get_object(Bucket="traffic", Key=key)["Body"].read())
        assert table["input.origin"].to_list() == ["JFK"]
        assert not any((tmp_path / "spool").iterdir())
    finally:
        moto.stop()
