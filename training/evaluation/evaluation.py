"""The metrics of models on the test rows, with bootstrap intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_deployer.contract.evaluation import MODEL, TRIVIAL, MetricValue
from model_deployer.contract.metric_catalog import metric_of_target
from model_deployer.contract.outputs import Arrays, Regression, VectorOutput
from model_deployer.training.evaluation.costs import error_costs, is_positive_cheapest
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.metrics import (
    CalibrationError,
    Metric,
    classification_metrics,
    error_metrics,
    regression_metrics,
    set_metrics,
    to_mean,
)
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Cost

#: The number of bootstrap resamples (Efron and Tibshirani, 1993, "An introduction to the bootstrap").
RESAMPLES = 200

#: The share of the resamples inside an interval.
CONFIDENCE = 0.95

#: Metrics by the name of the model and by the name of the metric.
Metrics = dict[str, dict[str, MetricValue]]


@dataclass(frozen=True)
class MeasuredMetrics:
    """The metrics of several models on the same rows.

    Attributes:
        metrics: The metrics of each model, with 95 % bootstrap intervals, without those that are not defined for the
            rows.
        differences: The metrics of the model ``MODEL`` minus those of each other model, on the same resamples.
    """

    metrics: Metrics
    differences: Metrics


def evaluate_classification(
    predictions: Mapping[str, Arrays],
    test: Sample,
    threshold: float | None,
    cost: Cost,
    seed: int,
) -> MeasuredMetrics:
    """Return the metrics of several classifiers on the same rows.

    Args:
        predictions: By the name of the classifier, its ``probabilities``, float [rows, classes], and optionally
            ``set``, bool [rows, classes]: whether each label is in the row's prediction set.
        test: The rows with their targets and weights.
        threshold: With two classes, the decision is the second class if its probability is at least this. None with
            more classes.
        cost: The costs of wrong decisions, for the metric ``cost``, which is left out without a threshold. That of
            ``TRIVIAL`` is the cost of the cheapest decision that is the same for every row.
        seed: The seed of the resamples.
    """
    metrics: dict[str, dict[str, Metric]] = {}
    for name, arrays in predictions.items():
        probabilities = arrays["probabilities"]
        metrics[name] = classification_metrics(test.target, probabilities, threshold)
        if threshold is not None:
            positive = probabilities[:, 1] >= threshold
            if name == TRIVIAL:
                positive = np.full(len(test.target), is_positive_cheapest(test.target, test.row_weights, cost))
            metrics[name]["cost"] = to_mean(error_costs(test.target, positive, cost))
        if "set" in arrays:
            metrics[name] |= set_metrics(test.target, arrays["set"])
    return _bootstrap(metrics, test.row_weights, seed)


def evaluate_regression(
    predictions: Mapping[str, Arrays], test: Sample, output: Regression, seed: int
) -> MeasuredMetrics:
    """Return the metrics of several models of a quantity on the same rows.

    Args:
        predictions: By the name of the model, its ``value``, float [rows, 1], and optionally ``lower`` and ``upper``.
        test: The rows with their targets and weights.
        output: The meaning of the predictions.
        seed: The seed of the resamples.
    """
    metrics = {name: regression_metrics(test.target, arrays, output) for name, arrays in predictions.items()}
    return _bootstrap(metrics, test.row_weights, seed)


def evaluate_targets(
    predictions: Mapping[str, Arrays], truths: Floats, weights: Floats, output: VectorOutput, seed: int
) -> MeasuredMetrics:
    """Return the metrics of several models of several targets on the same rows, for each target its own.

    Args:
        predictions: By the name of the model, its ``values``, float [rows, targets].
        truths: The true values, float64 [rows, targets].
        weights: The weights of the rows, float64 [rows].
        output: The meaning of the predictions.
        seed: The seed of the resamples.
    """
    metrics = {
        model: {
            metric_of_target(metric, name): function
            for column, name in enumerate(output.names or ())
            for metric, function in error_metrics(truths[:, column], arrays["values"][:, column]).items()
        }
        for model, arrays in predictions.items()
    }
    return _bootstrap(metrics, weights, seed)


def _bootstrap(metrics: Mapping[str, Mapping[str, Metric]], weights: Floats, seed: int) -> MeasuredMetrics:
    """Measure every metric on the rows and on resamples, which are the same for all models."""
    random, rows = np.random.default_rng(seed), len(weights)
    resamples = (weights * np.bincount(random.integers(rows, size=rows), minlength=rows) for _ in range(RESAMPLES))
    usable = [resample for resample in resamples if resample.any()]
    measured = {
        model: {name: _resampled(metric, weights, usable) for name, metric in by_name.items()}
        for model, by_name in metrics.items()
    }
    own = measured.get(MODEL, {})
    differences = {
        model: {name: own[name].minus(other) for name, other in by_name.items() if name in own}
        for model, by_name in measured.items()
        if model != MODEL and own
    }
    return MeasuredMetrics(_metric_values(measured), _metric_values(differences))


@dataclass(frozen=True)
class _Resampled:
    """A metric with its values for the resamples, float64 [resamples].

    Attributes:
        value: The value for the rows.
        values: Those for the resamples.
        lows, highs: Those that the lower and the upper end of the interval are quantiles of.
    """

    value: float
    values: Floats
    lows: Floats
    highs: Floats

    def minus(self, other: "_Resampled") -> "_Resampled":
        """Return the difference from the same metric of another model."""
        values = self.values - other.values
        return _Resampled(self.value - other.value, values, values, values)

    def to_metric(self) -> MetricValue | None:
        """Return the value with its interval; None if it is not defined for the rows."""
        lows, highs = (values[~np.isnan(values)] for values in (self.lows, self.highs))
        if math.isnan(self.value) or not len(lows):
            return None
        tail = (1 - CONFIDENCE) / 2
        return MetricValue(
            value=self.value, low=float(np.quantile(lows, tail)), high=float(np.quantile(highs, 1 - tail))
        )


def _resampled(metric: Metric, weights: Floats, resamples: Sequence[Floats]) -> _Resampled:
    if isinstance(metric, CalibrationError):
        errors = metric.without_chance(weights, resamples)
        return _Resampled(float(np.median(errors.values)), errors.values, errors.lows, errors.highs)
    values = np.array([metric(each) for each in resamples])
    return _Resampled(metric(weights), values, values, values)


def _metric_values(measured: Mapping[str, Mapping[str, _Resampled]]) -> Metrics:
    return {
        model: {name: value for name, resampled in by_name.items() if (value := resampled.to_metric())}
        for model, by_name in measured.items()
    }
