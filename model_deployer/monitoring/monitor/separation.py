"""Which way the last week moved, over all fields together: a classifier between its rows and rows of the table."""

import numpy as np

from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.movements import RECENT_DAYS
from model_deployer.monitoring.monitor.table_rows import TableRows
from model_deployer.monitoring.observation import Interval, SeparatingField, Separation
from model_deployer.monitoring.statistics.combinations import Codes
from model_deployer.monitoring.statistics.domain_classifier import FOLDS, DomainClassifier, Sample, domain_classifier

#: The rows of a day that are compared at most: a classifier needs fewer than a correlation does.
_MAX_DAY_ROWS = 100

#: The fields that are named at most.
_MAX_FIELDS = 5


def separation(rows: TableRows, days: Days) -> Separation:
    """Return how well a classifier separates the rows of the last week from rows of the table.

    Args:
        rows: The rows of the table and of live days.
        days: The days.
    """
    live = rows.live[rows.days >= days.count - RECENT_DAYS]
    if len(live) < FOLDS:
        return Separation(reason=f"the last week has {len(live)} days with enough rows; it takes {FOLDS}")
    try:
        measured = _separated(rows, rows.weeks, live)
    except ImportError:
        return Separation(reason="scikit-learn is not installed here; it is in `model-deployer[monitor]`")
    usual = _separated(rows, rows.weeks[:-1], rows.weeks[-1])
    area = measured.auc
    return Separation(
        reason=None,
        auc=Interval(value=round(area.value, 4), low=round(area.low, 4), high=round(area.high, 4)),
        usual=round(usual.auc.value, 4),
        fields=tuple(
            SeparatingField(name=each.name, drop=round(each.drop, 4)) for each in measured.fields[:_MAX_FIELDS]
        ),
    )


def _separated(rows: TableRows, weeks: Codes, live: Codes) -> DomainClassifier:
    """Return how well a classifier separates days from weeks, [days, rows, fields] and [weeks, days, rows, fields]."""
    table = weeks.reshape(-1, *weeks.shape[2:])
    return domain_classifier(_sample(rows, table), _sample(rows, live), rows.names)


def _sample(rows: TableRows, days: Codes) -> Sample:
    """Return the rows of days, [days, rows, fields], as numbers."""
    thinned = days[:, :_MAX_DAY_ROWS]
    values = thinned.reshape(-1, thinned.shape[-1]).astype(np.float64)
    missing = np.array([field.missing for field in rows.fields])
    return Sample(np.where(values == missing, np.nan, values), np.repeat(np.arange(len(days)), thinned.shape[1]))
