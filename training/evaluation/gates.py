"""Gates: the conditions that a trained model must meet to be saved in the store, checked against its evaluation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluation import LINEAR, MODEL, Evaluation, GateResult, SliceResult
from model_deployer.contract.metric_catalog import LOSS, Task, base_metric
from model_deployer.training.spec import (
    Bound,
    ClassificationMetric,
    CountMetric,
    Gates,
    QuantileMetric,
    RegressionMetric,
)

#: The metrics of each task.
_METRICS: Mapping[Task, tuple[str, ...]] = {
    "classification": get_args(ClassificationMetric),
    "regression": get_args(RegressionMetric),
    "count": get_args(CountMetric),
    "quantile": get_args(QuantileMetric),
    "multioutput_regression": ("rmse", "mae", "median_absolute_error", "r2"),
    "embedding": (),
}

_BYTES_PER_MB = 1_000_000

_NOT_MEASURED = "it cannot be measured on the test part"

_NO_SLICES = "no slices are reported"


def check_gates(gates: Gates, evaluation: Evaluation) -> list[GateResult]:
    """Check a model's evaluation against every gate of model.yaml.

    Args:
        gates: The gates of model.yaml.
        evaluation: The evaluation, with ``metrics``, ``latency`` and ``slices``. A gate fails if its value was not
            measured or is not a finite number.

    Returns:
        One result per gate, in the order of :class:`Gates`.
    """
    return list(_results(gates, evaluation))


def raise_for_failures(results: Sequence[GateResult]) -> None:
    """End the run if a gate failed.

    Raises:
        CheckFailed: if a gate failed. The message has one line per failed gate, with the measured value, the required
            value and the difference.
    """
    failed = [result for result in results if not result.passed]
    if failed:
        lines = "".join(f"\n  {result.name}: {result.message}" for result in failed)
        raise CheckFailed(
            f"the model was not saved: it fails {len(failed)} of {len(results)} gate{'s' * (len(results) > 1)}; "
            f"improve the model, or relax `gates` in model.yaml{lines}"
        )


def _results(gates: Gates, evaluation: Evaluation) -> Iterator[GateResult]:
    latency = evaluation.latency
    for name, bound in gates.metrics.items():
        yield from _metrics(name, bound, evaluation)
    if gates.better_than_linear:
        yield _better_than_linear(evaluation)
    if gates.slice_gap is not None:
        yield _slice_gap(gates.slice_gap, evaluation)
    if gates.slice_calibration is not None:
        yield _slice_calibration(gates.slice_calibration, evaluation)
    if gates.size_mb is not None:
        megabytes = latency.bytes / _BYTES_PER_MB if latency else math.nan
        yield _within("gates.size_mb", megabytes, Bound(at_most=gates.size_mb))
    if gates.p99_ms is not None:
        p99 = latency.one_row_ms.p99 if latency else math.nan
        yield _within("gates.p99_ms", p99, Bound(at_most=gates.p99_ms))


def _metrics(metric: str, bound: Bound, evaluation: Evaluation) -> Iterator[GateResult]:
    """Yield the result of a metric; of several targets, one for each of them."""
    names = [name for name in evaluation.metrics_of(MODEL) if base_metric(name) == metric]
    for name in names or [metric]:
        yield _metric(name, bound, evaluation)


def _metric(metric: str, bound: Bound, evaluation: Evaluation) -> GateResult:
    task, name = evaluation.task, f"gates.metrics.{metric}"
    if base_metric(metric) not in _METRICS[task]:
        reason = f"a {task.replace('_', ' ')} does not have this metric; it has {', '.join(_METRICS[task])}"
        if task == "embedding":
            reason = "an embedding has no metric: no column of a table is the truth of its numbers"
        return _not_measured(name, _requirement(bound), reason)
    return _within(name, _metric_value(evaluation, MODEL, metric), bound)


def _better_than_linear(evaluation: Evaluation) -> GateResult:
    name, loss = "gates.better_than_linear", LOSS[evaluation.task]
    model, linear = _metric_value(evaluation, MODEL, loss), _metric_value(evaluation, LINEAR, loss)
    if not math.isfinite(model - linear):
        return _not_measured(name, f"less than the {loss} of linear", _NOT_MEASURED)
    failure = "it is the same" if model == linear else f"{model - linear:.2g} too high"
    return _measured(name, f"less than {linear:.6g} ({loss} of linear)", model, "" if model < linear else failure)


def _slice_gap(gap: float, evaluation: Evaluation) -> GateResult:
    name, loss, percent = "gates.slice_gap", LOSS[evaluation.task], f"{100 * gap:.6g} %"
    requirement = f"at most {percent} above the {loss} of all rows"
    if evaluation.slices is None:
        return _not_measured(name, requirement, _NO_SLICES)
    # Slices without an interval have so few rows that their loss is mostly chance.
    slices = [part for part in evaluation.slices if part.low is not None]
    if not slices:
        return _passed(name, requirement, f"no slice is certainly worse than the others, required {requirement}")
    worst = max(slices, key=lambda part: _nan_as_infinity(part.loss))
    limit = (1 + gap) * _metric_value(evaluation, MODEL, loss)
    if not math.isfinite(worst.loss - limit):
        return _not_measured(name, requirement, _NOT_MEASURED)
    requirement = f"at most {limit:.6g} ({percent} above the {loss} of all rows)"
    failure = _failure(worst.loss, Bound(at_most=limit))
    return _measured(name, requirement, worst.loss, failure, f" in the slice {worst.slice}")


def _slice_calibration(limit: float, evaluation: Evaluation) -> GateResult:
    """Check the largest calibration error that chance does not explain. With few rows, the error is never 0."""
    name, bound = "gates.slice_calibration", Bound(at_most=limit)
    if evaluation.slices is None:
        return _not_measured(name, _requirement(bound), _NO_SLICES)
    errors = [(error, part) for part in evaluation.slices if (error := _error_beyond_chance(part)) is not None]
    if not errors:
        message = f"chance explains the calibration error of every slice, required {_requirement(bound)}"
        return _passed(name, _requirement(bound), message)
    error, worst = max(errors, key=lambda pair: _nan_as_infinity(pair[0]))
    return _within(name, error, bound, f" in the slice {worst.slice}")


def _error_beyond_chance(part: SliceResult) -> float | None:
    """Return the calibration error of a slice, or None if chance explains it or the slice has too few rows."""
    error, chance = part.calibration_error, part.calibration_chance
    return None if error is None or chance is None or error <= chance else error


def _nan_as_infinity(value: float) -> float:
    """Return a sort key that puts NaN and infinity last, as the worst values."""
    return value if math.isfinite(value) else math.inf


def _within(name: str, value: float, bound: Bound, where: str = "") -> GateResult:
    if not math.isfinite(value):
        return _not_measured(name, _requirement(bound), _NOT_MEASURED)
    return _measured(name, _requirement(bound), value, _failure(value, bound), where)


def _measured(name: str, requirement: str, value: float, failure: str, where: str = "") -> GateResult:
    """Return the result of a gate whose value was measured; it passed if ``failure`` is empty."""
    message = f"measured {value:.6g}{where}, required {requirement}"
    return GateResult(
        name=name,
        asked=requirement,
        found=value,
        passed=not failure,
        message=f"{message}: {failure}" if failure else message,
    )


def _passed(name: str, requirement: str, message: str) -> GateResult:
    return GateResult(name=name, asked=requirement, found=None, passed=True, message=message)


def _not_measured(name: str, requirement: str, reason: str) -> GateResult:
    message = f"not measured, required {requirement}: {reason}"
    return GateResult(name=name, asked=requirement, found=None, passed=False, message=message)


def _metric_value(evaluation: Evaluation, model: str, metric: str) -> float:
    """Return a metric of the evaluation, or NaN if it was not measured."""
    result = evaluation.metrics_of(model).get(metric)
    return result.value if result else math.nan


def _requirement(bound: Bound) -> str:
    limits = {"at least": bound.at_least, "at most": bound.at_most}
    return " and ".join(f"{relation} {limit:.6g}" for relation, limit in limits.items() if limit is not None)


def _failure(value: float, bound: Bound) -> str:
    """Return how far a value is outside its bound, or an empty text if it is inside."""
    if bound.at_least is not None and value < bound.at_least:
        return f"{bound.at_least - value:.2g} too low"
    if bound.at_most is not None and value > bound.at_most:
        return f"{value - bound.at_most:.2g} too high"
    return ""
