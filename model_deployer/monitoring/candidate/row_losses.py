"""The losses of both models on the rows whose labels came in.

Every loss has an upper bound, as the confidence sequence needs it; that of a quantity is clipped there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluation import MODEL
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.monitoring.candidate.paired_rows import Floats, PairedRows
from model_deployer.monitoring.statistics.losses import (
    clipped_squared_errors,
    decision_costs,
    decision_errors,
    half_brier_scores,
    pinball_losses,
)

#: Errors of a quantity count up to this many times the champion's usual error.
_MAX_ERRORS = 10

#: The metrics that say how large an error of a quantity usually is.
_USUAL_ERRORS = ("rmse", "mae", "pinball")


@dataclass(frozen=True)
class RowLosses:
    """A loss of both models.

    Attributes:
        name: The loss.
        meaning: The same as a phrase.
        champion, candidate: The loss of each labelled row, float64 [labelled rows].
        bound: The largest possible loss of a row.
    """

    name: str
    meaning: str
    champion: Floats
    candidate: Floats
    bound: float

    def of_rows(self, rows: NDArray[np.bool_]) -> "RowLosses":
        """Return the losses of some of the rows."""
        return replace(self, champion=self.champion[rows], candidate=self.candidate[rows])


@dataclass(frozen=True)
class WorstRise:
    """How much the mean loss of rows can rise, whatever their labels are.

    Attributes:
        rise: The candidate's loss minus the champion's, with the label that is worst for the candidate in each row.
        expected: The loss that the champion expects by its own probabilities.
    """

    rise: float
    expected: float


def labelled_rows(rows: PairedRows) -> NDArray[np.intp]:
    """Return the rows that both models answer and whose label can be used, intp [labelled rows]."""
    labels, output = rows.table["label"], rows.output
    if isinstance(output, Classification):
        is_usable = labels.is_in(list(output.labels)).fill_null(False)
    else:
        is_usable = labels.cast(pl.Float64, strict=False).is_finite().fill_null(False)
    return np.flatnonzero(is_usable.to_numpy() & rows.both)


def row_losses(rows: PairedRows, labelled: NDArray[np.intp]) -> Iterator[RowLosses]:
    """Yield the losses of labelled rows, the one that decides first.

    It is the Brier score of a classification (half the sum of the squared errors of all probabilities), the squared
    error of a quantity, and the pinball loss of a quantile. A classification has a second one: the cost of the
    decisions if model.yaml states costs, else the share of wrong decisions.

    Args:
        rows: The rows.
        labelled: Those of :func:`labelled_rows`.
    """
    output = rows.output
    labels = rows.table["label"].gather(labelled)
    if isinstance(output, Classification):
        yield _brier(rows, labelled, labels, output)
        yield _of_decisions(rows, labelled, labels, output)
    else:
        yield _of_values(rows, labelled, labels.cast(pl.Float64).to_numpy(), output)


def _brier(rows: PairedRows, labelled: NDArray[np.intp], labels: pl.Series, output: Classification) -> RowLosses:
    truth = labels.to_numpy()[:, None] == np.array(output.labels, dtype=object)[None, :]
    arrays = (rows.of_champion.outputs, rows.candidate_outputs)
    champion, candidate = (half_brier_scores(each["probabilities"][labelled], truth) for each in arrays)
    return RowLosses("brier", "squared error of the probabilities", champion, candidate, 1.0)


def _of_decisions(rows: PairedRows, labelled: NDArray[np.intp], labels: pl.Series, output: Classification) -> RowLosses:
    truth = labels.to_numpy()
    champion, candidate = (decisions[labelled] for decisions in rows.decisions)
    costs, label = stated_costs(rows.champion), output.positive
    if costs and label is not None:
        champion_costs, candidate_costs = (
            decision_costs(decisions == label, truth == label, *costs) for decisions in (champion, candidate)
        )
        return RowLosses("cost", "cost of the decisions", champion_costs, candidate_costs, max(costs))
    is_true = np.ones(len(truth), np.bool_)
    errors, candidate_errors = (decision_errors(decisions == truth, is_true) for decisions in (champion, candidate))
    return RowLosses("error_rate", "share of wrong decisions", errors, candidate_errors, 1.0)


def worst_rise(rows: PairedRows) -> WorstRise | None:
    """Return how much the loss can rise at most, whatever the labels of the rows are; None for different quantities."""
    output = rows.output
    weights = rows.weights[rows.both]
    if not weights.sum():
        return None
    if not isinstance(output, Classification):
        return WorstRise(0.0, 0.0) if not rows.differences[rows.both].any() else None
    ours, theirs = (
        each["probabilities"][rows.both].astype(np.float64)
        for each in (rows.of_champion.outputs, rows.candidate_outputs)
    )
    of_ours, of_theirs = _brier_by_label(ours), _brier_by_label(theirs)
    return WorstRise(
        rise=float(np.average((of_theirs - of_ours).max(axis=1), weights=weights)),
        expected=float(np.average((ours * of_ours).sum(axis=1), weights=weights)),
    )


def _brier_by_label(probabilities: Floats) -> Floats:
    """Return the Brier score of each row for each label that it may have, float64 [rows, labels]."""
    squares = (probabilities**2).sum(axis=1, keepdims=True)
    return np.asarray((squares - 2 * probabilities + 1) / 2)


def stated_costs(model: Artifact) -> tuple[float, float] | None:
    """Return the costs of a false positive and a false negative; None if model.yaml does not state different ones."""
    decisions = model.evaluation.decisions
    if decisions is None or decisions.false_positive is None or decisions.false_negative is None:
        return None
    costs = decisions.false_positive, decisions.false_negative
    return None if costs == (1.0, 1.0) else costs


def _of_values(rows: PairedRows, labelled: NDArray[np.intp], truth: Floats, output: Regression) -> RowLosses:
    arrays = (rows.of_champion.outputs, rows.candidate_outputs)
    values = [each["value"][labelled, 0].astype(np.float64) for each in arrays]
    largest = _MAX_ERRORS * _usual_error(rows.champion, truth)
    share = output.quantile
    if share is None:
        champion, candidate = (clipped_squared_errors(each, truth, largest**2) for each in values)
        return RowLosses("squared_error", "squared error of the value", champion, candidate, largest**2)
    champion, candidate = (np.minimum(pinball_losses(each, truth, share), largest) for each in values)
    return RowLosses("pinball", "pinball loss of the quantile", champion, candidate, largest)


def _usual_error(model: Artifact, truth: Floats) -> float:
    metrics = model.evaluation.metrics_of(MODEL)
    usual = next((metrics[name].value for name in _USUAL_ERRORS if name in metrics), 0.0)
    return usual or float(np.std(truth)) or 1.0
