"""Train a model again with labelled rows of its traffic, and compare it with the champion on later rows.

The last labelled rows are kept out of the training. Both models answer them, and the losses of the same rows are
compared. A candidate that does not win stays in the store, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract import store
from model_deployer.contract.artifact import SPEC, Artifact
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.features import Boolean, Datetime, Integer
from model_deployer.contract.number_format import count
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.contract.promotion import CHALLENGER, promote
from model_deployer.contract.trial import Finding, Trial, Verdict, overall, save_trial
from model_deployer.contract.yaml_source import read_yaml
from model_deployer.monitoring.statistics.blocks import block_means
from model_deployer.monitoring.statistics.losses import half_brier_scores, pinball_losses
from model_deployer.monitoring.statistics.paired_comparison import PairedComparison, paired_comparison
from model_deployer.monitoring.traffic.labelled import labelled_rows
from model_deployer.monitoring.traffic.traffic import Traffic
from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.data.features import conform
from model_deployer.training.data.frame_files import write_files
from model_deployer.training.data.labelled_rows import LabelledRows
from model_deployer.training.data.request_rows import legal
from model_deployer.training.export.export import graph_predictor
from model_deployer.training.fit import fit
from model_deployer.training.runtime.console import print_stage

#: The share of the labelled rows, the last ones, that are kept out of the training and compare the two models.
WINDOW = 0.25

#: The lowest number of labelled rows that a training takes.
MIN_ROWS = 500

#: The candidate may refuse this share of the rows that the champion answered.
MAX_REFUSED = 0.001

#: Losses are compared by day if the window has at least this number of days, else by hour.
_MIN_DAYS = 10


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
    trial = compare(champion, candidate, window)
    save_trial(store.trials_folder(), trial)
    if trial.verdict != "won":
        reasons = "; ".join(finding.text for finding in trial.findings if finding.verdict == trial.verdict)
        promote(candidate.tag, CHALLENGER, reason=f"{trial.verdict}: {reasons}")
    return Retrained(candidate.tag, trial)


def compare(champion: Artifact, candidate: Artifact, window: LabelledRows) -> Trial:
    """Compare two models on the same labelled rows.

    Args:
        champion: The model that answers callers.
        candidate: The model that may replace it.
        window: Rows that neither was trained on, with the fields of both.
    """
    answered = _answered(candidate, window)
    refused = len(window.frame) - len(answered)
    findings = [_losses(champion, candidate, answered, window), _refusals(refused, len(window.frame))]
    return Trial(
        champion=champion.tag,
        candidate=candidate.tag,
        source="retrain",
        made=datetime.now(UTC).replace(microsecond=0),
        rows=len(window.frame),
        labelled=len(window.frame),
        verdict=overall(findings),
        findings=tuple(findings),
    )


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


def _answered(candidate: Artifact, window: LabelledRows) -> pl.DataFrame:
    """Return the rows that the candidate does not refuse."""
    features = candidate.contract.features
    return window.frame.filter(legal(features, conform(window.frame, features)))


def _losses(champion: Artifact, candidate: Artifact, rows: pl.DataFrame, window: LabelledRows) -> Finding:
    """Compare the losses of the same rows, by day or hour."""
    target = rows[window.target].to_numpy()
    losses = [_row_losses(each, rows, target) for each in (candidate, champion)]
    bound = 1.0
    if not isinstance(champion.contract.output, Classification):
        bound = float(np.quantile(np.concatenate(losses), 0.999)) or 1.0
        losses = [each.clip(max=bound) for each in losses]
    times = rows[window.time]
    days = times.dt.epoch("d").to_numpy()
    blocks = days if len(np.unique(days)) >= _MIN_DAYS else times.dt.epoch("s").to_numpy() // 3600
    compared = paired_comparison(
        block_means(losses[0] - losses[1], blocks.astype(np.int64), rows[window.weight].to_numpy()), bound=bound
    )
    verdicts: Mapping[str, Verdict] = {"better": "won", "worse": "lost", "not known yet": "open"}
    return Finding(name="loss", verdict=verdicts[compared.verdict], text=_loss_text(champion, compared, len(rows)))


def _row_losses(artifact: Artifact, rows: pl.DataFrame, target: NDArray[Any]) -> NDArray[np.float64]:
    """Return the loss of each row, float64 [rows].

    It is half of the Brier score of a classification, the pinball loss of a quantile, and the absolute error of any
    other quantity.
    """
    output = artifact.contract.output
    answers = graph_predictor(onnx.load(artifact.model))(conform(rows, artifact.contract.features))
    if isinstance(output, Classification):
        truth = target[:, None] == np.array(output.labels, object)[None, :]
        return half_brier_scores(answers["probabilities"].astype(np.float64), truth)
    assert isinstance(output, Regression)
    values, truth = answers["value"][:, 0].astype(np.float64), target.astype(np.float64)
    return np.abs(truth - values) if output.quantile is None else pinball_losses(values, truth, output.quantile)


def _loss_text(champion: Artifact, compared: PairedComparison, rows: int) -> str:
    name = "half of the Brier score" if isinstance(champion.contract.output, Classification) else "the error"
    difference = f"{name} of the candidate minus that of {champion.tag} is {compared.difference:+.4g}"
    interval = f"95 % confidence sequence {compared.low:+.4g} to {compared.high:+.4g}"
    return f"on {count(rows, 'labelled row')} in {compared.blocks:,} blocks, {difference} ({interval})"


def _refusals(refused: int, rows: int) -> Finding:
    verdict: Verdict = "lost" if refused > MAX_REFUSED * rows else "won"
    return Finding(
        name="refusals",
        verdict=verdict,
        text=f"the candidate refuses {refused:,} of {count(rows, 'row')} that the champion answered",
    )
