"""The differences between two models of the store, for a user who replaces one by the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.document import JsonObject
from model_deployer.contract.evaluation import MODEL, MetricValue, SliceResult
from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, OF_A_QUANTILE, base_metric
from model_deployer.contract.number_format import interval, number
from model_deployer.contract.outputs import Regression
from model_deployer.contract.prediction_shift import (
    Prediction,
    PredictionShift,
    are_comparable,
    exceeds_tolerance,
    prediction_shift,
)
from model_deployer.contract.versions import Change, Step, compare, moved_step, version_step

#: Return a model's predictions for rows as clients send them; None for a row that the model refuses.
Predict = Callable[[Artifact, Sequence[Mapping[str, Any]]], Sequence[Prediction | None]]

Verdict = Literal["equal", "within the noise", "better", "worse", "higher", "lower"]


class MetricChange(JsonObject):
    """A metric of two models. Each model has its own test part, so the difference contains the noise of both.

    Attributes:
        old, new: The value and interval of each model.
        verdict: ``equal`` if value and interval are equal as documents write them; ``within the noise`` if the
            intervals overlap, so that these figures do not say which is better; otherwise ``better`` or ``worse``, or
            ``higher`` or ``lower`` for a metric that has no good direction.
    """

    old: MetricValue
    new: MetricValue
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class SliceChange:
    """The loss (``LOSS`` of :mod:`contract.metric_catalog`) of two models in one slice.

    Attributes:
        slice: The name of the slice.
        old, new: The loss of each model.
        old_rows, new_rows: The number of test rows in the slice.
    """

    slice: str
    old: float
    new: float
    old_rows: int
    new_rows: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences that a client of ``old`` notices when ``new`` replaces it.

    Attributes:
        old, new: The models.
        changes: The changes of the contract, the largest step first.
        behaviour: The shift of the predictions for the golden requests of ``old``; None if they cannot be compared.
        metrics: The common metrics by name, in the order of ``old``; without ``OF_A_QUANTILE`` if the two models
            predict different quantiles.
        slices: The common slices, the largest rise of the loss first; empty if the two losses are different metrics.
    """

    old: Artifact
    new: Artifact
    changes: list[Change]
    behaviour: PredictionShift | None
    metrics: dict[str, MetricChange]
    slices: list[SliceChange]

    @property
    def moved(self) -> bool:
        """Whether behaviour moved by more than ``new`` allows in a patch."""
        return exceeds_tolerance(self.behaviour, self.new.manifest.patch_tolerance)

    @property
    def step(self) -> Step:
        """The larger of the steps that contract and behaviour require."""
        return version_step(self.changes, moved_step(self.new.contract.output, self.moved))


def difference(old: Artifact, new: Artifact, predict: Predict) -> Difference:
    """Compare the contracts, predictions, metrics and slices of two models.

    Args:
        old: The model that is replaced.
        new: The model that replaces it.
        predict: Returns the predictions of ``new`` for the golden requests of ``old``.
    """
    return Difference(
        old,
        new,
        compare(old.contract, new.contract),
        _behaviour(old, new, predict),
        _metrics(old, new),
        _slices(old, new),
    )


def metric_changes(old: Mapping[str, MetricValue], new: Mapping[str, MetricValue]) -> dict[str, MetricChange]:
    """Compare the metrics that two models have in common.

    Args:
        old: The metrics of the old model, by name.
        new: The metrics of the new model, by name.

    Returns:
        The changes by name, in the order of ``old``.
    """
    return {
        name: MetricChange(old=value, new=new[name], verdict=_verdict(name, value, new[name]))
        for name, value in old.items()
        if name in new
    }


def slice_changes(old: Sequence[SliceResult], new: Sequence[SliceResult]) -> list[SliceChange]:
    """Compare the slices that two models have in common; the largest rise of the loss comes first."""
    new_slices = {part.slice: part for part in new}
    pairs = [(part, new_slices[part.slice]) for part in old if part.slice in new_slices]
    changes = [
        SliceChange(old_slice.slice, old_slice.loss, new_slice.loss, old_slice.rows, new_slice.rows)
        for old_slice, new_slice in pairs
    ]
    return sorted(changes, key=lambda change: change.old - change.new)


def _verdict(name: str, old: MetricValue, new: MetricValue) -> Verdict:
    if _written(old) == _written(new):
        return "equal"
    if old.low <= new.high and new.low <= old.high:
        return "within the noise"
    higher = new.value > old.value
    if base_metric(name) in HIGHER_IS_BETTER:
        return "better" if higher else "worse"
    if base_metric(name) in LOWER_IS_BETTER:
        return "worse" if higher else "better"
    return "higher" if higher else "lower"


def _written(metric: MetricValue) -> tuple[str, str]:
    return number(metric.value), interval(metric.low, metric.high)


def _metrics(old: Artifact, new: Artifact) -> dict[str, MetricChange]:
    changes = metric_changes(old.evaluation.metrics_of(MODEL), new.evaluation.metrics_of(MODEL))
    if _loss_key(old) == _loss_key(new):
        return changes
    return {name: change for name, change in changes.items() if name not in OF_A_QUANTILE}


def _slices(old: Artifact, new: Artifact) -> list[SliceChange]:
    if _loss_key(old) != _loss_key(new):
        return []
    return slice_changes(old.evaluation.slices or (), new.evaluation.slices or ())


def _loss_key(artifact: Artifact) -> tuple[str, float | None]:
    """Return the metric and the quantile of the loss; losses with equal keys are comparable."""
    output = artifact.contract.output
    return LOSS[output.task], output.quantile if isinstance(output, Regression) else None


def _behaviour(old: Artifact, new: Artifact, predict: Predict) -> PredictionShift | None:
    if not are_comparable(old.contract.output, new.contract.output):
        return None
    requests = list(old.golden())
    new_predictions = predict(new, [golden.row for golden in requests])
    return prediction_shift(
        [golden.prediction for golden in requests], new_predictions, [golden.case for golden in requests]
    )
