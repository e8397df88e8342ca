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


def shadow_rows(files: TrafficFiles, champion: Artifact, candidate: Artifact, window: Window) -> PairedRows:
    """Return the rows that a candidate answered in the shadow of the champion, in the order of their time.

    Args:
        files: The traffic store.
        champion: The model that answered callers.
        candidate: The model that answered in its shadow.
        window: The part of the traffic.

    Raises:
        DataError: if the store has none.
    """
    name = champion.manifest.name
    table = read_table(files, "shadow", name, replace(window, version=champion.manifest.version))
    if not table.is_empty():
        table = table.filter(pl.col("candidate") == candidate.tag)
    if table.is_empty():
        raise DataError(
            f"the traffic store has no answers of {candidate.tag} in the shadow of {champion.tag}; set "
            f"`serving.shadow: {candidate.tag}` of the server of {champion.tag}"
        )
    table = _within(table, window).sort("time", maintain_order=True)
    joined, _ = join_labels(table, read_table(files, "labels", name))
    of_candidate = recorded_answers(candidate, joined, "candidate")
    refused = (joined["result"] == _REFUSED).to_numpy()
    answers = ModelAnswers(of_candidate.outputs, of_candidate.accepted, refused, {})
    return PairedRows(champion, candidate, joined, recorded_answers(champion, joined), answers)


def _within(table: pl.DataFrame, window: Window) -> pl.DataFrame:
    if window.since:
        table = table.filter(pl.col("time") >= window.since)
    if window.until:
        table = table.filter(pl.col("time") < window.until)
    return table
