"""How far the answers of a model moved from one version to the next, over the same requests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from model_deployer.contract.outputs import Classification, Output, Regression

#: How far behaviour may move in a patch, where model.yaml says nothing else.
TOLERANCE = 0.05

#: The cases named in a report.
MAX_LISTED_CASES = 20

#: As :mod:`contract.outputs` makes it.
Prediction = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PredictionShift:
    """The difference between two models' answers.

    The change of a request is, for a classification, the largest absolute change of one of its probabilities; for a
    regression, the absolute change of its value in ``scale``.

    Attributes:
        requests: How many were compared: those that both models accept.
        flips: How many decisions are others now; None for a regression, which decides nothing.
        largest: The largest change of a request.
        mean: The mean change of a request.
        scale: What a change is divided by: 1 for probabilities; for values the standard deviation of the old ones, or
            where they are all the same their size, or 1 where that is 0.
        flipped: The cases whose decisions flipped, in the order of the requests, at most ``MAX_LISTED_CASES`` of them.
    """

    requests: int
    flips: int | None
    largest: float
    mean: float
    scale: float
    flipped: tuple[str, ...]

    def __str__(self) -> str:
        if self.flips is None:
            largest, mean = self.largest * self.scale, self.mean * self.scale
            return (
                f"in {self.requests} requests the value changes by at most {largest:.3g}, {mean:.3g} on average: "
                f"{self.mean:.3g} times the spread of the old values, {self.scale:.3g}"
            )
        return (
            f"{self.flips} of {self.requests} decisions flip; "
            f"a probability changes by at most {self.largest:.2g}, {self.mean:.2g} on average"
        )


def are_comparable(old: Output, new: Output) -> bool:
    """Whether two outputs answer the same question, so that the difference of two answers means something."""
    if isinstance(old, Classification) and isinstance(new, Classification):
        return old.target == new.target and set(old.labels) == set(new.labels)
    if isinstance(old, Regression) and isinstance(new, Regression):
        return (old.target, old.unit, old.quantile) == (new.target, new.unit, new.quantile)
    return False


def prediction_shift(
    old: Iterable[Prediction], new: Iterable[Prediction | None], cases: Iterable[str]
) -> PredictionShift | None:
    """Compare the answers of two models whose outputs are :func:`comparable`.

    Args:
        old: The answers of the old model.
        new: Those of the new one to the same requests; None where it refuses the request.
        cases: What the requests are called.

    Returns:
        None where no request is answered by both.
    """
    answered = [(case, before, after) for case, before, after in zip(cases, old, new, strict=True) if after is not None]
    if not answered:
        return None
    names, before, after = zip(*answered, strict=True)
    if "value" in before[0]:
        return _of_values([each["value"] for each in before], [each["value"] for each in after])
    return _of_decisions(names, before, after)


def exceeds_tolerance(movement: PredictionShift | None, tolerance: float) -> bool:
    """Whether behaviour moved by more than a patch may move it; what could not be compared has not.

    Args:
        movement: The difference between the old answers and the new ones.
        tolerance: What neither the share of flipped decisions nor the mean change of a request may exceed.
    """
    if movement is None:
        return False
    return max((movement.flips or 0) / movement.requests, movement.mean) > tolerance


def _of_decisions(cases: Sequence[str], old: Sequence[Prediction], new: Sequence[Prediction]) -> PredictionShift:
    pairs = list(zip(old, new, strict=True))
    flipped = [
        case for case, (before, after) in zip(cases, pairs, strict=True) if before["decision"] != after["decision"]
    ]
    changes = [_change(before["probabilities"], after["probabilities"]) for before, after in pairs]
    return PredictionShift(
        len(pairs), len(flipped), max(changes), fmean(changes), 1.0, tuple(flipped[:MAX_LISTED_CASES])
    )


def _change(old: Mapping[str, float], new: Mapping[str, float]) -> float:
    return max(abs(new[label] - probability) for label, probability in old.items())


def _of_values(old: Sequence[float], new: Sequence[float]) -> PredictionShift:
    scale = pstdev(old) or abs(old[0]) or 1.0
    changes = [abs(after - before) / scale for before, after in zip(old, new, strict=True)]
    return PredictionShift(len(changes), None, max(changes), fmean(changes), scale, ())
