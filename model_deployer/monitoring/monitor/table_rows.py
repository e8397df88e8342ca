"""The rows of the table that the artifact keeps, next to live rows in the same codes of bins."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.reference import CategoryDistribution
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.watched import Watched
from model_deployer.monitoring.statistics.combinations import CodedField, Codes
from model_deployer.monitoring.statistics.evidence import Ints

#: The rows of a day that are compared, if the table and the traffic have as many: the largest that most days have.
DAY_ROWS = (1_000, 500, 200, 100, 50)

#: The first days with traffic, and the share of them that have as many rows as are compared.
_FIRST_DAYS, _MOST_DAYS = 14, 0.8

_SEED = 0


@dataclass(frozen=True)
class TableRows:
    """Rows of the table and live rows, with the same fields and the same number of rows on each day.

    Attributes:
        fields: The fields.
        weeks: The rows of the table, uint8 [weeks, days, rows, fields].
        table_days: The days that the table covers.
        live: The rows of each live day that has enough, uint8 [days, rows, fields].
        days: The index of each of these days, int64 [days].
    """

    fields: tuple[CodedField, ...]
    weeks: Codes
    table_days: int
    live: Codes
    days: Ints

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(field.name for field in self.fields)


def table_rows(artifact: Artifact, watched: Sequence[Watched], rows: pl.DataFrame, days: Days) -> TableRows | str:
    """Return rows of the table with live rows, or why there are none.

    Args:
        artifact: The model.
        watched: The fields that are watched.
        rows: The captured rows of the days, with the column ``day``.
        days: The days.
    """
    kept, reference = artifact.reference_rows, artifact.reference
    if kept is None or reference is None or reference.spreads is None:
        return (
            "the model has no rows of its table (reference_rows.npz): it was made before they were kept, or its table "
            "has fewer than 28 days or groups"
        )
    by_name = {each.name: each for each in watched}
    fields = [by_name[name] for name in kept.fields if name in by_name]
    if len(fields) < 2:
        return "fewer than two fields are watched"
    thinned = _Thinned(rows, days)
    day_rows = thinned.usual_rows(kept.codes.shape[2])
    if day_rows is None:
        return f"most days have fewer than {DAY_ROWS[-1]} captured rows"
    positions = [kept.fields.index(each.name) for each in fields]
    chosen = thinned.chosen(day_rows)
    # Rows that are used on no day have no codes: bins of texts and vectors take time.
    used = rows[np.concatenate([*chosen.values(), np.empty(0, np.int64)])]
    codes = np.stack([each.codes(used) for each in fields], axis=-1).astype(np.uint8)
    return TableRows(
        fields=tuple(map(_coded, fields)),
        weeks=kept.codes[:, :, :day_rows, positions],
        table_days=reference.spreads.units,
        live=codes.reshape(-1, day_rows, len(fields)),
        days=np.array(list(chosen), np.int64),
    )


def _coded(watched: Watched) -> CodedField:
    is_ordered = not isinstance(watched.distribution, CategoryDistribution)
    return CodedField(watched.name, watched.bins.index("missing"), is_ordered)


class _Thinned:
    """Rows of equal weights: a row is kept with a probability in proportion to its weight.

    The draw of a day depends on nothing but the day, so that evidence of the past does not change.
    """

    def __init__(self, rows: pl.DataFrame, days: Days) -> None:
        numbers, weights = rows["day"].to_numpy(), rows["weight"].to_numpy()
        order = np.argsort(numbers, kind="stable")
        starts = np.searchsorted(numbers[order], np.arange(days.count + 1))
        self._kept: dict[int, Ints] = {}
        for day in range(days.count):
            of_day = order[starts[day] : starts[day + 1]]
            random = np.random.default_rng([_SEED, days.date(day).toordinal()])
            draws = random.random(len(of_day)) * weights[of_day].max(initial=0)
            self._kept[day] = random.permutation(of_day[draws <= weights[of_day]])

    def usual_rows(self, most: int) -> int | None:
        """Return the number of rows of a day that most of the first days have, at most ``most``; None if too few."""
        counts = np.array([len(kept) for kept in self._kept.values() if len(kept)][:_FIRST_DAYS])
        for rows in sorted({most, *DAY_ROWS}, reverse=True):
            if rows <= most and len(counts) and np.mean(counts >= rows) >= _MOST_DAYS:
                return rows
        return None

    def chosen(self, day_rows: int) -> dict[int, Ints]:
        """Return the rows of each day that has enough."""
        return {day: kept[:day_rows] for day, kept in self._kept.items() if len(kept) >= day_rows}
