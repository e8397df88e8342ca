"""Whether values occur together as in the table: a conformal martingale over the most unusual correlation of a day."""

from collections.abc import Mapping
from datetime import date

import numpy as np

from model_deployer.contract.reference_rows import WEEK_DAYS
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.movements import bin_texts, log10_e
from model_deployer.monitoring.monitor.table_rows import TableRows
from model_deployer.monitoring.monitor.watched import Watched
from model_deployer.monitoring.observation import Alarm, CombinationShift, LiveCombinations
from model_deployer.monitoring.statistics.combinations import MIDDLE, Combination, UsualCombinations
from model_deployer.monitoring.statistics.exchangeability import exchangeability

#: The pairs of fields that are named at most.
_MAX_SHIFTS = 5

#: The last days that show whether a change is over.
_LAST_DAYS = 3

_SEED = 0


def live_combinations(
    rows: TableRows, watched: Mapping[str, Watched], days: Days, alpha: float
) -> tuple[LiveCombinations, Alarm | None]:
    """Return how combinations of values are, and their alarm if there is one.

    Args:
        rows: The rows of the table and of live days.
        watched: The fields by name.
        days: The days.
        alpha: The largest probability of a false alarm.
    """
    usual = UsualCombinations(rows.fields, rows.weeks, rows.table_days)
    scores = usual.live_scores(rows.live)
    tested = exchangeability(usual.scores, scores, alpha, _SEED, only_high=True)
    alarm = tested.alarms[0] if tested.alarms else None
    logs = tested.evidence.log_values
    live = LiveCombinations(
        reason=None,
        fields=rows.names,
        days=len(rows.days),
        rows_a_day=rows.live.shape[1],
        table_days=len(usual.scores),
        log10_e=log10_e(float(logs[alarm.period if alarm else -1])) if len(logs) else 0.0,
        scores=tuple(
            (days.date(day), round(score, 4)) for day, score in zip(rows.days.tolist(), scores.tolist(), strict=False)
        ),
        usual_score=round(float(np.quantile(usual.scores, 0.95)), 4),
    )
    if alarm is None:
        return live, None
    since = alarm.since
    moved = usual.unusual(rows.live[since : alarm.period + 1], _MAX_SHIFTS)
    if moved:
        # A day of a week differs from six others that changed, even if it did not.
        since += usual.first_unusual(rows.live[since : alarm.period + 1], moved[0])
        moved = usual.unusual(rows.live[since : alarm.period + 1], _MAX_SHIFTS)
    moved_live = live.model_copy(
        update={
            "has_moved": True,
            "is_over": bool(moved) and all(usual.is_usual(rows.live[-_LAST_DAYS:], each) for each in moved),
            "since": days.date(int(rows.days[since])),
            "shifts": tuple(_shift(each, watched) for each in moved),
        }
    )
    # The scores of a week are known at its end.
    last = (alarm.period // WEEK_DAYS + 1) * WEEK_DAYS - 1
    return moved_live, _alarm(moved_live, days.date(int(rows.days[last])))


def _alarm(live: LiveCombinations, raised: date) -> Alarm:
    assert live.since is not None
    text = f"{live.shifts[0].text}." if live.shifts else "Many combinations of values are a little less usual."
    return Alarm(
        group="combinations",
        name=live.shifts[0].about if live.shifts else "many combinations of values",
        raised=raised,
        since=live.since,
        is_over=live.is_over,
        text=text,
    )


def _shift(combination: Combination, watched: Mapping[str, Watched]) -> CombinationShift:
    first, second = (
        _about(watched[name], value) for name, value in zip(combination.fields, combination.values, strict=True)
    )
    low, high = combination.expected
    return CombinationShift(
        fields=combination.fields,
        about=f"{first} and {second}",
        correlation=round(combination.correlation, 4),
        expected=(round(low, 4), round(high, 4)),
    )


def _about(watched: Watched, value: int | None) -> str:
    """Return what is correlated, for people; ``value`` as in :class:`Combination`."""
    if value is None:
        return watched.about
    if value == MIDDLE:
        return f"{watched.about} (distance from its middle)"
    return f"{watched.about} = {bin_texts(watched)[value]}"
