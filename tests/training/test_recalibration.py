"""A model of the store gets new probabilities or a new interval from labelled rows of its traffic."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import model_deployer as md
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed, DataError
from model_deployer.contract.evaluation import MODEL
from model_deployer.monitoring.traffic.labelled import labelled_rows
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from model_deployer.training.completion import Completed
from model_deployer.training.recalibration_run import recalibrate
from tests.support.captured import capture_rows
from tests.support.in_process import model_store

RANDOM = np.random.default_rng(0)


def table(rows: int, slope: float = 1.5, shift: float = 0.0) -> pl.DataFrame:
    """Rows with a label whose log-odds are ``slope`` times the sum of the fields."""
    x, y = RANDOM.normal(size=(2, rows)).round(3)
    probability = 1 / (1 + np.exp(-(slope * (x + y) + shift)))
    label = np.where(RANDOM.random(rows) < probability, "yes", "no")
    return pl.DataFrame({"x": x, "y": y, "label": label, "value": x + y + RANDOM.normal(size=rows)})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model store with a model of the label and one of the value."""
    folder = tmp_path_factory.mktemp("home")
    frame = table(1500)
    with model_store(folder):
        for target, other in (("label", "value"), ("value", "label")):
            md.train(
                data=frame,
                target=target,
                ignore=[other],
                slices=[other],  # callers do not send it
                name=f"of-{target}",
                estimator={"name": "linear"},
                folder=folder / target,
            )
        yield folder


def run(folder: Path, artifact: Artifact, rows: pl.DataFrame, target: str) -> Completed:
    capture_rows(folder / "traffic", artifact, rows.select("x", "y"), rows[target].to_list())
    traffic = read_traffic(open_files(str(folder / "traffic")), artifact.manifest.name)
    return recalibrate(artifact, labelled_rows(traffic, artifact.contract))


def test_probabilities_are_calibrated_and_their_order_stays(home: Path, tmp_path: Path) -> None:
    artifact = store.load("of-label:1.0.0")
    rows = table(3000, slope=0.5, shift=-1.0)  # the world became less predictable, and less positive
    completed = run(tmp_path, artifact, rows, "label")
    new = store.load(completed.tag)
    assert completed.tag == "of-label:1.0.1"
    assert new.contract == artifact.contract
    before, after = (md.load(each.tag).predict(rows.select("x", "y")) for each in (artifact, new))
    column = "probabilities.yes"
    assert after[column].gather(before[column].arg_sort()).is_sorted()
    share = (rows["label"] == "yes").mean()
    assert after[column].mean() == pytest.approx(share, abs=0.03)
    assert abs(before[column].mean() - share) > 0.1
    adoption = new.evaluation.adoption
    assert adoption
    assert adoption.source == artifact.tag
    assert adoption.recalibration
    assert adoption.recalibration.slope == pytest.approx(0.5 / 1.5, abs=0.1)
    assert adoption.recalibration.rows == 1200
    assert new.evaluation.metrics_of(MODEL)["log_loss"].value < 0.65


def test_a_calibration_that_does_not_help_is_not_saved(home: Path, tmp_path: Path) -> None:
    artifact = store.load("of-label:1.0.0")
    with pytest.raises(CheckFailed, match="no calibration was better than the present one"):
        for _ in range(5):  # by chance, one may seem to help
            artifact = store.load(run(tmp_path, artifact, table(1500), "label").tag)


def test_an_interval_gets_its_coverage_back(home: Path, tmp_path: Path) -> None:
    artifact = store.load("of-value")
    rows = table(3000)
    noise = RANDOM.normal(size=3000) * 3
    rows = rows.with_columns(value=rows["x"] + rows["y"] + noise)
    completed = run(tmp_path, artifact, rows, "value")
    assert completed.tag == "of-value:1.0.1"
    before, after = (md.load(tag).predict(rows.select("x", "y")) for tag in (artifact.tag, completed.tag))
    assert before["value"].to_list() == after["value"].to_list()
    covered = [
        float(((rows["value"] >= answers["lower"]) & (rows["value"] <= answers["upper"])).mean())
        for answers in (before, after)
    ]
    assert covered[0] < 0.5
    assert covered[1] == pytest.approx(0.9, abs=0.03)


def test_too_few_labels_are_refused(home: Path, tmp_path: Path) -> None:
    artifact = store.load("of-label:1.0.0")
    with pytest.raises(DataError, match="100 labelled rows: a calibration needs at least 200"):
        run(tmp_path, artifact, table(100), "label")
