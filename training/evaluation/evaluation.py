"""The metrics of models on the test rows, with bootstrap intervals."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.evaluation import MetricValue
from model_deployer.contract.outputs import Arrays, Regression
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.metrics import Metric, classification_metrics, regression_metrics, set_metrics
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Cost

#: The number of bootstrap resamples (Efron and Tibshirani, 1993, "An introduction to the bootstrap").
RESAMPLES = 200

#: The share of the resamples inside an interval.
CONFIDENCE = 0.95

#: Metrics by the name of the model and by the name of the metric.
Metrics = dict[str, dict[str, MetricValue]]


def evaluate_classification(
    predictions: Mapping[str, Arrays],
    test: Sample,
    threshold: float | None,
    cost: Cost,
    seed: int,
) -> Metrics:
    """Return the metrics of several classifiers on the same rows.

    Args:
        predictions: By the name of the classifier, its ``probabilities``, float [rows, classes], and optionally
            ``set``, bool [rows, classes]: whether each label is in the row's prediction set.
        test: The rows with their targets and weights.
        threshold: With two classes, the decision is the second class if its probability is at least this. None with
            more classes.
        cost: The costs of wrong decisions, for the metric ``cost``, which is left out without a threshold.
        seed: The seed of the resamples.

    Returns:
        The metrics of each classifier, with 95 % bootstrap intervals, without those that are not defined for the rows.
    """
    metrics: dict[str, dict[str, Metric]] = {}
    for name, arrays in predictions.items():
        probabilities = arrays["probabilities"]
        metrics[name] = classification_metrics(test.target, probabilities, threshold)
        if threshold is not None:
            metrics[name]["cost"] = _cost(test.target, probabilities[:, 1] >= threshold, cost)
        if "set" in arrays:
            metrics[name] |= set_metrics(test.target, arrays["set"])
    return _bootstrap(metrics, test.row_weights, seed)


def evaluate_regression(predictions: Mapping[str, Arrays], test: Sample, output: Regression, seed: int) -> Metrics:
    """Return the metrics of several models of a quantity on the same rows.

    Args:
        predictions: By the name of the model, its ``value``, float [rows, 1], and optionally ``lower`` and ``upper``.
        test: The rows with their targets and weights.
        output: The meaning of the predictions.
        seed: The seed of the resamples.

    Returns:
        As :func:`evaluate_classification`.
    """
    metrics = {name: regression_metrics(test.target, arrays, output) for name, arrays in predictions.items()}
    return _bootstrap(metrics, test.row_weights, seed)


def _cost(target: NDArray[np.int64], positive: NDArray[np.bool_], cost: Cost) -> Metric:
    costs = np.where(positive, cost.false_positive * (target == 0), cost.false_negative * (target == 1))
    return lambda weights: float(np.average(costs, weights=weights))


def _bootstrap(metrics: Mapping[str, Mapping[str, Metric]], weights: Floats, seed: int) -> Metrics:
    """Measure every metric on the rows and on resamples, which are the same for all models."""
    random, rows = np.random.default_rng(seed), len(weights)
    resamples = (weights * np.bincount(random.integers(rows, size=rows), minlength=rows) for _ in range(RESAMPLES))
    usable = [resample for resample in resamples if resample.any()]
    return {
        model: {name: value for name, metric in by_name.items() if (value := _metric_value(metric, weights, usable))}
        for model, by_name in metrics.items()
    }


def _metric_value(metric: Metric, weights: Floats, resamples: list[Floats]) -> MetricValue | None:
    value = metric(weights)
    resampled = [result for resample in resamples if not math.isnan(result := metric(resample))]
    if math.isnan(value) or not resampled:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail]).tolist()
    return MetricValue(value=value, low=low, high=high)
