"""How good a model is on rows that nothing was learnt from, with the uncertainty of the figures."""

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

#: Bootstrap resamples (Efron and Tibshirani, 1993, "An introduction to the bootstrap").
RESAMPLES = 200

#: Share of the resamples that an interval holds.
CONFIDENCE = 0.95

#: The metrics of some models, by the name of the model, by the name of the metric.
Metrics = dict[str, dict[str, MetricValue]]


def evaluate_classification(
    predictions: Mapping[str, Arrays],
    test: Sample,
    threshold: float | None,
    cost: Cost,
    seed: int,
) -> Metrics:
    """The metrics of some classifiers on the same rows.

    Args:
        predictions: For each classifier its ``probabilities``, and maybe ``set``: which labels are in each row's set.
        test: The rows that were predicted.
        threshold: With two classes, from which probability on the second is decided for; None for more.
        cost: What wrong decisions cost, for ``cost``, the average cost of a row; left out without a threshold.
        seed: Decides the resamples.

    Returns:
        Of each classifier its metrics, with 95 % bootstrap intervals. A metric that these rows say nothing about is
        left out.
    """
    judged: dict[str, dict[str, Metric]] = {}
    for name, arrays in predictions.items():
        probabilities = arrays["probabilities"]
        judged[name] = classification_metrics(test.target, probabilities, threshold)
        if threshold is not None:
            judged[name]["cost"] = _cost(test.target, probabilities[:, 1] >= threshold, cost)
        if "set" in arrays:
            judged[name] |= set_metrics(test.target, arrays["set"])
    return _bootstrap(judged, test.row_weights, seed)


def evaluate_regression(predictions: Mapping[str, Arrays], test: Sample, output: Regression, seed: int) -> Metrics:
    """The metrics of some models of a quantity on the same rows; as :func:`evaluate_classification`."""
    judged = {name: regression_metrics(test.target, arrays, output) for name, arrays in predictions.items()}
    return _bootstrap(judged, test.row_weights, seed)


def _cost(target: NDArray[np.int64], positive: NDArray[np.bool_], cost: Cost) -> Metric:
    each = np.where(positive, cost.false_positive * (target == 0), cost.false_negative * (target == 1))
    return lambda weights: float(np.average(each, weights=weights))


def _bootstrap(judged: Mapping[str, Mapping[str, Metric]], whole: Floats, seed: int) -> Metrics:
    """Every metric on the rows as they are, and its spread over resamples that all models share."""
    random, rows = np.random.default_rng(seed), len(whole)
    drawn = (whole * np.bincount(random.integers(rows, size=rows), minlength=rows) for _ in range(RESAMPLES))
    resamples = [resample for resample in drawn if resample.any()]
    return {
        model: {name: value for name, metric in metrics.items() if (value := _value(metric, whole, resamples))}
        for model, metrics in judged.items()
    }


def _value(metric: Metric, whole: Floats, resamples: list[Floats]) -> MetricValue | None:
    value = metric(whole)
    spread = [again for resample in resamples if not math.isnan(again := metric(resample))]
    if math.isnan(value) or not spread:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(spread, [tail, 1 - tail]).tolist()
    return MetricValue(value=value, low=low, high=high)
