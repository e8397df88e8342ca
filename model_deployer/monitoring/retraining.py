"""Train a model again with labelled rows of its traffic, and compare it with the champion on later rows.

The last labelled rows are kept out of the training. Both models answer them, and are compared as in a replay, with one
more condition: the candidate must be better. One that is only not worse gives no reason for a change.
A candidate that does not win stays in the store, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from model_deployer.contract import store
from model_deployer.contract.artifact import SPEC, Artifact
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.features import Boolean, Datetime, Integer
from model_deployer.contract.number_format import count
from model_deployer.contract.promotion import CHALLENGER, promote
from model_deployer.contract.trial import Trial, save_trial
from model_deployer.contract.yaml_source import read_yaml
from model_deployer.monitoring.candidate.captured_rows import rows_to_ask
from model_deployer.monitoring.candidate.comparison import Origin, compare
from model_deployer.monitoring.candidate.findings import Limits
from model_deployer.monitoring.candidate.model_answers import ask
from model_deployer.monitoring.candidate.paired_rows import PairedRows
from model_deployer.monitoring.candidate.replay import contracts
from model_deployer.monitoring.statistics.paired_comparison import MIN_DIFFERENT_BLOCKS
from model_deployer.monitoring.traffic.labelled import labelled_rows
from model_deployer.monitoring.traffic.traffic import Traffic
from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.data.frame_files import write_files
from model_deployer.training.data.labelled_rows import LabelledRows
from model_deployer.training.fit import fit
from model_deployer.training.runtime.console import print_stage

#: The share of the labelled rows, the last ones, that are kept out of the training and compare the two models.
WINDOW = 0.25

#: The lowest number of labelled rows that a training takes.
MIN_ROWS = 500

#: The candidate must be better, and may refuse one of a thousand rows that the champion answers.
LIMITS = Limits(tolerance=0.0, max_refusals=0.001, must_win=True)


@dataclass(frozen=True)
class Retrained:
    """The result of a retraining.

    Attributes:
        tag: The tag of the new model in the store.
        trial: The comparison with the champion, which is in the folder of trials.
    """

    tag: str
    trial: Trial


def retrain(champion: Artifact, traffic: Traffic, folder: Path, *, with_table: bool = True) -> Retrained:
    """Train a model again, and compare it with the champion.

    A candidate that does not win gets the alias ``challenger``, with the reason.

    Args:
        champion: The model that answers callers.
        traffic: Its captured traffic.
        folder: The folder for the model.yaml and the table of the training.
        with_table: Whether the table that the champion was trained on is a part of the training, where it is still
            there.

    Raises:
        UsageError: if the model was not trained here.
        DataError: if there are too few labelled rows.
        DeployerError: as a training.
    """
    values = _read_values(champion)
    rows = labelled_rows(traffic, champion.contract)
    earlier, window = rows.split(WINDOW)
    if len(earlier.frame) < MIN_ROWS:
        raise DataError(
            f"{count(len(rows.frame), 'labelled row')}: the last ones compare the models, and a training needs at "
            f"least {MIN_ROWS} others; wait for more labels"
        )
    tables = [earlier.frame.drop(earlier.time)]
    if with_table and (known := _training_table(champion, earlier)) is not None:
        tables.insert(0, known)
    print_stage("retrain", " and ".join(_sizes(tables)))
    path = write_files(_values(values, earlier), pl.concat(tables, how="diagonal_relaxed"), folder)
    candidate = store.load(fit(path).tag)
    trial = _compare(champion, candidate, traffic, window)
    save_trial(store.trials_folder(), trial)
    if trial.verdict != "won":
        reasons = "; ".join(finding.text for finding in trial.findings if finding.verdict == trial.verdict)
        promote(candidate.tag, CHALLENGER, reason=f"{trial.verdict}: {reasons}")
    return Retrained(candidate.tag, trial)


def _compare(champion: Artifact, candidate: Artifact, traffic: Traffic, window: LabelledRows) -> Trial:
    """Compare two models on labelled rows that neither was trained on."""
    times = window.frame[window.time]
    rows = traffic.rows.filter(pl.col("label").is_not_null() & (pl.col("time") >= times.min()))
    captured = rows_to_ask(rows, contracts(traffic), (champion.contract, candidate.contract), ())
    ours, theirs = (ask(model, captured.objects) for model in (champion, candidate))
    days = times.dt.date().n_unique()
    limits = replace(LIMITS, block="day" if days >= MIN_DIFFERENT_BLOCKS else "hour")
    origin = Origin("retrain", len(rows), captured.left_out)
    return compare(PairedRows(champion, candidate, captured.table, ours, theirs), origin, limits).trial


def _read_values(champion: Artifact) -> Mapping[str, Any]:
    """Return the keys of the model.yaml of a model.

    Raises:
        UsageError: if the model was trained elsewhere.
    """
    values = read_yaml(champion.path / SPEC).values
    if "adopt" in values:
        raise UsageError(
            f"{champion.tag} was trained elsewhere: train it there again, and adopt the result with `deployer adopt`"
        )
    return values


def _sizes(tables: list[pl.DataFrame]) -> list[str]:
    names = ["of traffic"] if len(tables) == 1 else ["of the table of the champion", "of traffic"]
    return [f"{count(len(table), 'row')} {name}" for table, name in zip(tables, names, strict=True)]


def _values(values: Mapping[str, Any], rows: LabelledRows) -> dict[str, Any]:
    """Return the keys of the new model.yaml: those of the old one, with another table.

    Its rows are split at random: the later rows of the comparison are not among them.
    """
    kept = {name: value for name, value in values.items() if name not in ("data", "split", "holdout")}
    slices = {"slices": list(rows.kept_slices(values.get("slices") or ()))}
    return {**kept, **slices, "data": {"target": rows.target, "weight": rows.weight}}


def _training_table(champion: Artifact, rows: LabelledRows) -> pl.DataFrame | None:
    """Return the table that a model was trained on, in the columns of captured rows; None if it is not there."""
    path = store.source(champion.tag)
    if path is None or not path.is_file():
        print_stage("retrain", "the model.yaml of the champion is not on this machine: its table is left out")
        return None
    dataset = read_dataset(path)
    contract = champion.contract
    if [feature.name for feature in dataset.features] != contract.names:
        print_stage("retrain", "the model.yaml of the champion has other fields now: its table is left out")
        return None
    columns = [_plain(dataset.frame[feature.name], feature) for feature in contract.features]
    target = dataset.target
    labels = target.values if target.labels is None else np.array(target.labels, object)[target.values]
    weights = np.ones(len(columns[0])) if dataset.weights is None else dataset.weights
    return pl.DataFrame([*columns, pl.Series(rows.target, labels), pl.Series(rows.weight, weights)])


def _plain(column: pl.Series, feature: object) -> pl.Series:
    """Return a conformed column with the type that captured rows have; missing values are null."""
    if column.dtype == pl.String:
        return column.replace("", None)
    if column.dtype != pl.Float64:
        return column
    values = column.fill_nan(None)
    if isinstance(feature, Datetime):
        zone = "UTC" if feature.zoned else None
        return (values * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us", zone))
    if isinstance(feature, Boolean):
        return values.cast(pl.Boolean)
    return values.cast(pl.Int64) if isinstance(feature, Integer) else values
