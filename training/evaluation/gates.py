"""Gates: what a trained model has to fulfil to get into the store, held against its evaluation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluation import LINEAR, MODEL, Evaluation, GateResult, SliceResult
from model_deployer.contract.metric_catalog import LOSS, Task
from model_deployer.training.spec import (
    Bound,
    ClassificationMetric,
    CountMetric,
    Gates,
    QuantileMetric,
    RegressionMetric,
)

_METRICS: Mapping[Task, tuple[str, ...]] = {
    "classification": get_args(ClassificationMetric),
    "regression": get_args(RegressionMetric),
    "count": get_args(CountMetric),
    "quantile": get_args(QuantileMetric),
}

_BYTES_PER_MB = 1_000_000

_NOT_MEASURED = "it could not be measured on the test part"

_NO_SLICES = "no slices are reported"


def check_gates(gates: Gates, evaluation: Evaluation) -> list[GateResult]:
    """Hold a model's evaluation against every gate that is asked for, in the order of :class:`Gates`.

    Args:
        gates: What is asked for.
        evaluation: Its ``metrics``, ``latency`` and ``slices`` are judged. A gate whose figure was not measured, or is
            not a finite number, is not met.
    """
    return list(_gates(gates, evaluation))


def refuse(gates: Sequence[GateResult]) -> None:
    """End the run where a gate is not met.

    Raises:
        CheckFailed: A line each gate that is not met: what was found, what is asked for, by how much it is missed.
    """
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        lines = "".join(f"\n  {gate.name}: {gate.message}" for gate in failed)
        raise CheckFailed(
            f"the model was not saved: it fails {len(failed)} of {len(gates)} gate{'s' * (len(gates) > 1)}; "
            f"improve it, or ask for less under `gates`{lines}"
        )


def _gates(gates: Gates, evaluation: Evaluation) -> Iterator[GateResult]:
    latency = evaluation.latency
    for name, bound in gates.metrics.items():
        yield _metric(name, bound, evaluation)
    if gates.better_than_linear:
        yield _better_than_linear(evaluation)
    if gates.slice_gap is not None:
        yield _slice_gap(gates.slice_gap, evaluation)
    if gates.slice_calibration is not None:
        yield _slice_calibration(gates.slice_calibration, evaluation)
    if gates.size_mb is not None:
        megabytes = latency.bytes / _BYTES_PER_MB if latency else math.nan
        yield _bounded("gates.size_mb", megabytes, Bound(at_most=gates.size_mb))
    if gates.p99_ms is not None:
        p99 = latency.one_row_ms.p99 if latency else math.nan
        yield _bounded("gates.p99_ms", p99, Bound(at_most=gates.p99_ms))


def _metric(name: str, bound: Bound, evaluation: Evaluation) -> GateResult:
    task, place = evaluation.task, f"gates.metrics.{name}"
    if name not in _METRICS[task]:
        return _unmet(place, _asked(bound), f"a {task} has no such metric; it has {', '.join(_METRICS[task])}")
    return _bounded(place, _value(evaluation, MODEL, name), bound)


def _better_than_linear(evaluation: Evaluation) -> GateResult:
    name, loss = "gates.better_than_linear", LOSS[evaluation.task]
    found, linear = _value(evaluation, MODEL, loss), _value(evaluation, LINEAR, loss)
    if not math.isfinite(found - linear):
        return _unmet(name, f"a lower {loss} than that of linear", _NOT_MEASURED)
    missed = "it is the same" if found == linear else f"{found - linear:.2g} too high"
    return _gate(name, f"less than {linear:.6g} ({loss} of linear)", found, "" if found < linear else missed)


def _slice_gap(gap: float, evaluation: Evaluation) -> GateResult:
    name, loss = "gates.slice_gap", LOSS[evaluation.task]
    asked = f"{loss} at most {gap:.6g} of it above that of all rows"
    if evaluation.slices is None:
        return _unmet(name, asked, _NO_SLICES)
    slices = [part for part in evaluation.slices if part.low is not None]  # of a handful of rows, chance alone decides
    if not slices:  # only those that are surely worse are found
        return _met(name, asked, f"no slice found that is surely worse than the others, {asked} asked for")
    worst = max(slices, key=lambda part: _order(part.loss))
    found, highest = worst.loss, (1 + gap) * _value(evaluation, MODEL, loss)
    if not math.isfinite(found - highest):
        return _unmet(name, asked, _NOT_MEASURED)
    asked = f"at most {highest:.6g} ({loss} of all rows and {gap:.6g} of it)"
    return _gate(name, asked, found, _missed(found, Bound(at_most=highest)), f" in the slice {worst.slice}")


def _slice_calibration(highest: float, evaluation: Evaluation) -> GateResult:
    """Of few rows the calibration error is never 0; where chance explains it, it says nothing."""
    name, bound = "gates.slice_calibration", Bound(at_most=highest)
    if evaluation.slices is None:
        return _unmet(name, _asked(bound), _NO_SLICES)
    errors = [(error, part) for part in evaluation.slices if (error := _beyond_chance(part)) is not None]
    if not errors:
        message = f"in no slice a calibration error beyond what chance makes, {_asked(bound)} asked for"
        return _met(name, _asked(bound), message)
    error, worst = max(errors, key=lambda pair: _order(pair[0]))
    return _bounded(name, error, bound, f" in the slice {worst.slice}")


def _beyond_chance(part: SliceResult) -> float | None:
    """The calibration error of a slice, unless chance explains it or there are too few rows; NaN is an error too."""
    error, chance = part.calibration_error, part.calibration_chance
    return None if error is None or chance is None or error <= chance else error


def _order(found: float) -> float:
    """What is no number is the worst."""
    return found if math.isfinite(found) else math.inf


def _bounded(name: str, found: float, bound: Bound, where: str = "") -> GateResult:
    if not math.isfinite(found):
        return _unmet(name, _asked(bound), _NOT_MEASURED)
    return _gate(name, _asked(bound), found, _missed(found, bound), where)


def _gate(name: str, asked: str, found: float, missed: str, where: str = "") -> GateResult:
    message = f"{found:.6g} found{where}, {asked} asked for"
    return GateResult(
        name=name, asked=asked, found=found, passed=not missed, message=f"{message}: {missed}" if missed else message
    )


def _met(name: str, asked: str, message: str) -> GateResult:
    return GateResult(name=name, asked=asked, found=None, passed=True, message=message)


def _unmet(name: str, asked: str, reason: str) -> GateResult:
    message = f"nothing found, {asked} asked for: {reason}"
    return GateResult(name=name, asked=asked, found=None, passed=False, message=message)


def _value(evaluation: Evaluation, model: str, metric: str) -> float:
    """A figure of the evaluation; NaN where it has none."""
    measured = evaluation.metrics_of(model).get(metric)
    return measured.value if measured else math.nan


def _asked(bound: Bound) -> str:
    sides = {"at least": bound.at_least, "at most": bound.at_most}
    return " and ".join(f"{side} {value:.6g}" for side, value in sides.items() if value is not None)


def _missed(found: float, bound: Bound) -> str:
    """By how much a value is beyond its bound; nothing where it is not."""
    if bound.at_least is not None and found < bound.at_least:
        return f"{bound.at_least - found:.2g} too low"
    if bound.at_most is not None and found > bound.at_most:
        return f"{found - bound.at_most:.2g} too high"
    return ""
