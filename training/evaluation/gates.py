"""Gates: what a trained model has to fulfil to get into the store, held against its evaluation.json."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluations import LOSS
from model_deployer.training.spec import (
    Bound,
    ClassificationMetric,
    CountMetric,
    Gates,
    QuantileMetric,
    RegressionMetric,
)

_METRICS = {
    "classification": get_args(ClassificationMetric),
    "regression": get_args(RegressionMetric),
    "count": get_args(CountMetric),
    "quantile": get_args(QuantileMetric),
}

_BYTES_PER_MB = 1_000_000

_NOT_MEASURED = "it could not be measured on the test part"


@dataclass(frozen=True)
class Gate:
    """One condition of a model.yaml, and how a trained model meets it.

    Attributes:
        name: Where it stands in model.yaml: ``gates.metrics.log_loss``.
        asked: What is asked for, in words: ``at most 0.53``.
        found: What was measured; None where nothing could be.
        passed: Whether the model meets it.
        message: What was found and what is asked for, and if it is not met, by how much or why.
    """

    name: str
    asked: str
    found: float | None
    passed: bool
    message: str


def check_gates(gates: Gates, evaluation: Mapping[str, Any]) -> list[Gate]:
    """Hold a model's evaluation against every gate that is asked for, in the order of :class:`Gates`.

    Args:
        gates: What is asked for.
        evaluation: The content of evaluation.json: ``task``, ``metrics`` of ``model`` and ``linear``, ``latency`` as
            :func:`training.export.latency.measure` gives it, and ``slices`` as
            :func:`training.evaluation.slices.slices` does. A gate whose figure is not there, or is no finite number,
            is not met.
    """
    return list(_gates(gates, evaluation))


def refuse(gates: Sequence[Gate]) -> None:
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


def _gates(gates: Gates, evaluation: Mapping[str, Any]) -> Iterator[Gate]:
    latency: Mapping[str, Any] = evaluation.get("latency", {})
    for name, bound in gates.metrics.items():
        yield _metric(name, bound, evaluation)
    if gates.better_than_linear:
        yield _better_than_linear(evaluation)
    if gates.slice_gap is not None:
        yield _slice_gap(gates.slice_gap, evaluation)
    if gates.slice_calibration is not None:
        yield _slice_calibration(gates.slice_calibration, evaluation)
    if gates.size_mb is not None:
        yield _bounded("gates.size_mb", latency.get("bytes", math.nan) / _BYTES_PER_MB, Bound(at_most=gates.size_mb))
    if gates.p99_ms is not None:
        p99 = latency.get("one_row_ms", {}).get("p99", math.nan)
        yield _bounded("gates.p99_ms", p99, Bound(at_most=gates.p99_ms))


def _metric(name: str, bound: Bound, evaluation: Mapping[str, Any]) -> Gate:
    task, place = evaluation["task"], f"gates.metrics.{name}"
    if name not in _METRICS[task]:
        return _unmet(place, _asked(bound), f"a {task} has no such metric; it has {', '.join(_METRICS[task])}")
    return _bounded(place, _value(evaluation, "model", name), bound)


def _better_than_linear(evaluation: Mapping[str, Any]) -> Gate:
    name, loss = "gates.better_than_linear", LOSS[evaluation["task"]]
    found, linear = _value(evaluation, "model", loss), _value(evaluation, "linear", loss)
    if not math.isfinite(found - linear):
        return _unmet(name, f"a lower {loss} than that of linear", _NOT_MEASURED)
    missed = "it is the same" if found == linear else f"{found - linear:.2g} too high"
    return _gate(name, f"less than {linear:.6g} ({loss} of linear)", found, "" if found < linear else missed)


def _slice_gap(gap: float, evaluation: Mapping[str, Any]) -> Gate:
    name, loss = "gates.slice_gap", LOSS[evaluation["task"]]
    asked = f"{loss} at most {gap:.6g} of it above that of all rows"
    slices: Sequence[Mapping[str, Any]] | None = evaluation.get("slices")
    if slices is None:
        return _unmet(name, asked, "no slices are reported")
    slices = [part for part in slices if part["low"] is not None]  # of a handful of rows, chance alone decides
    if not slices:  # only those that are surely worse are found
        return Gate(name, asked, None, True, f"no slice found that is surely worse than the others, {asked} asked for")
    worst = max(slices, key=lambda part: _order(part["loss"]))
    found, highest = worst["loss"], (1 + gap) * _value(evaluation, "model", loss)
    if not math.isfinite(found - highest):
        return _unmet(name, asked, _NOT_MEASURED)
    asked = f"at most {highest:.6g} ({loss} of all rows and {gap:.6g} of it)"
    return _gate(name, asked, found, _missed(found, Bound(at_most=highest)), f" in the slice {worst['slice']}")


def _slice_calibration(highest: float, evaluation: Mapping[str, Any]) -> Gate:
    """Of few rows the calibration error is never 0; where chance explains it, it says nothing."""
    name, bound = "gates.slice_calibration", Bound(at_most=highest)
    slices: Sequence[Mapping[str, Any]] | None = evaluation.get("slices")
    if slices is None:
        return _unmet(name, _asked(bound), "no slices are reported")
    judged = [part for part in slices if part["calibration_error"] is not None]
    sure = [part for part in judged if not part["calibration_error"] <= part["calibration_chance"]]
    if not sure:
        message = f"in no slice a calibration error beyond what chance makes, {_asked(bound)} asked for"
        return Gate(name, _asked(bound), None, True, message)
    worst = max(sure, key=lambda part: _order(part["calibration_error"]))
    return _bounded(name, worst["calibration_error"], bound, f" in the slice {worst['slice']}")


def _order(found: float) -> float:
    """What is no number is the worst."""
    return found if math.isfinite(found) else math.inf


def _bounded(name: str, found: float, bound: Bound, where: str = "") -> Gate:
    if not math.isfinite(found):
        return _unmet(name, _asked(bound), _NOT_MEASURED)
    return _gate(name, _asked(bound), found, _missed(found, bound), where)


def _gate(name: str, asked: str, found: float, missed: str, where: str = "") -> Gate:
    message = f"{found:.6g} found{where}, {asked} asked for"
    return Gate(name, asked, found, not missed, f"{message}: {missed}" if missed else message)


def _unmet(name: str, asked: str, reason: str) -> Gate:
    return Gate(name, asked, None, False, f"nothing found, {asked} asked for: {reason}")


def _value(evaluation: Mapping[str, Any], model: str, metric: str) -> float:
    """A figure of the evaluation; NaN where it has none."""
    return float(evaluation["metrics"].get(model, {}).get(metric, {}).get("value", math.nan))


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
