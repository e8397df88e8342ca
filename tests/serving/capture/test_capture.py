"""What is captured of requests in this process: the columns, the policies of fields, the sample, and the limits."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedRequest, Overloaded, UsageError
from model_deployer.contract.features import CapturePolicy, Feature
from model_deployer.contract.outputs import Classification
from model_deployer.contract.traffic import LABEL_COLUMNS, REFUSAL_COLUMNS, TRAFFIC_COLUMNS
from model_deployer.serving.admission import AdmissionControl
from model_deployer.serving.capture import capture
from model_deployer.serving.capture.row_sampler import RowSampler
from model_deployer.serving.capture.spool import Spool
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.http.access_log import AccessLog
from model_deployer.serving.http.request_record import RequestRecord
from model_deployer.serving.predictor import Predictor
from tests.serving.test_gateway import connect
from tests.support import tensor_models, tiny


def start(folder: Path, contract: Contract = tiny.CONTRACT, **settings: Any) -> Predictor:
    tiny.write(folder / "model", contract=contract)
    model = open_artifact(folder / "model")
    predictor = Predictor(
        model, Settings.model_validate({"capture": str(folder / "store"), "capture_share": 1.0, **settings})
    )
    predictor.start(OnnxEngine(model.model, model.contract.output))
    return predictor


def with_policy(policy: CapturePolicy, *names: str) -> Contract:
    features: list[Feature] = [
        feature.model_copy(update={"capture": policy}) if feature.name in names else feature
        for feature in tiny.FEATURES
    ]
    return tiny.CONTRACT.model_copy(update={"features": tuple(features)})


def read(folder: Path, table: str = "traffic") -> pl.DataFrame:
    return pl.read_parquet(folder / "store" / table, hive_partitioning=True, glob=True)


async def ask(predictor: Predictor, rows: list[dict[str, Any]], request_id: str = "request-1") -> httpx.Response:
    async with connect(predictor) as client:
        return await client.post("/predict", json={"rows": rows}, headers={"x-request-id": request_id})


async def test_captured_rows_have_their_values_answers_and_origin(tmp_path: Path) -> None:
    predictor = start(tmp_path, row_id="order_id")
    rows = [tiny.ROW | {"order_id": 17}, tiny.ROW | {"temp": None, "booked": None, "holiday": None}]
    answer = (await ask(predictor, rows)).json()
    predictor.close()
    table = read(tmp_path)
    captured = ("distance", "temp", "seats", "holiday", "origin", "carrier", "departure", "booked")
    outputs = ("decision", "probabilities.late", "probabilities.on_time")
    assert table.columns == [
        *TRAFFIC_COLUMNS,
        *(f"input.{name}" for name in captured),
        "bin.remark",
        *(f"output.{name}" for name in outputs),
        *("model", "version", "date", "hour"),
    ]
    first, second = table.to_dicts()
    assert (first["request_id"], first["row"], first["row_id"]) == ("request-1", 0, "17")
    assert (second["row"], second["row_id"], second["input.temp"], second["input.booked"]) == (1, None, None, None)
    assert (first["protocol"], first["status"], first["degraded"], first["weight"]) == ("native", 200, False, 1.0)
    assert first["input.departure"] == datetime(2013, 11, 1, 17, 5)
    assert first["input.booked"] == datetime(2013, 10, 1, 8, tzinfo=UTC)
    assert (first["input.seats"], first["input.holiday"], first["input.origin"]) == (149, False, "JFK")
    assert (first["model"], first["version"]) == ("tiny", "1.0.0")
    assert abs((datetime.now(UTC) - first["time"]).total_seconds()) < 60
    for row, prediction in zip((first, second), answer["predictions"], strict=True):
        assert row["output.decision"] == prediction["decision"]
        assert row["output.probabilities.late"] == pytest.approx(prediction["probabilities"]["late"])


async def test_no_byte_of_the_store_has_a_value_that_must_not_be_kept(tmp_path: Path) -> None:
    secret = "Do-Not-Keep-4711"
    contract = with_policy("drop", "carrier")
    any_carrier = contract.features[5].model_copy(update={"categories": None, "unknown": "accept"})
    contract = contract.model_copy(update={"features": (*contract.features[:5], any_carrier, *contract.features[6:])})
    predictor = start(tmp_path, contract)
    assert (await ask(predictor, [tiny.ROW | {"carrier": secret, "remark": secret}])).status_code == 200
    refused = await ask(predictor, [tiny.ROW | {"carrier": secret, "remark": secret * 100, secret: 1}])
    assert refused.status_code == 422
    predictor.close()
    files = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert len(files) == 2
    uncompressed = [pl.read_parquet(file).write_csv().encode() for file in files]
    assert not any(secret.encode() in content for content in (*map(Path.read_bytes, files), *uncompressed))
    (refusal,) = read(tmp_path, "refusals").to_dicts()
    assert tuple(refusal)[: len(REFUSAL_COLUMNS)] == REFUSAL_COLUMNS
    assert (refusal["status"], refusal["code"]) == (422, "invalid_rows")
    assert (refusal["fields"], refusal["problem_codes"]) == ("other,remark", "unknown_field,wrong_length")


async def test_bins_have_the_names_of_the_reference(tmp_path: Path) -> None:
    predictor = start(tmp_path, with_policy("bin", "temp", "origin", "seats"))
    rows = [tiny.ROW | {"temp": 20.0, "origin": "LGA"}, tiny.ROW | {"temp": None}]
    await ask(predictor, rows)
    predictor.close()
    table = read(tmp_path)
    reference = predictor.artifact.reference
    assert reference is not None
    assert set(table["bin.temp"]) <= set(reference.features["temp"].shares())
    assert table["bin.temp"][1] == "missing"
    assert table["bin.origin"].to_list() == ["other", "JFK"]
    assert not {"input.temp", "input.origin", "bin.seats", "input.seats"} & set(table.columns)  # no bins of seats


async def test_hashes_tell_equal_values_only(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    predictor = start(tmp_path, with_policy("hash", "origin", "temp"), capture_key_file=key)
    await ask(predictor, [tiny.ROW, tiny.ROW, tiny.ROW | {"origin": "EWR", "temp": None}])
    predictor.close()
    table = read(tmp_path)
    first, second, third = table["hash.origin"]
    assert first == second != third
    assert len(first) == 32
    assert table["hash.temp"].to_list()[2] is None
    assert table["hash.temp"][0] != first


@pytest.mark.parametrize("policy", ["keep", "bin", "hash"])
async def test_tensors_are_captured(tmp_path: Path, policy: CapturePolicy) -> None:
    """Nested lists, their norms, and hashes that do not depend on the other rows of a batch."""
    rows = tensor_models.tensor_rows(tensor_models.WITH_TENSORS, 8)
    features = [feature.model_copy(update={"capture": policy}) for feature in tensor_models.WITH_TENSORS.features]
    contract = tensor_models.WITH_TENSORS.model_copy(update={"features": tuple(features)})
    tensor_models.write_tensors(tmp_path / "model", contract)
    model = open_artifact(tmp_path / "model")
    (key := tmp_path / "key").write_text("0123456789abcdef")
    settings = {"capture": str(tmp_path / "store"), "capture_share": 1.0, "capture_key_file": key}
    predictor = Predictor(model, Settings.model_validate(settings))
    predictor.start(OnnxEngine(model.model, model.contract.output))
    await ask(predictor, rows)
    await ask(predictor, rows[:1])
    predictor.close()
    table = read(tmp_path)
    for name in ("spectrogram", "matrix"):
        values = [row[name] for row in (*rows, rows[0])]
        if policy == "keep":
            assert table[f"input.{name}"].to_list() == values
        elif policy == "hash":
            assert table[f"hash.{name}"][0] == table[f"hash.{name}"][-1]
            assert table[f"hash.{name}"].is_null().to_list() == [value is None for value in values]
        else:
            assert model.reference is not None
            distribution = model.reference.features[name]
            lengths = np.array([np.nan if value is None else np.linalg.norm(np.ravel(value)) for value in values])
            names = list(distribution.shares())
            assert table[f"bin.{name}"].to_list() == [names[code] for code in distribution.codes(lengths)]


def test_a_hash_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"capture_key_file: 'origin' is captured as a hash"):
        start(tmp_path, with_policy("hash", "origin"))
    short = tmp_path / "key"
    short.write_text("short")
    with pytest.raises(UsageError, match="at least 16 characters"):
        start(tmp_path / "other", with_policy("hash", "origin"), capture_key_file=short)


@pytest.mark.parametrize("location", ["http://host/x", "ftp://host/x"])
def test_other_urls_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(UsageError, match="expected a folder, or a URL that begins with s3://"):
        start(tmp_path, capture=location)


async def test_the_sample_is_unbiased_and_has_all_rows_near_the_threshold() -> None:
    output = Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.5)
    sampler = RowSampler(0.1, 0.05, output)
    probability = np.random.default_rng(0).random(20_000)
    outputs = {"probabilities": np.column_stack([1 - probability, probability]).astype(np.float32)}
    sample = sampler.sample(len(probability), outputs)
    assert sample is not None
    near = np.flatnonzero(np.abs(outputs["probabilities"][:, 1] - 0.5) <= 0.05)
    assert set(near) <= set(sample.indices)
    assert sample.weights.sum() == pytest.approx(20_000, rel=0.1)
    assert (sample.weights * probability[sample.indices]).sum() == pytest.approx(probability.sum(), rel=0.1)


async def test_rows_beyond_the_memory_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_MAX_VALUES", 30)
    monkeypatch.setattr(capture, "_INTERVAL_SECONDS", 60)
    predictor = start(tmp_path)
    for _ in range(5):
        assert (await ask(predictor, [tiny.ROW])).status_code == 200
    predictor.close()
    assert len(read(tmp_path)) == 3
    text = predictor.metrics.text().decode()
    assert 'model_captured_rows_total{state="written"} 3.0' in text
    assert 'model_captured_rows_total{state="dropped"} 2.0' in text


async def test_files_wait_while_the_store_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until_true: Callable[[Callable[[], bool]], Any]
) -> None:
    monkeypatch.setattr(capture, "_INTERVAL_SECONDS", 0.02)
    (tmp_path / "store").write_text("a file where the folder should be")
    predictor = start(tmp_path, capture_spool=tmp_path / "spool", capture_seconds=0.01)
    assert (await ask(predictor, [tiny.ROW])).status_code == 200
    await until_true(lambda: any((tmp_path / "spool").rglob("*-1.parquet")))
    (tmp_path / "store").unlink()
    await until_true(lambda: any((tmp_path / "store").rglob("*.parquet")))
    await until_true(lambda: not any((tmp_path / "spool").rglob("parts")))  # no folder of a partition stays
    predictor.close()
    assert len(read(tmp_path)) == 1
    assert not any((tmp_path / "spool").iterdir())


async def test_the_loss_of_a_killed_worker_counts_once_while_the_store_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until_true: Callable[[Callable[[], bool]], Any]
) -> None:
    monkeypatch.setattr(capture, "_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(capture, "_ABANDONED_SECONDS", 0.0)
    killed = Spool(tmp_path / "spool", "tiny:1.0.0")
    killed.tally.add_captured(7)
    label = {"request_id": "a", "row": 0, "row_id": None, "label": "late", "time": None, "received": 1.0}
    killed.append_labels([label])
    killed.close()  # the labels are left, as those of a worker that was killed
    (tmp_path / "store").write_text("a file where the folder should be")
    predictor = start(tmp_path, capture_spool=tmp_path / "spool")
    await until_true(lambda: len(list((tmp_path / "spool").rglob("parts/l*s"))) == 2)
    (tmp_path / "store").unlink()
    await until_true(lambda: not (tmp_path / "spool" / killed.worker).exists())
    predictor.close()
    assert read(tmp_path, "losses")["rows"].to_list() == [7]
    assert read(tmp_path, "labels")["label"].to_list() == ["late"]
    assert 'model_captured_rows_total{state="lost"} 7.0' in predictor.metrics.text().decode()


async def test_old_partitions_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until_true: Callable[[Callable[[], bool]], Any]
) -> None:
    monkeypatch.setattr(capture, "_INTERVAL_SECONDS", 0.02)
    model = tmp_path / "store" / "traffic" / "model=tiny"
    old, young = model / "version=0.9.0" / "date=2024-01-01", model / "version=0.9.0" / "date=2999-01-01"
    other = tmp_path / "store" / "traffic" / "model=other" / "version=1.0.0" / "date=2024-01-01"
    labels = tmp_path / "store" / "labels" / "model=tiny" / "date=2024-01-01"
    for folder in (old, young, other, labels):
        folder.mkdir(parents=True)
        (folder / "x.parquet").write_bytes(b"")
    predictor = start(tmp_path, capture_days=30)
    await until_true(lambda: not old.exists() and not labels.exists())
    predictor.close()
    assert young.exists()
    assert other.exists()


async def test_labels_are_stored_before_they_are_acknowledged(tmp_path: Path) -> None:
    predictor = start(tmp_path)
    labels = [
        {"request_id": "request-1", "row": 3, "label": "late", "time": "2026-01-31T12:00:00+01:00"},
        {"row_id": 17, "label": "on_time"},
    ]
    async with connect(predictor) as client:
        answer = await client.post("/feedback", json={"labels": labels})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
        assert "/feedback" in (await client.get("/docs.json")).json()["paths"]
    predictor.close()
    table = read(tmp_path, "labels")
    assert tuple(table.columns[:6]) == LABEL_COLUMNS
    first, second = table.to_dicts()
    assert (first["request_id"], first["row"], first["label"]) == ("request-1", 3, "late")
    assert first["time"] == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert (second["row_id"], second["row"], second["time"]) == ("17", None, None)


@pytest.mark.parametrize(
    ("label", "field", "code"),
    [
        ({"request_id": "a", "label": "never"}, "label", "unknown_category"),
        ({"request_id": "a"}, "label", "missing_field"),
        ({"label": "late"}, "request_id", "missing_field"),
        ({"request_id": "a", "row_id": "b", "label": "late"}, "request_id", "missing_field"),
        ({"request_id": 5, "label": "late"}, "request_id", "wrong_type"),
        ({"request_id": "a", "row": -1, "label": "late"}, "row", "wrong_type"),
        ({"request_id": "a", "label": "late", "time": "soon"}, "time", "invalid_datetime"),
        ({"request_id": "a", "label": "late", "lable": 1}, None, "unknown_field"),
        ("late", None, "wrong_type"),
    ],
)
async def test_labels_that_cannot_be_used_are_named(tmp_path: Path, label: Any, field: str | None, code: str) -> None:
    predictor = start(tmp_path)
    async with connect(predictor) as client:
        good = {"request_id": "a", "label": "late"}
        answer = await client.post("/feedback", json={"labels": [good, label]})
    predictor.close()
    assert answer.status_code == 422
    (problem, *_) = answer.json()["errors"]
    assert (problem["row"], problem["field"], problem["code"]) == (1, field, code)
    assert not (tmp_path / "store" / "labels").exists()


async def test_requests_that_are_refused_unread_are_captured_too(tmp_path: Path) -> None:
    predictor = start(tmp_path)
    log = AccessLog(predictor.metrics, Settings(), None, predictor.listeners)
    admission = AdmissionControl(predictor, log)
    for error, route in ((Overloaded("later"), "/predict"), (MalformedRequest("not HTTP"), "other")):
        admission.record_refusal(RequestRecord({}, b"request-1"), error, route, "POST")
    predictor.close()
    (refusal,) = read(tmp_path, "refusals").to_dicts()
    assert (refusal["request_id"], refusal["status"], refusal["code"]) == ("request-1", 503, "overloaded")


async def test_without_a_store_there_is_no_feedback(tmp_path: Path) -> None:
    tiny.write(tmp_path / "model")
    model = open_artifact(tmp_path / "model")
    predictor = Predictor(model, Settings())
    predictor.start(OnnxEngine(model.model, model.contract.output))
    async with connect(predictor) as client:
        assert (await client.post("/feedback", content=json.dumps({}))).status_code == 404


@pytest.fixture
def until_true() -> Callable[[Callable[[], bool]], Any]:
    """Wait until a condition is true, while other tasks and threads run."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    return wait
