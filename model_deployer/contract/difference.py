"""Everything that differs between two models of the store, for whoever puts one in the place of the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluations import (
    LOSS,
    OF_A_QUANTILE,
    MetricChange,
    SliceChange,
    metric_changes,
    slice_changes,
)
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
        slice_changes(old.evaluation, new.evaluation) if _loss(old) == _loss(new) else [],
    )


def _metrics(old: Artifact, new: Artifact) -> dict[str, MetricChange]:
    changes = metric_changes(old.evaluation, new.evaluation)
    if _loss(old) == _loss(new):
        return changes
    return {name: change for name, change in changes.items() if name not in OF_A_QUANTILE}


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
