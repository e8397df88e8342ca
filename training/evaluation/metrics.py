"""Metrics as functions of the rows' weights.

A bootstrap resample is a vector of weights (how often each row was drawn), so whatever does not depend on it, above all
the order of the scores, is worked out once and not once a resample. A metric that the rows say nothing about, such as
the area under the curve where all rows are of one class, is NaN.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.outputs import Arrays, Regression
from model_deployer.training.evaluation.losses import LEAST, Floats, row_losses, to_metric

#: From the weight of each row to the metric.
Metric = Callable[[Floats], float]

#: Equally wide bins of confidence in the calibration error.
BINS = 15


def classification_metrics(
    target: NDArray[Any], probabilities: NDArray[Any], threshold: float | None
) -> dict[str, Metric]:
    """The metrics of a classifier, by name.

    Args:
        target: Class codes.
        probabilities: Of every class, [rows, classes].
        threshold: With two classes, the second one is decided for from this probability on; None for more classes,
            where the likeliest is decided for.
    """
    probabilities = probabilities.astype(np.float64)
    truth = np.eye(probabilities.shape[1])[target]
    decision = probabilities.argmax(1) if threshold is None else (probabilities[:, 1] >= threshold).astype(np.intp)
    positives = [1] if threshold is not None else list(range(probabilities.shape[1]))
    columns = [(truth[:, column], probabilities[:, column]) for column in positives]
    own = probabilities[np.arange(len(target)), target]
    return {
        "log_loss": _average(-np.log(np.clip(own, LEAST, 1))),
        "roc_auc": _mean_of([roc_auc(*column) for column in columns]),
        "average_precision": _mean_of([average_precision(*column) for column in columns]),
        "brier": _average(((probabilities - truth) ** 2).sum(1) / (2 if threshold is not None else 1)),
        "calibration_error": calibration_error(*nominal_vs_observed(target, probabilities)),
        "accuracy": _average((decision == target).astype(np.float64)),
        **_decision_metrics(target, decision, positives),
    }


def set_metrics(target: NDArray[Any], sets: NDArray[np.bool_]) -> dict[str, Metric]:
    """Of sets of labels the share that holds the truth, and how many labels they hold.

    Args:
        target: Class codes.
        sets: Which labels are in the set of each row, [rows, classes].
    """
    held = sets[np.arange(len(target)), target]
    return {
        "coverage": _average(held.astype(np.float64)),
        "set_size": _average(sets.sum(axis=1).astype(np.float64)),
    }


def regression_metrics(target: Floats, arrays: Arrays, output: Regression) -> dict[str, Metric]:
    """The metrics of a quantity, by name, its loss first; those of the interval only where there is one.

    Args:
        target: The true values.
        arrays: ``value`` and maybe ``lower`` and ``upper``, each [rows, 1].
        output: What they mean.
    """
    loss = _average(row_losses(target, arrays, output))
    error = arrays["value"][:, 0].astype(np.float64) - target
    metrics: dict[str, Metric] = {LOSS[output.task]: lambda weights: to_metric(loss(weights), output)}
    if output.quantile is None:
        metrics |= _error_metrics(target, error)
    else:
        metrics["share_below"] = _average((error >= 0).astype(np.float64))
    if "lower" in arrays:
        lower, upper = (arrays[name][:, 0].astype(np.float64) for name in ("lower", "upper"))
        metrics["coverage"] = _average(((lower <= target) & (target <= upper)).astype(np.float64))
        metrics["interval_width"] = _average(upper - lower)
    return metrics


def _error_metrics(target: Floats, error: Floats) -> dict[str, Metric]:
    return {
        "rmse": lambda weights: float(np.sqrt(np.average(error**2, weights=weights))),
        "mae": _average(np.abs(error)),
        "median_absolute_error": _median(np.abs(error)),
        "r2": _explained(target, error),
    }


def roc_auc(truth: Floats, scores: Floats) -> Metric:
    """Area under the ROC curve: how often a positive row outranks a negative one; a tie counts half."""
    ranks = np.unique(scores, return_inverse=True)[1]

    def metric(weights: Floats) -> float:
        positive = np.bincount(ranks, weights * truth)
        negative = np.bincount(ranks, weights * (1 - truth))
        outranked = np.cumsum(negative) - negative / 2
        return _ratio(positive @ outranked, positive.sum() * negative.sum())

    return metric


def average_precision(truth: Floats, scores: Floats) -> Metric:
    """The mean of precision over recall, taken at every score, without interpolation."""
    ranks = np.unique(-scores, return_inverse=True)[1]

    def metric(weights: Floats) -> float:
        positive = np.bincount(ranks, weights * truth)
        found, taken = np.cumsum(positive), np.cumsum(np.bincount(ranks, weights))
        precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
        return _ratio(positive @ precision, positive.sum())

    return metric


def nominal_vs_observed(target: NDArray[Any], probabilities: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The probability that is promised of each row, and whether it came true.

    Of the second class where there are two, else of the likeliest.
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], target == 1
    return probabilities.max(1), target == probabilities.argmax(1)


def calibration_error(promised: Floats, kept: NDArray[np.bool_]) -> Metric:
    """Expected calibration error: the mean gap between a probability and how often it comes true.

    In equally wide bins of the probability (Naeini et al., 2015, "Obtaining well calibrated probabilities using
    Bayesian binning").
    """
    bins, gaps = _bins(promised), promised - kept
    return lambda weights: _ratio(np.abs(np.bincount(bins, weights * gaps)).sum(), weights.sum())


def calibration_chance(promised: Floats, z: float) -> Metric:
    """What the calibration error of a perfectly calibrated model does not exceed, but for chance.

    Of few rows it is never 0: a bin's gap is about normal, and the sum of their sizes lies below its mean and ``z`` of
    its standard deviations, which is taken somewhat too large: as if the sizes had their sign.
    """
    bins, variances = _bins(promised), promised * (1 - promised)

    def metric(weights: Floats) -> float:
        each = np.bincount(bins, weights**2 * variances)
        return _ratio(math.sqrt(2 / math.pi) * np.sqrt(each).sum() + z * math.sqrt(each.sum()), weights.sum())

    return metric


def _bins(promised: Floats) -> NDArray[np.intp]:
    return np.minimum((promised * BINS).astype(np.intp), BINS - 1)


def _decision_metrics(target: NDArray[Any], decision: NDArray[Any], classes: list[int]) -> dict[str, Metric]:
    """Precision, recall and F1 of the decisions, averaged over the classes of interest."""
    pairs = [((decision == label).astype(np.float64), (target == label).astype(np.float64)) for label in classes]
    hits = [(decided * true, decided, true) for decided, true in pairs]
    return {
        "precision": _mean_of([_precision(*hit) for hit in hits]),
        "recall": _mean_of([_share(hit, true) for hit, _, true in hits]),
        "f1": _mean_of([_share(2 * hit, decided + true) for hit, decided, true in hits]),
    }


def _precision(hit: Floats, decided: Floats, true: Floats) -> Metric:
    """0 for a class that is there and never decided for."""
    share, there = _share(hit, decided), _share(hit, true)
    return lambda weights: share(weights) if weights @ decided else 0 * there(weights)


def _share(part: Floats, whole: Floats) -> Metric:
    return lambda weights: _ratio(weights @ part, weights @ whole)


def _average(each: Floats) -> Metric:
    return lambda weights: _ratio(weights @ each, weights.sum())


def _median(each: Floats) -> Metric:
    order = np.argsort(each)

    def metric(weights: Floats) -> float:
        below = np.cumsum(weights[order])
        return float(each[order[np.searchsorted(below, below[-1] / 2)]])

    return metric


def _explained(target: Floats, error: Floats) -> Metric:
    def metric(weights: Floats) -> float:
        spread = (target - np.average(target, weights=weights)) ** 2
        return 1 - _ratio(weights @ error**2, weights @ spread)

    return metric


def _mean_of(metrics: list[Metric]) -> Metric:
    """The mean of those that the rows say something about."""

    def metric(weights: Floats) -> float:
        values = [value for each in metrics if not math.isnan(value := each(weights))]
        return float(np.mean(values)) if values else math.nan

    return metric


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan
