"""The days of traffic that evidence is computed from: complete ones, of one budget of false alarms."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from model_deployer.monitoring.statistics.evidence import YEAR_DAYS, Ints

#: The first and the last day of a version count only if it answered rows this close to the ends of the day: a part of
#: a day differs from whole days by the hour alone.
_EDGE = timedelta(hours=3)


@dataclass(frozen=True)
class Days:
    """Complete days, in UTC, without a gap.

    Attributes:
        first: The first one.
        count: Their number; may be 0.
    """

    first: date
    count: int

    def date(self, index: int) -> date:
        """Return the day with an index, from 0."""
        return self.first + timedelta(days=index)

    def index(self, times: pl.Series) -> Ints:
        """Return the index of the day of each time, int64 [rows]; outside of the days it is below 0 or too large."""
        days = times.dt.convert_time_zone("UTC").dt.date().cast(pl.Int32).to_numpy().astype(np.int64)
        return days - (self.first - date(1970, 1, 1)).days

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of these days, with their index as the column ``day``."""
        indexed = rows.with_columns(day=pl.Series(self.index(rows["time"]), dtype=pl.Int64))
        return indexed.filter(pl.col("day").is_between(0, self.count - 1))


def complete_days(times: pl.Series, now: datetime) -> Days:
    """Return the complete days of the current budget of false alarms.

    A budget is for a year. It begins with the first complete day of the traffic, and again each year.

    Args:
        times: The times of the rows of one version, ascending, with their time zone; at least one.
        now: The present.
    """
    first_time, last_time = times[0].astimezone(UTC), times[-1].astimezone(UTC)
    first, last = first_time.date(), last_time.date()
    if first_time - _midnight(first) > _EDGE:
        first += timedelta(days=1)
    next_day = _midnight(last + timedelta(days=1))
    if next_day > now or next_day - last_time > _EDGE:
        last -= timedelta(days=1)
    years = max(0, (last - first).days) // YEAR_DAYS
    start = first + timedelta(days=years * YEAR_DAYS)
    return Days(start, max(0, (last - start).days + 1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
