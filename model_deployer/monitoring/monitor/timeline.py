"""The days of a model: the rows that each version answered, the requests that were refused, and the mean loss."""

from datetime import timedelta

import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.outputs import Classification
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.monitor.row_losses import RowLoss
from model_deployer.monitoring.observation import DayRecord
from model_deployer.monitoring.traffic.traffic import Traffic


def timeline(artifact: Artifact, traffic: Traffic, labelled: pl.DataFrame, loss: RowLoss) -> tuple[DayRecord, ...]:
    """Return the days from the first one with traffic of any version to the last one.

    Args:
        artifact: The model.
        traffic: The traffic of all its versions.
        labelled: The labelled rows of this version whose days count.
        loss: How rows are counted.
    """
    rows = _dated(traffic.rows)
    if rows.is_empty():
        return ()
    by_version = rows.group_by("date", "version").agg(pl.col("weight").sum())
    refused = dict(_dated(traffic.refusals).group_by("date").len().iter_rows())
    own, main = rows.filter(pl.col("version") == artifact.manifest.version), main_output(artifact)
    predictions = _means(own, main) if main in own.columns else {}
    losses = labelled.with_columns(loss=pl.Series(loss.of_rows(labelled) if len(labelled) else [], dtype=pl.Float64))
    risks = {} if labelled.is_empty() else _means(_dated(losses), "loss")
    counts = dict(_dated(labelled).group_by("date").len().iter_rows())
    answered: dict[object, dict[str, float]] = {}
    for day, version, weight in by_version.sort("version").iter_rows():
        answered.setdefault(day, {})[version] = round(weight, 1)
    first, last = rows["date"].min(), rows["date"].max()
    days = [first + timedelta(days=index) for index in range((last - first).days + 1)]  # type: ignore[operator, union-attr]
    return tuple(
        DayRecord(
            day=day,
            rows=answered.get(day, {}),
            refused=refused.get(day, 0),
            labelled=counts.get(day, 0),
            risk=risks.get(day),
            prediction=predictions.get(day),
        )
        for day in days
    )


def main_output(artifact: Artifact) -> str:
    """Return the column of the main prediction; several numbers have none."""
    output = artifact.contract.output
    return output_column(f"probabilities.{output.labels[1]}" if isinstance(output, Classification) else "value")


def _dated(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(date=pl.col("time").dt.convert_time_zone("UTC").dt.date())


def _means(rows: pl.DataFrame, column: str) -> dict[object, float]:
    """Return the weighted mean of a column on each day."""
    mean = (pl.col(column) * pl.col("weight")).sum() / pl.col("weight").sum()
    return {day: round(value, 6) for day, value in rows.group_by("date").agg(mean).iter_rows()}
