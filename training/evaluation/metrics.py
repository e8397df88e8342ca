"""Metrics as functions of the weights of the rows.

A bootstrap resample is a vector of weights: the number of times that each row was drawn. Everything that does not
depend on the weights, above all the order of the scores, is computed once for all resamples. A metric that is not
defined for the rows, such as the area under the curve if all rows have the same class, is NaN.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.outputs import Arrays, Regression
from model_deployer.training.evaluation.losses import EPSILON, Floats, row_losses, to_metric

#: Return the metric from the weight of each row, float64 [rows].
Metric = Callable[[Floats], float]

#: The number of equally wide bins of the probability in the calibration error.
CALIBRATION_BINS = 15


def classification_metrics(
    target: NDArray[Any], probabilities: NDArray[Any], threshold: float | None
) -> dict[str, Metric]:
    """Return the metrics of a classifier, by name.

    Args:
        target: Class codes, int64 [rows].
        probabilities: The probability of every class, float [rows, classes].
        threshold: With two classes, the decision is the second class if its probability is at least this. None with
            more classes: the decision is the most likely class.
    """
    probabilities = probabilities.astype(np.float64)
    truth = np.eye(probabilities.shape[1])[target]
    decision = probabilities.argmax(1) if threshold is None else (probabilities[:, 1] >= threshold).astype(np.intp)
    positives = [1] if threshold is not None else list(range(probabilities.shape[1]))
    columns = [(truth[:, column], probabilities[:, column]) for column in positives]
    true_probability = probabilities[np.arange(len(target)), target]
    return {
        "log_loss": to_mean(-np.log(np.clip(true_probability, EPSILON, 1))),
        "roc_auc": _mean_of([roc_auc(*column) for column in columns]),
        "average_precision": _mean_of([average_precision(*column) for column in columns]),
        "brier": to_mean(((probabilities - truth) ** 2).sum(1) / (2 if threshold is not None else 1)),
        "calibration_error": CalibrationError(*nominal_vs_observed(target, probabilities)),
        "accuracy": to_mean((decision == target).astype(np.float64)),
        **_decision_metrics(target, decision, positives),
    }


def set_metrics(target: NDArray[Any], sets: NDArray[np.bool_]) -> dict[str, Metric]:
    """Return the coverage and the mean size of prediction sets, by name.

    Args:
        target: Class codes, int64 [rows].
        sets: Whether each label is in the set of each row, bool [rows, classes].
    """
    covered = sets[np.arange(len(target)), target]
    return {
        "coverage": to_mean(covered.astype(np.float64)),
        "set_size": to_mean(sets.sum(axis=1).astype(np.float64)),
    }


def regression_metrics(target: Floats, arrays: Arrays, output: Regression) -> dict[str, Metric]:
    """Return the metrics of a quantity, by name, the loss first.

    Args:
        target: The true values, float64 [rows].
        arrays: ``value``, float [rows, 1] in the unit of the target. With ``lower`` and ``upper``, of the same shape
            and unit, the result includes the metrics of the interval.
        output: The meaning of the arrays.
    """
    loss = to_mean(row_losses(target, arrays, output))
    value = arrays["value"][:, 0].astype(np.float64)
    metrics: dict[str, Metric] = {LOSS[output.task]: lambda weights: to_metric(loss(weights), output)}
    if output.quantile is None:
        metrics |= error_metrics(target, value)
    else:
        metrics["share_below"] = to_mean((value >= target).astype(np.float64))
    if "lower" in arrays:
        lower, upper = (arrays[name][:, 0].astype(np.float64) for name in ("lower", "upper"))
        metrics["coverage"] = to_mean(((lower <= target) & (target <= upper)).astype(np.float64))
        metrics["interval_width"] = to_mean(upper - lower)
    return metrics


def error_metrics(target: Floats, value: NDArray[Any]) -> dict[str, Metric]:
    """Return the metrics of the errors of a quantity, by name.

    Args:
        target: The true values, float64 [rows].
        value: The predicted values in the same unit, float [rows].
    """
    error = value.astype(np.float64) - target
    return {
        "rmse": lambda weights: float(np.sqrt(np.average(error**2, weights=weights))),
        "mae": to_mean(np.abs(error)),
        "median_absolute_error": _median(np.abs(error)),
        "r2": _explained_variance(target, error),
    }


def roc_auc(truth: Floats, scores: Floats) -> Metric:
    """Return the area under the ROC curve: how often a positive row outranks a negative one; a tie counts half.

    Args:
        truth: 1 for a positive row, 0 for a negative one, float64 [rows].
        scores: The score of each row, float64 [rows].
    """
    ranks = np.unique(scores, return_inverse=True)[1]

    def metric(weights: Floats) -> float:
        positive = np.bincount(ranks, weights * truth)
        negative = np.bincount(ranks, weights * (1 - truth))
        outranked = np.cumsum(negative) - negative / 2
        return _ratio(positive @ outranked, positive.sum() * negative.sum())

    return metric


def average_precision(truth: Floats, scores: Floats) -> Metric:
    """Return the mean of precision over recall, taken at every score, without interpolation.

    Args:
        truth: 1 for a positive row, 0 for a negative one, float64 [rows].
        scores: The score of each row, float64 [rows].
    """
    ranks = np.unique(-scores, return_inverse=True)[1]

    def metric(weights: Floats) -> float:
        positive = np.bincount(ranks, weights * truth)
        true_positives, selected = np.cumsum(positive), np.cumsum(np.bincount(ranks, weights))
        precision = np.divide(true_positives, selected, out=np.zeros_like(true_positives), where=selected > 0)
        return _ratio(positive @ precision, positive.sum())

    return metric


def nominal_vs_observed(target: NDArray[Any], probabilities: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the predicted probability of one class per row, and whether this class is the true one.

    The class is the second of two, or the most likely one of more.

    Args:
        target: Class codes, int64 [rows].
        probabilities: The probability of every class, float64 [rows, classes].

    Returns:
        The probability, float64 [rows], and whether the class is true, bool [rows].
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], target == 1
    return probabilities.max(1), target == probabilities.argmax(1)


@dataclass(frozen=True)
class CorrectedErrors:
    """Calibration errors without the part that chance explains, each float64 [resamples].

    Attributes:
        values: Estimates of the error.
        lows, highs: Estimates that are not larger and not smaller than those in ``values``.
    """

    values: Floats
    lows: Floats
    highs: Floats


class CalibrationError:
    """The expected calibration error, a metric: the mean gap between a probability and the observed frequency.

    The gaps are measured in equally wide bins of the probability (Naeini et al., 2015, "Obtaining well calibrated
    probabilities using Bayesian binning").

    Args:
        nominal: The predicted probability of an event, float64 [rows].
        observed: Whether the event occurred, bool [rows].
    """

    def __init__(self, nominal: Floats, observed: NDArray[np.bool_]) -> None:
        self._bins, self._gaps = _bins(nominal), nominal - observed

    def __call__(self, weights: Floats) -> float:
        """Return the error; chance alone makes it larger than 0, even for a perfect model."""
        return float(np.abs(self._bin_gaps(weights)).sum())

    def without_chance(self, weights: Floats, resamples: Sequence[Floats]) -> "CorrectedErrors":
        """Return errors without the part that chance explains, at least 0.

        The part of chance is that of a model with known gaps, for the noise of the resamples (the basic bootstrap,
        Davison and Hinkley, 1997, "Bootstrap methods and their application", section 5.2). The larger its gaps, the
        less the noise adds to them: most without gaps, and least with the observed ones, which already contain noise.
        These two bound the error. In between are gaps that are reduced by the share of their squares that is noise
        (Efron and Morris, 1973, "Stein's estimation rule and its competitors").

        Args:
            weights: The weight of each row, float64 [rows].
            resamples: The weights of each resample, float64 [rows].
        """
        gaps = self._bin_gaps(weights)
        noise = np.array([self._bin_gaps(resample) for resample in resamples]) - gaps
        spread = noise.std(axis=0)
        squares = (gaps[spread > 0] / spread[spread > 0]) ** 2
        signal = max(0.0, 1 - len(squares) / squares.sum()) if squares.any() else 0.0

        def corrected(share: float) -> Floats:
            known = share * gaps
            chance = np.abs(known + noise).sum(axis=1) - np.abs(known).sum()
            errors: Floats = np.maximum(0.0, np.abs(gaps).sum() - chance)
            return errors

        return CorrectedErrors(values=corrected(signal), lows=corrected(0), highs=corrected(1))

    def _bin_gaps(self, weights: Floats) -> Floats:
        """Return the mean gap of the rows of each bin, times the share of these rows."""
        if not weights.any():
            return np.full(CALIBRATION_BINS, math.nan)
        gaps: Floats = np.bincount(self._bins, weights * self._gaps, CALIBRATION_BINS) / weights.sum()
        return gaps


def calibration_chance(nominal: Floats, z: float) -> Metric:
    """Return an upper bound for the calibration error of a perfectly calibrated model.

    With few rows the error is never 0. The gap of a bin is approximately normal, so the sum of the absolute gaps is
    below its mean plus ``z`` standard deviations. The standard deviation of the signed gaps is used, which is slightly
    too large.

    Args:
        nominal: The predicted probability of an event, float64 [rows].
        z: The number of standard deviations.
    """
    bins, variances = _bins(nominal), nominal * (1 - nominal)

    def metric(weights: Floats) -> float:
        bin_variances = np.bincount(bins, weights**2 * variances)
        mean = math.sqrt(2 / math.pi) * np.sqrt(bin_variances).sum()
        return _ratio(mean + z * math.sqrt(bin_variances.sum()), weights.sum())

    return metric


def _bins(nominal: Floats) -> NDArray[np.intp]:
    return np.minimum((nominal * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)


def _decision_metrics(target: NDArray[Any], decision: NDArray[Any], classes: list[int]) -> dict[str, Metric]:
    """Return precision, recall and F1 of the decisions, averaged over the classes of interest."""
    pairs = [((decision == label).astype(np.float64), (target == label).astype(np.float64)) for label in classes]
    counts = [(decided * true, decided, true) for decided, true in pairs]
    return {
        "precision": _mean_of([_precision(*count) for count in counts]),
        "recall": _mean_of([_share(hit, true) for hit, _, true in counts]),
        "f1": _mean_of([_share(2 * hit, decided + true) for hit, decided, true in counts]),
    }


def _precision(hit: Floats, decided: Floats, true: Floats) -> Metric:
    """Return the precision of a class: 0 if rows have the class and no decision is for it, NaN if no row has it."""
    precision, recall = _share(hit, decided), _share(hit, true)
    return lambda weights: precision(weights) if weights @ decided else 0 * recall(weights)


def _share(part: Floats, whole: Floats) -> Metric:
    return lambda weights: _ratio(weights @ part, weights @ whole)


def to_mean(values: Floats) -> Metric:
    """Return the weighted mean of the values of rows, float64 [rows], as a metric."""
    return lambda weights: _ratio(weights @ values, weights.sum())


def _median(values: Floats) -> Metric:
    order = np.argsort(values)

    def metric(weights: Floats) -> float:
        cumulative = np.cumsum(weights[order])
        return float(values[order[np.searchsorted(cumulative, cumulative[-1] / 2)]])

    return metric


def _explained_variance(target: Floats, error: Floats) -> Metric:
    def metric(weights: Floats) -> float:
        squared_deviation = (target - np.average(target, weights=weights)) ** 2
        return 1 - _ratio(weights @ error**2, weights @ squared_deviation)

    return metric


def _mean_of(metrics: list[Metric]) -> Metric:
    """Return the mean of the metrics that are defined for the rows."""

    def mean(weights: Floats) -> float:
        values = [value for metric in metrics if not math.isnan(value := metric(weights))]
        return float(np.mean(values)) if values else math.nan

    return mean


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan
