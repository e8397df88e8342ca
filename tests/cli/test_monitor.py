"""`deployer labels` and `deployer monitor`: what they print, write and exit with."""

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

import model_deployer as md
from model_deployer.monitoring.monitor.monitor import MonitorReport
from tests.monitoring.conftest import parcel_home, parcel_model  # noqa: F401 (fixtures)
from tests.support import in_process, parcels
from tests.support.parcels import World


@pytest.fixture(scope="module")
def store(parcel_model: md.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A traffic store whose labels are those of the first half."""
    folder = tmp_path_factory.mktemp("store")
    world = World(odds=lambda odds, _: 0.1 * odds, labelled_days=parcels.CHANGE)
    rows = parcels.write_traffic(folder / "traffic", parcel_model, world)
    late = rows.filter(pl.col("day").is_between(parcels.CHANGE, parcels.TRAFFIC_DAYS - 4))
    late.select("request_id", "label", pl.col("time").dt.offset_by("2d")).write_csv(folder / "late.csv")
    return folder


def run(store: Path, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return in_process.deployer(*arguments, cwd=store, home=home)


def test_labels_change_a_verdict(store: Path, parcel_home: Path) -> None:  # noqa: F811
    before = run(store, parcel_home, "monitor", "parcels", "--traffic", "traffic", "--html", "page.html")
    assert before.returncode == 0, before.stderr
    assert "parcels:1.0.0  40 complete days, 12,000 captured rows" in before.stdout
    assert "Keep the model: all is quiet." in before.stdout
    taken = run(store, parcel_home, "labels", "late.csv", "--traffic", "traffic")
    assert taken.stdout == "late.csv: 5,100 labels taken for parcels\n"
    again = run(store, parcel_home, "labels", "late.csv", "--traffic", "traffic", "--model", "parcels")
    assert again.stdout == "late.csv: 0 labels taken for parcels\n"
    assert "5,100 left out: the same label for the row was there before" in again.stderr
    after = run(store, parcel_home, "monitor", "--traffic", "traffic", "--json", "-", "--textfile", "parcels.prom")
    assert after.returncode == 1, after.stderr
    report = MonitorReport.model_validate_json(after.stdout)
    assert (report.verdict.action, report.format) == ("retrain", 1)
    assert 'model_monitor_verdict{action="retrain"' in (store / "parcels.prom").read_text()
    assert (store / "page.html").read_text().startswith("<!DOCTYPE html>")
    since = run(store, parcel_home, "monitor", "parcels:1.0.0", "--traffic", "traffic", "--since", "2024-03-11")
    assert "30 complete days" in since.stdout
    with in_process.model_store(parcel_home):
        assert md.monitor("parcels", traffic=store / "traffic").verdict == report.verdict
    assert json.loads(after.stdout)["observed"]["risk"]["state"] == "above"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["monitor", "parcels", "--traffic", "absent"], "absent: there is no such folder"),
        (["monitor", "letters", "--traffic", "traffic"], "the traffic store has no traffic of 'letters'"),
        (["monitor", "parcels:2.0.0", "--traffic", "traffic"], "does not hold version '2.0.0'"),
        (["monitor", "parcels@best", "--traffic", "traffic"], "'parcels' has no alias"),
        (["monitor", "parcels", "--traffic", "traffic", "--since", "monday"], "expected 24h, 14d, 6w"),
        (["monitor", "parcels", "--traffic", "traffic", "--format", "x"], "--format: expected slack"),
        (["labels", "absent.csv", "--traffic", "traffic"], "absent.csv: there is no such file"),
        (["labels", "late.csv", "--traffic", "traffic", "--model", "letters"], "does not hold a model 'letters'"),
    ],
)
def test_wrong_input_is_one_message(store: Path, parcel_home: Path, arguments: list[str], message: str) -> None:  # noqa: F811
    done = run(store, parcel_home, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
