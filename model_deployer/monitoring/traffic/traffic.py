"""The captured traffic of one model, with the labels that came in for its rows."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.contract.traffic import LOSS_COLUMNS, REFUSAL_COLUMNS, TRAFFIC_COLUMNS
from model_deployer.monitoring.traffic.traffic_files import EVERYTHING, TrafficFiles, Window, read_table

#: Clocks of servers may differ by this much. Lines that are farther in the future are left out.
_CLOCK_TOLERANCE = timedelta(hours=1)


@dataclass(frozen=True)
class LabelCounts:
    """What came in as labels.

    Attributes:
        received: All labels.
        matched: The rows that have one.
        corrected: The labels that a later, different one replaced.
        unmatched: The labels whose row was not captured, or is out of the time that was read.
    """

    received: int = 0
    matched: int = 0
    corrected: int = 0
    unmatched: int = 0


@dataclass(frozen=True)
class Traffic:
    """The captured traffic of one model.

    Attributes:
        name: The name of the model.
        rows: The answered rows in the order of their time: the columns of :mod:`model_deployer.contract.traffic`,
            ``version``, ``label`` (text; null as long as there is none) and ``label_time`` (when it came to be known).
        refusals: The refused requests.
        losses: The workers that were killed with rows in memory.
        labels: The number of labels.
        future_rows: The rows that were left out because their time is in the future: the clock of a server was wrong.
        now: The time of reading.
    """

    name: str
    rows: pl.DataFrame
    refusals: pl.DataFrame
    losses: pl.DataFrame
    labels: LabelCounts
    future_rows: int
    now: datetime

    @property
    def versions(self) -> list[str]:
        """The versions that answered, in the order in which they came."""
        return self.rows["version"].unique(maintain_order=True).to_list() if len(self.rows) else []


def read_traffic(files: TrafficFiles, name: str, window: Window = EVERYTHING, now: datetime | None = None) -> Traffic:
    """Read the captured traffic of one model, and join its labels.

    Args:
        files: The files of the traffic store.
        name: The name of the model.
        window: The part to read.
        now: The present; by default that of the clock.

    Raises:
        DataError: if the store cannot be read, or holds no traffic of this model.
    """
    now = now or datetime.now(UTC)
    rows = read_table(files, "traffic", name, window)
    refusals = read_table(files, "refusals", name, window)
    if rows.is_empty() and refusals.is_empty():
        raise DataError(f"the traffic store has no traffic of '{name}' in this time; check the name and `--since`")
    latest = now + _CLOCK_TOLERANCE
    future_rows = 0 if rows.is_empty() else rows.filter(pl.col("time") > latest).height
    past = replace(window, until=min(window.until or latest, latest))
    joined, counts = join_labels(_within(rows, past, TRAFFIC_COLUMNS), read_table(files, "labels", name))
    losses = read_table(files, "losses", name, window)
    return Traffic(
        name,
        joined,
        _within(refusals, window, REFUSAL_COLUMNS),
        _within(losses, window, LOSS_COLUMNS),
        counts,
        future_rows,
        now,
    )


def join_labels(rows: pl.DataFrame, labels: pl.DataFrame) -> tuple[pl.DataFrame, LabelCounts]:
    """Add the columns ``label`` and ``label_time`` to rows: those of the label that came in last.

    Args:
        rows: The rows, with ``request_id``, ``row`` and ``row_id``.
        labels: The labels, with the columns of the table; without columns if there are none.
    """
    if labels.is_empty():
        empty = (pl.lit(None, pl.String).alias("label"), pl.lit(None, rows.schema["time"]).alias("label_time"))
        return rows.with_columns(*empty), LabelCounts()
    dated = labels.with_columns(label_time=pl.coalesce("time", "received")).sort("received", maintain_order=True)
    of_requests = dated.filter(pl.col("request_id").is_not_null())
    of_ids = dated.filter(pl.col("row_id").is_not_null()).drop("request_id", "row")
    keys = ["request_id", "row"]
    by_id = of_ids.join(rows.select(*keys, "row_id"), on="row_id", how="inner")
    columns = [*keys, "label", "label_time", "received"]
    by_row = pl.concat([of_requests.select(columns), by_id.select(columns)]).sort("received", maintain_order=True)
    last = by_row.unique(keys, keep="last", maintain_order=True).drop("received")
    joined = rows.join(last, on=keys, how="left", maintain_order="left")
    corrected = by_row.select((pl.col("label") != pl.col("label").shift(1)).over(keys).sum()).item() or 0
    unmatched = (
        of_requests.unique(keys).join(rows, on=keys, how="anti").height
        + of_ids.unique("row_id").join(rows, on="row_id", how="anti").height
    )
    matched = len(joined) - joined["label"].null_count()
    return joined, LabelCounts(len(labels), matched, int(corrected), unmatched)


def _within(frame: pl.DataFrame, window: Window, columns: tuple[str, ...]) -> pl.DataFrame:
    if frame.is_empty():
        return pl.DataFrame(schema={name: _TYPES.get(name, pl.String) for name in (*columns, "version")})
    if window.since:
        frame = frame.filter(pl.col("time") >= window.since)
    if window.until:
        frame = frame.filter(pl.col("time") < window.until)
    return frame.sort("time", maintain_order=True)


#: The types of the columns that are not texts, for tables without lines.
_TYPES = {
    "row": pl.Int64(),
    "time": pl.Datetime("us", "UTC"),
    "status": pl.Int64(),
    "degraded": pl.Boolean(),
    "milliseconds": pl.Float64(),
    "weight": pl.Float64(),
    "rows": pl.Int64(),
}
