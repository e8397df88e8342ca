"""The answers of a shadow, with the labels of their rows."""

from dataclasses import replace

import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import DataError
from model_deployer.monitoring.candidate.model_answers import ModelAnswers
from model_deployer.monitoring.candidate.paired_rows import PairedRows, recorded_answers
from model_deployer.monitoring.traffic.traffic import join_labels
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles, Window, read_table

#: The results of a row that the shadow refused.
_REFUSED = "refused"


def shadow_answers(files: TrafficFiles, candidate: Artifact, champion: Artifact | None, window: Window) -> pl.DataFrame:
    """Return the rows that a candidate answered in a shadow, with labels, in the order of their time.

    The values of their fields are there where the rows were captured, too.

    Args:
        files: The traffic store.
        candidate: The model that answered in the shadow.
        champion: The model that answered callers; None for any version.
        window: The part of the traffic.

    Raises:
        DataError: if the store has none.
    """
    name = (champion or candidate).manifest.name
    version = champion.manifest.version if champion else None
    table = read_table(files, "shadow", name, replace(window, version=version))
    rows = table if table.is_empty() else _within(table, window).filter(pl.col("candidate") == candidate.tag)
    if rows.is_empty():
        raise DataError(
            f"the traffic store has no answers of {candidate.tag} in the shadow of another model in this time; set "
            f"`serving.shadow: {candidate.tag}`"
        )
    joined, _ = join_labels(rows.sort("time", maintain_order=True), read_table(files, "labels", name))
    return _with_fields(joined, read_table(files, "traffic", name, window))


def shadow_rows(answers: pl.DataFrame, champion: Artifact, candidate: Artifact) -> PairedRows:
    """Return the answers of both models to the rows of :func:`shadow_answers`."""
    of_candidate = recorded_answers(candidate, answers, "candidate")
    refused = (answers["result"] == _REFUSED).to_numpy()
    compared = ModelAnswers(of_candidate.outputs, of_candidate.accepted, refused, {})
    return PairedRows(champion, candidate, answers, recorded_answers(champion, answers), compared)


def _with_fields(rows: pl.DataFrame, traffic: pl.DataFrame) -> pl.DataFrame:
    keys = ["request_id", "row", "time"]
    fields = [name for name in traffic.columns if name.startswith("input.")]
    if not fields:
        return rows
    return rows.join(traffic.select(*keys, *fields).unique(keys), on=keys, how="left", maintain_order="left")


def _within(table: pl.DataFrame, window: Window) -> pl.DataFrame:
    if window.since:
        table = table.filter(pl.col("time") >= window.since)
    if window.until:
        table = table.filter(pl.col("time") < window.until)
    return table
