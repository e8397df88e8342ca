"""A model is trained again with labelled rows of its traffic, and compared with the champion on later rows."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import model_deployer as md
from model_deployer.contract import store
from model_deployer.contract.artifact import SPEC
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.promotion import champion_of
from model_deployer.contract.trial import last_trial
from model_deployer.monitoring.candidate.captured_rows import rows_to_ask
from model_deployer.monitoring.candidate.comparison import Origin, compare
from model_deployer.monitoring.candidate.findings import Limits
from model_deployer.monitoring.candidate.model_answers import ask
from model_deployer.monitoring.candidate.paired_rows import PairedRows
from model_deployer.monitoring.candidate.replay import contracts
from model_deployer.monitoring.retraining import LIMITS, Retrained, retrain
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from tests.support.captured import capture_rows
from tests.support.in_process import model_store

RANDOM = np.random.default_rng(0)


def table(rows: int, sign: float) -> pl.DataFrame:
    """Rows whose label follows the sum of the fields, or for a sign of -1 the opposite of it."""
    x, y = RANDOM.normal(size=(2, rows)).round(3)
    probability = 1 / (1 + np.exp(-2 * sign * (x + y)))
    colour = np.where(RANDOM.random(rows) < 0.5, "red", "blue")
    label = np.where(RANDOM.random(rows) < probability, "yes", "no")
    region = np.where(x > y, "north", "south")
    return pl.DataFrame({"x": x, "y": y, "colour": colour, "region": region, "label": label})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model store with a champion."""
    folder = tmp_path_factory.mktemp("home")
    with model_store(folder):
        md.train(
            data=table(1200, 1),
            target="label",
            name="colours",
            ignore=["region"],
            slices=["region", "colour"],  # callers do not send the region
            estimator={"name": "linear"},
            folder=folder / "spec",
        )
        yield folder


def run(folder: Path, rows: pl.DataFrame, *, with_table: bool) -> Retrained:
    champion = store.load("colours:1.0.0")
    capture_rows(folder / "traffic", champion, rows.drop("label", "region"), rows["label"].to_list())
    traffic = read_traffic(open_files(str(folder / "traffic")), "colours")
    return retrain(champion, traffic, folder / "again", with_table=with_table)


def test_a_candidate_wins_where_the_world_has_changed(home: Path, tmp_path: Path) -> None:
    retrained = run(tmp_path, table(4000, -1), with_table=False)
    trial = retrained.trial
    assert trial.verdict == "won"
    assert [finding.name for finding in trial.findings] == ["refusals", "loss", "error_rate", "flips"]
    assert (trial.rows, trial.champion, trial.candidate) == (1000, "colours:1.0.0", retrained.tag)
    assert last_trial(store.trials_folder(), trial.champion, trial.candidate) == trial
    assert store.load(retrained.tag).contract.names == ["x", "y", "colour"]
    assert "slices:\n- colour\n" in (tmp_path / "again" / "model.yaml").read_text()


def test_a_candidate_that_does_not_win_is_kept_with_the_reason(home: Path, tmp_path: Path) -> None:
    retrained = run(tmp_path, table(1600, 1), with_table=True)
    assert retrained.trial.verdict == "open"
    assert store.resolve("colours@challenger") == retrained.tag
    assert (md.ledger("colours")[-1].reason or "").startswith("open: squared error of the probabilities: ")
    assert "the rows do not say yet that it is better" in retrained.trial.findings[1].text
    assert len(pl.read_parquet(tmp_path / "again" / "table.parquet")) == 1200 + 1200


def test_the_same_answers_are_no_reason_for_a_change(home: Path, tmp_path: Path) -> None:
    """A replay takes a candidate that is not worse, and the comparison after a training one that is better."""
    champion = store.load("colours:1.0.0")
    rows = table(1600, 1)
    capture_rows(tmp_path / "traffic", champion, rows.drop("label", "region"), rows["label"].to_list())
    traffic = read_traffic(open_files(str(tmp_path / "traffic")), "colours")
    captured = rows_to_ask(traffic.rows, contracts(traffic), (champion.contract,), ())
    answers = ask(champion, captured.objects)
    paired = PairedRows(champion, champion, captured.table, answers, answers)
    verdicts = [compare(paired, Origin("replay", 1600), limits).trial.verdict for limits in (Limits(), LIMITS)]
    assert verdicts == ["won", "open"]


def test_a_name_alone_means_the_champion_not_the_highest_version(home: Path, tmp_path: Path) -> None:
    run(tmp_path, table(1600, 1), with_table=False)
    assert store.resolve("colours") != "colours:1.0.0" == champion_of("colours:1.0.0")
    assert champion_of("colours") == store.resolve("colours")
    md.promote("colours:1.0.0")
    assert champion_of("colours") == "colours:1.0.0"


def test_a_model_that_was_trained_elsewhere_is_refused_also_after_a_calibration(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store.load("colours:1.0.0").path, copy)
    with (copy / SPEC).open("a") as spec:
        spec.write("adopt: {source: model.joblib}\n")
    champion = replace(store.load("colours:1.0.0"), path=copy)
    capture_rows(tmp_path / "traffic", champion, table(10, 1).drop("label", "region"), ["yes"] * 10)
    traffic = read_traffic(open_files(str(tmp_path / "traffic")), "colours")
    with pytest.raises(UsageError, match="was trained elsewhere: train it there again"):
        retrain(champion, traffic, tmp_path / "again")


def test_too_few_labels_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a training needs at least 500 others; wait for more labels"):
        run(tmp_path, table(400, 1), with_table=False)
