"""Worlds with a planted change get the right verdict, from traffic and labels in a store."""

import json
import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_deployer.api import Model
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.number_format import number
from model_deployer.monitoring.check_triggers import check
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.observation import Interval, Separation
from model_deployer.monitoring.triggers import triggers
from model_deployer.monitoring.verdict import Action, Verdict, decide
from tests.support import parcels
from tests.support.observed import package_data
from tests.support.parcels import START, World

pytestmark = pytest.mark.slow

CHANGE = (START + timedelta(days=parcels.CHANGE)).date()


def more_web_and_lighter(rows: pl.DataFrame) -> pl.DataFrame:
    """Parcels of other channels and weights, all of them usual: the model knows them."""
    is_web = np.random.default_rng(5).random(len(rows)) < 0.75
    channel = np.where(is_web, "web", rows["channel"].to_numpy())
    return rows.with_columns(pl.col("weight") * 0.8, channel=pl.Series(channel))


WORLDS: dict[str, tuple[World, Action, date | None]] = {
    "quiet": (World(), "keep", None),
    "metres": (World(sent=lambda rows: rows.with_columns(pl.col("distance") * 1000)), "fix the data", CHANGE),
    "miles": (World(sent=lambda rows: rows.with_columns(pl.col("distance") / 1.609344)), "fix the data", CHANGE),
    "no temperature": (
        World(sent=lambda rows: rows.with_columns(pl.when(pl.col("weight") < 6).then("temperature"))),
        "fix the data",
        CHANGE,
    ),
    "moved and quiet": (World(real=more_web_and_lighter), "keep", CHANGE),
    "more are late": (World(odds=lambda odds, _: odds + 1.2), "recalibrate", CHANGE),
    "other rules": (World(odds=lambda odds, _: 0.1 * odds), "retrain", CHANGE),
    "heavy and far": (
        World(
            real=lambda rows: rows.with_columns(pl.col("distance") * 3 + 300, pl.col("weight") + 40),
            labelled_days=parcels.CHANGE,
        ),
        "ask a person",
        CHANGE,
    ),
    "swapped labels": (World(odds=lambda odds, _: -odds), "ask a person", CHANGE),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_planted_world_gets_its_verdict(parcel_model: Model, tmp_path: Path, name: str) -> None:
    world, action, since = WORLDS[name]
    parcels.write_traffic(tmp_path, parcel_model, world)
    report = parcels.watched(parcel_model, tmp_path)
    assert report.verdict.action == action, report.verdict
    assert report.verdict.since == since
    waiting = report.verdict.waiting
    assert action != "retrain" or (waiting.so_far or 0) > 10 * (waiting.a_day or 0)
    assert MonitorReport.model_validate_json(report.to_text()) == report
    assert bool(_fired(parcel_model, report)) == (action != "keep")


def test_a_training_is_weighed_against_waiting(parcel_model: Model, tmp_path: Path) -> None:
    """It is stated when it has paid for itself; one that never does keeps the model, and nothing is guessed."""
    parcels.write_traffic(tmp_path, parcel_model, WORLDS["other rules"][0])
    report = parcels.watched(parcel_model, tmp_path)
    observed, waiting = report.observed, report.verdict.waiting
    assert observed.risk.training == 500
    assert waiting.a_day and waiting.so_far and waiting.payback_days and observed.traffic.last
    assert waiting.payback_days == pytest.approx(500 / waiting.a_day)
    day = observed.traffic.last + timedelta(days=math.ceil(waiting.payback_days))
    assert f"as much as {number(waiting.payback_days, 3)} days of waiting: after {day}, a training now " in waiting.text
    assert waiting.text.endswith(", and an earlier one already.") == (waiting.so_far >= 500)

    def decided(training: float | None) -> Verdict:
        risk = observed.risk.model_copy(update={"training": training})
        return decide("parcels:1.0.0", observed.model_copy(update={"risk": risk}))

    cheap, dear, unknown = decided(365 * waiting.a_day), decided(366 * waiting.a_day), decided(None)
    assert (cheap.action, dear.action, unknown.action) == ("retrain", "keep", "retrain")
    assert dear.headline.endswith("a training costs more than it saves.")
    assert "as much as 366 days of waiting" in dear.waiting.text
    assert unknown.waiting.text.endswith("state `cost.training` in model.yaml to weigh it against waiting.")


@pytest.mark.parametrize(("usual", "end"), [(None, "from the table."), (0.5, "; a week of the table itself: 0.5.")])
def test_what_the_table_does_not_say_is_left_out(
    parcel_model: Model, tmp_path: Path, usual: float | None, end: str
) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World())
    separation = Separation(reason=None, auc=Interval(value=0.9, low=0.8, high=1.0), usual=usual)
    observed = parcels.watched(parcel_model, tmp_path).observed.model_copy(update={"separation": separation})
    texts = [line.text for line in decide("parcels:1.0.0", observed).evidence]
    (text,) = [text for text in texts if text.startswith("A classifier")]
    assert text.endswith(end)


def _fired(model: Model, report: MonitorReport) -> list[str]:
    """Return the triggers of the model's package that a report fires."""
    artifact = model.artifact
    package = package_data(artifact.contract, None, artifact.evaluation.to_json(), **_named(artifact))
    return list(check(triggers(package), json.loads(report.to_text()), None, report.observed.made))


def _named(artifact: Artifact) -> dict[str, str]:
    return {"name": artifact.manifest.name, "version": artifact.manifest.version}


def test_labels_that_contradict_each_other_are_for_a_person(parcel_model: Model, tmp_path: Path) -> None:
    rows = parcels.write_traffic(tmp_path, parcel_model, World())
    other = {"late": "on_time", "on_time": "late"}
    again = rows.filter(pl.col("day") < 20).with_columns(pl.col("label").replace(other))
    parcels.write_labels(tmp_path, again, delay=timedelta(days=3))
    report = parcels.watched(parcel_model, tmp_path)
    assert report.verdict.action == "ask a person"
    assert "6,000 labels were replaced by a different one" in report.verdict.cause
