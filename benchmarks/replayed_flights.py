"""Replay the flights of the example: the days before a date are the table, and those from it on are live traffic."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from examples.flight_delay.prepare import TABLE
from model_deployer.contract.features import Categorical, Feature, Numeric
from model_deployer.contract.unit_spread import spread_of_units
from model_deployer.monitoring.statistics.evidence import Evidence
from model_deployer.monitoring.statistics.field_drift import field_drift
from model_deployer.monitoring.statistics.many_fields import budget, many_fields
from model_deployer.training.export.reference import reference

TIME = "scheduled_departure"

#: The first days of live traffic.
STARTS = (date(2013, 7, 1), date(2013, 11, 1))


@dataclass(frozen=True)
class Replay:
    """A replay.

    Attributes:
        start: The first live day.
        table_days, live_days: The number of days before it, and from it on.
        fields: The number of fields.
        alarm: The day of the first alarm of the fields; None if there is none.
        since: The day with which the change began, as the alarm says.
        moved: The fields that e-BH names on the day of the alarm.
        moved_at_end: Those that it names on the last day.
    """

    start: str
    table_days: int
    live_days: int
    fields: int
    alarm: str | None
    since: str | None
    moved: tuple[str, ...]
    moved_at_end: tuple[str, ...]


def replays() -> Iterator[Replay]:
    """Yield the replays; none without the table of the example."""
    if TABLE.exists():
        frame = pl.read_parquet(TABLE).sort(TIME)
        yield from (_replay(frame, start) for start in STARTS)


def _replay(frame: pl.DataFrame, start: date) -> Replay:
    first: date = frame[TIME].dt.date().min()  # type: ignore[assignment]
    days = (frame[TIME].dt.date() - first).dt.total_days().to_numpy()
    table_days = (start - first).days
    evidence = _evidence(frame, days, table_days)
    alpha = budget()["fields"]
    at_end = many_fields(evidence, alpha)
    alarm = at_end.alarm
    return Replay(
        start=start.isoformat(),
        table_days=table_days,
        live_days=int(days.max()) + 1 - table_days,
        fields=len(evidence),
        alarm=(start + timedelta(alarm.period)).isoformat() if alarm else None,
        since=(start + timedelta(alarm.since)).isoformat() if alarm else None,
        moved=at_end.moved_at_alarm,
        moved_at_end=at_end.moved,
    )


def _evidence(frame: pl.DataFrame, days: np.ndarray, table_days: int) -> dict[str, Evidence]:
    """Return the evidence of each field, counted in the bins of its reference distribution."""
    features = [_feature(name, dtype) for name, dtype in frame.schema.items() if name not in (TIME, "arrival")]
    columns = [
        pl.col(each.name).cast(pl.String).fill_null("")
        if each.dtype == "string"
        else pl.col(each.name).cast(pl.Float64).fill_null(np.nan)
        for each in features
    ]
    conformed = frame.select(columns)
    distributions = reference(features, conformed.filter(pl.Series(days < table_days)), {}).features
    evidence = {}
    for name, distribution in distributions.items():
        bins = len(distribution.shares())
        codes = distribution.codes(conformed[name].to_numpy())
        counts = np.bincount(days * bins + codes, minlength=(days.max() + 1) * bins).reshape(-1, bins)
        evidence[name] = field_drift(spread_of_units(counts[:table_days]), counts[table_days:]).evidence
    return evidence


def _feature(name: str, dtype: pl.DataType) -> Feature:
    if dtype.is_numeric():
        return Numeric(name=name, example=1.0)
    return Categorical(name=name, example="a", categories=("a",))
