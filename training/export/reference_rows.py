"""The rows of a table that an artifact keeps as codes of bins, see :mod:`contract.reference_rows`."""

from collections.abc import Sequence

import numpy as np

from model_deployer.contract.features import Feature
from model_deployer.contract.reference import Reference
from model_deployer.contract.reference_rows import MAX_BYTES, WEEK_DAYS, ReferenceRows
from model_deployer.training.export.table_units import TableUnits

#: The weeks that are kept: fewer do not show how far weeks differ, and more say little that these do not.
MIN_WEEKS, MAX_WEEKS = 4, 14

#: The fields at most: as many as leave room for 200 rows of each day.
MAX_FIELDS = 50

#: The rows of a day at most.
MAX_DAY_ROWS = 1_000

#: The share of the days that may have fewer rows than the others; they are left out.
_SMALL_DAYS = 0.1


def reference_rows(
    features: Sequence[Feature], reference: Reference, units: TableUnits, seed: int
) -> ReferenceRows | None:
    """Return rows of the table; None if it has too few days, or fewer than two fields that traffic has bins of.

    Args:
        features: The features of the model, the most important first: of many, the first ones are kept.
        reference: The distributions.
        units: The days of the table, or the units in their place.
        seed: The seed of the draw of the rows of a day.
    """
    with_bins = [feature.name for feature in features if _has_bins(feature) and feature.name in reference.features]
    names = with_bins[:MAX_FIELDS]
    day_rows = int(min(np.quantile(units.rows, _SMALL_DAYS), MAX_DAY_ROWS))
    days = np.flatnonzero(units.rows >= day_rows)
    weeks = len(days) // WEEK_DAYS
    if len(names) < 2 or weeks < MIN_WEEKS:
        return None
    chosen = np.unique(np.linspace(0, weeks - 1, min(weeks, MAX_WEEKS)).round().astype(np.int64))
    days = days[len(days) - weeks * WEEK_DAYS :].reshape(weeks, WEEK_DAYS)[chosen]
    day_rows = min(day_rows, MAX_BYTES // (days.size * len(names)))
    random = np.random.default_rng(seed)
    order = np.argsort(units.numbers, kind="stable")
    starts = np.searchsorted(units.numbers[order], days.ravel())
    drawn = [
        order[start + np.sort(random.choice(units.rows[day], day_rows, replace=False))]
        for start, day in zip(starts, days.ravel(), strict=True)
    ]
    arrivals = np.concatenate(drawn)
    codes = np.stack([units.codes(name, reference.features[name])[arrivals] for name in names], axis=-1)
    return ReferenceRows(tuple(names), codes.astype(np.uint8).reshape(*days.shape, day_rows, len(names)))


def _has_bins(feature: Feature) -> bool:
    """Return whether captured traffic shows the bin of a field, and its change means something."""
    return feature.capture_policy in ("keep", "bin") and feature.kind not in ("datetime", "image")
