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
from tests.serving.capture.test_capture import start, with_policy
from tests.serving.protocols.golden_rows import ROWS
from tests.serving.protocols.served import served
from tests.serving.protocols.speakers import SPEAKERS
from tests.support import tiny
from tests.support.processes import Server, run, serve, until
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


def bytes_of(folder: Path) -> bytes:
    """The bytes of all files of a folder, those of the Parquet files also without compression."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    tables = [pl.read_parquet(file, hive_partitioning=False).write_csv() for file in files if file.suffix == ".parquet"]
    return b"".join([*map(Path.read_bytes, files), *map(str.encode, tables)])


@pytest.mark.slow
def test_a_subject_is_deleted_from_what_servers_have_not_stored_yet(tmp_path: Path) -> None:
    """Rows in memory, their labels, and the answers of a shadow; rows after a deletion are kept until the next one."""
    store, key = tmp_path / "store", tmp_path / "key"
    key.write_text("0123456789abcdef")
    tiny.save(tmp_path / "champion", "served", "1.0.0", with_policy("hash", "origin"))
    home = tiny.home(tmp_path / "home", "1.1.0")
    settings = {
        "DEPLOYER_CAPTURE": str(store),
        "DEPLOYER_CAPTURE_SHARE": "1",
        "DEPLOYER_CAPTURE_SECONDS": "3600",
        "DEPLOYER_CAPTURE_KEY_FILE": str(key),
        "DEPLOYER_ROW_ID": "order",
        "DEPLOYER_SHADOW": "served:1.1.0",
        "DEPLOYER_SHADOW_SHARE": "1",
    }
    subject, other, hashed = "subject-4711", "other-4712", "hashed-4713"

    def send(server: Server, order: str, origin: str) -> None:
        row = tiny.ROW | {"order": order, "origin": origin}
        answer = httpx.post(f"{server.url}/predict", json={"rows": [row]}, headers={"x-request-id": f"of-{order}"})
        assert answer.status_code == 200
        label = {"row_id": order, "label": "late"}
        assert httpx.post(f"{server.url}/feedback", json={"labels": [label]}).status_code == 202

    def compared() -> float:
        return server.metric('model_shadow_rows_total{result="same"}')

    with serve(["--arg", "model=served:1.0.0"], home, tmp_path / "log", variables=settings) as server:
        shadow_rows = 0

        def shadow_answers() -> bool:
            httpx.post(f"{server.url}/predict", json={"rows": [tiny.ROW]})
            return compared() > shadow_rows

        until(shadow_answers, seconds=60)
        for order, origin in ((subject, "LGA"), (other, "LGA"), (hashed, "EWR")):
            send(server, order, origin)
        until(lambda: len(read(store, "labels")) == 3)
        done = run("deployer", "capture", "delete", str(store), "--row-id", subject)
        assert done.returncode == 0, done.stderr
        assert ": 0 rows, 0 refusals, 1 label and 0 rows of a shadow deleted" in done.stdout
        field = ("--field", "origin=EWR", "--key-file", str(key))
        assert run("deployer", "capture", "delete", str(store), *field).returncode == 0
        send(server, "later-4714", "EWR")
    done = run("deployer", "capture", "delete", str(store), *field)
    assert ": 1 row, 0 refusals, 2 labels and 1 row of a shadow deleted" in done.stdout, done.stdout
    left = bytes_of(store)
    assert not [each for each in (subject, hashed, "later-4714") if each.encode() in left]
    assert left.count(other.encode()) >= 3
    assert set(read(store, "traffic")["row_id"]) == {None, other}
    assert other in set(read(store, "shadow")["row_id"])
    assert list(read(store, "labels")["row_id"]) == [other]
    assert "rows of a deleted subject were not stored" in (tmp_path / "log").read_text()


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
