"""What the outputs of a network mean: probabilities, logits or a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import CheckFailed, UsageError
from model_deployer.contract.source_runner import Meaning, NetworkAnswer

#: How far from 1 the sum of probabilities may be; float16 keeps three digits, float32 seven.
SUM_TOLERANCE = 1e-4

#: Pairs of values of a target; a single probability is that of the second one.
_ORDERED = {("0", "1"), ("false", "true")}


@dataclass(frozen=True)
class Stated:
    """What is known of the outputs of a network without its answers.

    Attributes:
        labels: The classes that the network names, in its order.
        names: What model.yaml calls the classes.
        meaning: What model.yaml says of the outputs.
        has_targets: Whether model.yaml names several targets.
        classes: The two values of the target in the table, as texts, in ascending order; None if it has others.
    """

    labels: Sequence[str] | None
    names: Sequence[str] | None
    meaning: Meaning | Literal["embedding"] | None
    has_targets: bool = False
    classes: tuple[str, str] | None = None

    @property
    def are_values(self) -> bool:
        """Whether the numbers are answers as they are, however many there are."""
        return self.has_targets or self.meaning in ("value", "embedding")


@dataclass(frozen=True)
class ReadAnswer:
    """What the outputs of a network mean.

    Attributes:
        answer: Which output counts, and what it means.
        labels: The classes; None if the numbers are values.
        width: The number of its numbers for each row.
    """

    answer: NetworkAnswer
    labels: tuple[str, ...] | None
    width: int


def read_answer(tensors: Mapping[str, NDArray[Any]], stated: Stated, fields: Sequence[int]) -> ReadAnswer:
    """Return which output counts and what it means, and the classes; the values decide what is not stated.

    Args:
        tensors: The outputs for some rows, [rows, ...] each, in their order.
        stated: What is known of them.
        fields: The number of fields of each input.

    Raises:
        CheckFailed: if there are several outputs, or the values do not show what they mean.
        UsageError: if model.yaml contradicts the outputs.
    """
    names = list(tensors)
    decisions = [name for name in names if _is_decision(tensors[name], len(names))]
    answers = [name for name in names if name not in decisions]
    if len(answers) != 1:
        raise CheckFailed(
            f"the network has the outputs {', '.join(names)}, and one of numbers is needed: export it with one"
        )
    values = np.asarray(tensors[answers[0]], np.float64)
    values = values.reshape(len(values), -1)
    meaning: Meaning = "value" if stated.are_values else _meaning(values, stated)
    labels = None if meaning == "value" else _labels(values, stated)
    answer = NetworkAnswer(
        tensor=answers[0],
        position=names.index(answers[0]),
        meaning=meaning,
        is_single=values.shape[1] == 1,
        decision=decisions[0] if decisions and labels is not None else None,
        fields=tuple(fields),
        labels=tuple(stated.labels or labels or ()),
        names=labels or (),
    )
    return ReadAnswer(answer, labels, values.shape[1])


def _is_decision(values: NDArray[Any], count: int) -> bool:
    """Return whether an output is the class that the network decides for: texts or whole numbers, next to others."""
    return values.dtype.kind in "OUS" or (count > 1 and values.dtype.kind in "iub")


def _meaning(values: NDArray[np.float64], stated: Stated) -> Meaning:
    if stated.meaning in ("probabilities", "logits"):
        return stated.meaning
    shares = values[np.isfinite(values).all(axis=1)]
    is_share = bool(len(shares)) and bool(((shares >= 0) & (shares <= 1)).all())
    if values.shape[1] == 1:
        if stated.labels is None and stated.names is None and stated.classes is None:
            return "value"
        if is_share:
            return "probabilities"
        if stated.classes is not None:
            raise CheckFailed(
                f"the network gives one number for each row that is not a probability, and the target has the values "
                f"{' and '.join(stated.classes)}: add `outputs: logits` under `adopt` if a logistic function makes a "
                f"probability of it, or `outputs: value` if it is a quantity"
            )
    elif is_share and np.allclose(shares.sum(axis=1), 1, atol=SUM_TOLERANCE):
        return "probabilities"
    raise CheckFailed(
        f"the network gives {values.shape[1]} numbers for each row that are not probabilities: add `outputs: logits` "
        f"under `adopt` if a softmax or a logistic function makes probabilities of them, `outputs: embedding` if they "
        f"are one vector, or their names under `data.targets` if they are several quantities"
    )


def _labels(values: NDArray[np.float64], stated: Stated) -> tuple[str, ...]:
    count = max(2, values.shape[1])
    for names, place in ((stated.names, "`adopt.labels` has"), (stated.labels, "the network names")):
        if names is not None and len(names) != count:
            raise UsageError(f"{place} {len(names)} classes, but the network gives {count} probabilities")
    return tuple(stated.names or stated.labels or _classes(values, stated) or map(str, range(count)))


def _classes(values: NDArray[np.float64], stated: Stated) -> tuple[str, str] | None:
    """Return the classes of the table for a network with one number, whose order is that of 0 and 1."""
    if values.shape[1] > 1 or stated.classes is None:
        return None
    if stated.classes not in _ORDERED:
        raise CheckFailed(
            f"the network gives one probability, and does not name its class: the target has "
            f"{' and '.join(stated.classes)}. Add both as `labels: [...]` under `adopt`, that of a number near 1 last"
        )
    return stated.classes
