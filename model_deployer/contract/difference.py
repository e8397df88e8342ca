"""Everything that differs between two models of the store, for whoever puts one in the place of the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.document import JsonObject
from model_deployer.contract.evaluation import MODEL, MetricValue, SliceResult
from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, OF_A_QUANTILE
from model_deployer.contract.outputs import Regression
from model_deployer.contract.prediction_shift import (
    Prediction,
    PredictionShift,
    are_comparable,
    exceeds_tolerance,
    prediction_shift,
)
from model_deployer.contract.versions import Change, Step, compare, version_step

#: A model's predictions for rows as clients send them; None for a row that it refuses.
Predict = Callable[[Artifact, Sequence[Mapping[str, Any]]], Sequence[Prediction | None]]

Verdict = Literal["within the noise", "better", "worse", "higher", "lower"]


class MetricChange(JsonObject):
    """A metric of two models. Each was measured on its own test part, so that a difference has the noise of both.

    Attributes:
        old, new: Its value and interval.
        verdict: ``within the noise`` where the intervals overlap; else ``better`` or ``worse``, or for a metric of
            which neither direction is good ``higher`` or ``lower``.
    """

    old: MetricValue
    new: MetricValue
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class SliceChange:
    """The loss in one slice, see ``LOSS``, of two models.

    Attributes:
        slice: Its name.
        old, new: The loss.
        old_rows, new_rows: The rows it was measured on.
    """

    slice: str
    old: float
    new: float
    old_rows: int
    new_rows: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What a caller of ``old`` meets in ``new``.

    Attributes:
        old, new: The models.
        changes: Of the contract, the gravest first.
        behaviour: How far the answers to the golden requests of ``old`` moved; None where they cannot be compared.
        metrics: By name, in the order of ``old``; without those of a quantile where the two answer different ones.
        slices: Those whose loss rose most first; none where the losses of the two are not the same metric.
    """

    old: Artifact
    new: Artifact
    changes: list[Change]
    behaviour: PredictionShift | None
    metrics: dict[str, MetricChange]
    slices: list[SliceChange]

    @property
    def moved(self) -> bool:
        """Whether behaviour moved by more than ``new`` allows for a patch."""
        return exceeds_tolerance(self.behaviour, self.new.manifest.patch_tolerance)

    @property
    def step(self) -> Step:
        """The larger one of the steps that contract and behaviour ask for."""
        return version_step(self.changes, self.moved)


def difference(old: Artifact, new: Artifact, predict: Predict) -> Difference:
    """Compare two models: contracts, answers, metrics and slices."""
    return Difference(
        old,
        new,
        compare(old.contract, new.contract),
        _behaviour(old, new, predict),
        _metrics(old, new),
        _slices(old, new),
    )


def metric_changes(old: Mapping[str, MetricValue], new: Mapping[str, MetricValue]) -> dict[str, MetricChange]:
    """The metrics that two models have in common, by name, in the order of the old one."""
    return {
        name: MetricChange(old=value, new=new[name], verdict=_verdict(name, value, new[name]))
        for name, value in old.items()
        if name in new
    }


def slice_changes(old: Sequence[SliceResult], new: Sequence[SliceResult]) -> list[SliceChange]:
    """The slices that two models have in common, those whose loss rose most first."""
    after = {part.slice: part for part in new}
    pairs = [(part, after[part.slice]) for part in old if part.slice in after]
    changes = [SliceChange(one.slice, one.loss, other.loss, one.rows, other.rows) for one, other in pairs]
    return sorted(changes, key=lambda change: change.old - change.new)


def _verdict(name: str, old: MetricValue, new: MetricValue) -> Verdict:
    if old.low <= new.high and new.low <= old.high:
        return "within the noise"
    higher = new.value > old.value
    if name in HIGHER_IS_BETTER:
        return "better" if higher else "worse"
    if name in LOWER_IS_BETTER:
        return "worse" if higher else "better"
    return "higher" if higher else "lower"


def _metrics(old: Artifact, new: Artifact) -> dict[str, MetricChange]:
    changes = metric_changes(old.evaluation.metrics_of(MODEL), new.evaluation.metrics_of(MODEL))
    if _loss(old) == _loss(new):
        return changes
    return {name: change for name, change in changes.items() if name not in OF_A_QUANTILE}


def _slices(old: Artifact, new: Artifact) -> list[SliceChange]:
    if _loss(old) != _loss(new):
        return []
    return slice_changes(old.evaluation.slices or (), new.evaluation.slices or ())


def _loss(artifact: Artifact) -> tuple[str, float | None]:
    """What makes two losses comparable: the metric, and of which quantile it is."""
    output = artifact.contract.output
    return LOSS[output.task], output.quantile if isinstance(output, Regression) else None


def _behaviour(old: Artifact, new: Artifact, predict: Predict) -> PredictionShift | None:
    if not are_comparable(old.contract.output, new.contract.output):
        return None
    golden = list(old.golden())
    answers = predict(new, [case.row for case in golden])
    return prediction_shift([case.prediction for case in golden], answers, [case.case for case in golden])
