"""The shares of labels that the predictions of the last week suggest, before labels arrive."""

import numpy as np
import polars as pl

from model_deployer.contract.outputs import Classification, Output
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.even_rows import even_rows
from model_deployer.monitoring.monitor.live_risk import MIN_DAYS, MIN_ROWS
from model_deployer.monitoring.monitor.movements import RECENT_DAYS
from model_deployer.monitoring.observation import Interval, LabelShare
from model_deployer.monitoring.statistics.evidence import Ints
from model_deployer.monitoring.statistics.label_shift import EvaluatedPredictions, label_shift

#: The bins of the probability of the second of two labels.
_BINS = 10


def label_shares(output: Output, rows: pl.DataFrame, labelled: pl.DataFrame, days: Days) -> tuple[LabelShare, ...]:
    """Return the shares of the labels in the last week, compared with those of the labelled rows before it.

    Rows of one label are assumed to look as before. If live predictions contradict that, or there are too few rows, the
    result is empty.

    Args:
        output: The output of the model.
        rows: The captured rows of the days, with the column ``day``.
        labelled: Those with a label whose days count.
        days: The days.
    """
    if not isinstance(output, Classification):
        return ()
    first = days.count - RECENT_DAYS
    evaluated, live = even_rows(labelled.filter(pl.col("day") < first)), even_rows(rows.filter(pl.col("day") >= first))
    if not all(_has_enough(part) for part in (evaluated, live)):
        return ()
    codes = {label: index for index, label in enumerate(output.labels)}
    labels = np.array([codes[label] for label in evaluated["label"].to_list()], np.int64)
    if len(np.unique(labels)) < len(output.labels):
        return ()
    shift = label_shift(
        EvaluatedPredictions(_cells(evaluated, output), labels, evaluated["day"].to_numpy()),
        _cells(live, output),
        live["day"].to_numpy(),
    )
    if not shift.is_consistent:
        return ()
    columns = [each.tolist() for each in (shift.before, shift.shares, shift.low, shift.high)]
    figures = zip(output.labels, *columns, strict=True)
    return tuple(
        LabelShare(label=label, before=before, now=Interval(value=share, low=low, high=high))
        for label, before, share, low, high in figures
    )


def _has_enough(rows: pl.DataFrame) -> bool:
    return len(rows) >= MIN_ROWS and rows["day"].n_unique() >= MIN_DAYS


def _cells(rows: pl.DataFrame, output: Classification) -> Ints:
    """Return the cell of each prediction, [rows]: a tenth of the probability of two labels, else the decision."""
    if len(output.labels) == 2:
        probabilities = rows[output_column(f"probabilities.{output.labels[1]}")].fill_nan(0).fill_null(0).to_numpy()
        return np.asarray(np.minimum(_BINS * probabilities, _BINS - 1), np.int64)
    codes = {label: index for index, label in enumerate(output.labels)}
    return np.array([codes[label] for label in rows[output_column("decision")].to_list()], np.int64)
