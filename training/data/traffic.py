"""The rows of a table in the order in which a service would get them: hours and days of traffic, for a replay."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.drift import Unit
from model_deployer.training.data.columns import canonical
from model_deployer.training.data.split import Rows, time_values
from model_deployer.training.spec import Spec

#: The rows of a day, where the table does not say which rows belong to one.
DAY_ROWS = 1_000

#: The number of rows below which a day is not replayed, because chance would dominate it. If half of the days have
#: fewer rows, the days of the table are not used.
MIN_DAY_ROWS = 200

#: The number of days that are drawn from a table whose rows have neither a time nor a group.
DRAWN_DAYS = 100

#: The maximum number of rows that are replayed; of a larger table, whole days are left out at equal distances.
MAX_ROWS = 500_000

#: The hours of a day.
DAY_HOURS = 24

_HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Origins:
    """What the table says of when and from whom each row came.

    Attributes:
        times: The time of each row, float64 [rows], NaN if missing: seconds if ``is_calendar``, else any number; None
            if the table has no time column.
        is_calendar: Whether the times are dates and times.
        groups: The group of each row, int64 [rows]; None if the table has no group column.
    """

    times: NDArray[np.float64] | None
    is_calendar: bool
    groups: NDArray[np.int64] | None


@dataclass(frozen=True)
class Traffic:
    """Rows in the order of their arrival; the same row may arrive on several days.

    Attributes:
        rows: Indices of rows, int64 [arrivals].
        hours: The hour of each arrival, counted from any hour, int64 [arrivals], ascending. 24 of them are a day.
        unit: What a day is.
    """

    rows: Rows
    hours: NDArray[np.int64]
    unit: Unit

    @property
    def days(self) -> NDArray[np.int64]:
        """The day of each arrival, int64 [arrivals], ascending."""
        return self.hours // DAY_HOURS


def row_origins(frame: pl.DataFrame, spec: Spec) -> Origins:
    """Return what a table says of the origin of its rows."""
    time, group = spec.data.time, spec.data.group
    return Origins(
        times=None if time is None else time_values(frame[time]).cast(pl.Float64).fill_null(np.nan).to_numpy(),
        is_calendar=time is not None and not frame[time].dtype.is_numeric(),
        groups=None if group is None else _codes(frame[group]),
    )


def traffic(origins: Origins, part: Rows, seed: int) -> Traffic:
    """Return the rows of a part as traffic.

    Args:
        origins: The origins of all rows of the table.
        part: Indices of the rows of the part, int64 [rows].
        seed: The seed of what is drawn at random.
    """
    random = np.random.default_rng(seed)
    if origins.times is not None:
        timed = part[np.isfinite(origins.times[part])]
        timed = timed[np.argsort(origins.times[timed], kind="stable")]
        hours = (origins.times[timed] // _HOUR_SECONDS).astype(np.int64)
        if origins.is_calendar and _median_day_rows(hours) >= MIN_DAY_ROWS:
            return _thinned(Traffic(timed, hours, "day"))
        if len(timed) >= 2 * DAY_ROWS:
            return _counted(timed, "rows")
    elif origins.groups is not None:
        return _counted(_groups_in_random_order(part, origins.groups[part], random), "group")
    return _counted(random.choice(part, DRAWN_DAYS * DAY_ROWS), "random")


def _codes(groups: pl.Series) -> NDArray[np.int64]:
    return np.asarray(canonical(groups, "categorical").rank("dense").fill_null(0).to_numpy(), np.int64)


def _median_day_rows(hours: NDArray[np.int64]) -> float:
    return float(np.median(np.unique(hours // DAY_HOURS, return_counts=True)[1])) if len(hours) else 0.0


def _counted(rows: Rows, unit: Unit) -> Traffic:
    """Return traffic with the same number of rows on every day."""
    return _thinned(Traffic(rows, np.arange(len(rows)) * DAY_HOURS // DAY_ROWS, unit))


def _groups_in_random_order(part: Rows, groups: NDArray[np.int64], random: np.random.Generator) -> Rows:
    """Return the rows, those of a group next to each other; a small part arrives several times."""
    _, codes = np.unique(groups, return_inverse=True)
    rounds = -(-DRAWN_DAYS * DAY_ROWS // max(1, len(part)))
    orders = [np.argsort(random.permutation(codes.max() + 1)[codes], kind="stable") for _ in range(rounds)]
    return part[np.concatenate(orders)]


def _thinned(arrivals: Traffic) -> Traffic:
    """Return whole days at equal distances, as many as the maximum number of rows allows."""
    step = -(-len(arrivals.rows) // MAX_ROWS)
    if step <= 1:
        return arrivals
    step += step % 7 == 0  # otherwise all days would be the same day of the week
    is_kept = arrivals.days % step == 0
    return Traffic(arrivals.rows[is_kept], arrivals.hours[is_kept], arrivals.unit)
