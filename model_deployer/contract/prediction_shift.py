"""The prediction shift: how much the predictions for the same requests change from one version to the next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import numpy as np

from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput

#: The largest shift that a patch may have by default; ``tolerance`` in model.yaml overrides it.
TOLERANCE = 0.05

#: The maximum number of cases that a report names.
MAX_LISTED_CASES = 20

#: A prediction as the output of a contract returns it, see :mod:`contract.outputs`.
Prediction = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PredictionShift:
    """The difference between the predictions of two models.

    The change of one request is, for a classification, the largest absolute change of one of its probabilities; for a
    regression, the absolute change of its value divided by ``scale``; for an embedding, the distance of the two vectors
    divided by ``scale``. With several targets, it is the largest change of one of them, each divided by its own scale.

    Attributes:
        requests: The number of compared requests: those that both models accept.
        flips: The number of decisions that changed; None if predictions have no decisions.
        largest: The largest change of a request.
        mean: The mean change of a request.
        scale: The divisor of a change: 1 for probabilities. For values, in the unit of the target: the standard
            deviation of the old values; their absolute value if they are all equal; 1 if they are all 0. For
            embeddings, the same of vectors. None with several targets, which have one each.
        flipped: The cases whose decisions changed, in the order of the requests, at most ``MAX_LISTED_CASES``.
    """

    requests: int
    flips: int | None
    largest: float
    mean: float
    scale: float | None
    flipped: tuple[str, ...]

    def __str__(self) -> str:
        if self.flips is None and not self.largest:
            return f"in {self.requests} requests no value changes"
        if self.scale is None:
            return (
                f"in {self.requests} requests a value changes by at most {self.largest:.3g} times the spread of the "
                f"old values of its target, {self.mean:.3g} times on average"
            )
        if self.flips is None:
            largest, mean = self.largest * self.scale, self.mean * self.scale
            return (
                f"in {self.requests} requests the value changes by at most {largest:.3g}, {mean:.3g} on average "
                f"({self.mean:.3g} times the spread of the old values, {self.scale:.3g})"
            )
        if not self.largest:
            return f"{self.flips} of {self.requests} decisions flip, and no probability changes"
        return (
            f"{self.flips} of {self.requests} decisions flip; "
            f"a probability changes by at most {self.largest:.2g}, {self.mean:.2g} on average"
        )


def are_comparable(old: Output, new: Output) -> bool:
    """Return whether two outputs mean the same, so that the difference between two predictions has a meaning."""
    if isinstance(old, Classification) and isinstance(new, Classification):
        return old.target == new.target and set(old.labels) == set(new.labels)
    if isinstance(old, Regression) and isinstance(new, Regression):
        return (old.target, old.unit, old.quantile) == (new.target, new.unit, new.quantile)
    if isinstance(old, VectorOutput) and isinstance(new, VectorOutput):
        return old == new
    return False


def prediction_shift(
    old: Iterable[Prediction], new: Iterable[Prediction | None], cases: Iterable[str]
) -> PredictionShift | None:
    """Compare the predictions of two models whose outputs are comparable, see :func:`are_comparable`.

    Args:
        old: The predictions of the old model, one per request.
        new: The predictions of the new model for the same requests; None if it refuses the request.
        cases: The names of the requests.

    Returns:
        The shift, or None if the new model refuses every request.
    """
    triples = [
        (case, old_prediction, new_prediction)
        for case, old_prediction, new_prediction in zip(cases, old, new, strict=True)
        if new_prediction is not None
    ]
    if not triples:
        return None
    compared_cases, old_predictions, new_predictions = zip(*triples, strict=True)
    if "value" in old_predictions[0]:
        return _shift_of_values(
            [prediction["value"] for prediction in old_predictions],
            [prediction["value"] for prediction in new_predictions],
        )
    if "values" in old_predictions[0]:
        return _shift_of_vectors(
            [prediction["values"] for prediction in old_predictions],
            [prediction["values"] for prediction in new_predictions],
        )
    return _shift_of_decisions(compared_cases, old_predictions, new_predictions)


def exceeds_tolerance(shift: PredictionShift | None, tolerance: float) -> bool:
    """Return whether behaviour moved by more than a patch allows.

    Args:
        shift: The difference between the old and the new predictions; None, which never exceeds, if they could not be
            compared.
        tolerance: The limit for the share of changed decisions and for the mean change of a request.
    """
    if shift is None:
        return False
    return max((shift.flips or 0) / shift.requests, shift.mean) > tolerance


def _shift_of_decisions(cases: Sequence[str], old: Sequence[Prediction], new: Sequence[Prediction]) -> PredictionShift:
    pairs = list(zip(old, new, strict=True))
    flipped = [
        case
        for case, (old_prediction, new_prediction) in zip(cases, pairs, strict=True)
        if old_prediction["decision"] != new_prediction["decision"]
    ]
    changes = [_largest_change(before["probabilities"], after["probabilities"]) for before, after in pairs]
    return PredictionShift(
        len(pairs), len(flipped), max(changes), fmean(changes), 1.0, tuple(flipped[:MAX_LISTED_CASES])
    )


def _largest_change(old: Mapping[str, float], new: Mapping[str, float]) -> float:
    return max(abs(new[label] - probability) for label, probability in old.items())


def _shift_of_values(old: Sequence[float], new: Sequence[float]) -> PredictionShift:
    changes, scale = _changes_of_values(old, new)
    return PredictionShift(len(changes), None, max(changes), fmean(changes), scale, ())


def _changes_of_values(old: Sequence[float], new: Sequence[float]) -> tuple[list[float], float]:
    """Return the change of each request, divided by the scale, and the scale."""
    scale = pstdev(old) or abs(old[0]) or 1.0
    return [abs(after - before) / scale for before, after in zip(old, new, strict=True)], scale


def _shift_of_vectors(old: Sequence[Any], new: Sequence[Any]) -> PredictionShift:
    """Compare embeddings, which are lists, by their distance, and the values of several targets one by one."""
    if isinstance(old[0], list):
        before, after = np.array(old), np.array(new)
        spread = float(np.sqrt(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean()))
        scale = spread or float(np.linalg.norm(before[0])) or 1.0
        changes = (np.linalg.norm(after - before, axis=1) / scale).tolist()
        return PredictionShift(len(changes), None, max(changes), fmean(changes), scale, ())
    by_target = [_changes_of_values([row[name] for row in old], [row[name] for row in new])[0] for name in old[0]]
    changes = [max(of_request) for of_request in zip(*by_target, strict=True)]
    return PredictionShift(len(changes), None, max(changes), fmean(changes), None, ())
