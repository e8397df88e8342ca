"""The last tensors of a graph: what a model predicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The prediction of a model.

    Attributes:
        tensor: For a classification the probabilities, double [rows, labels]; for a regression the value [rows, 1].
        labels: The classes in the order of the columns, as the source has them (texts, numbers, booleans); None for a
            regression.
        scores: What a meta-estimator reads in place of the probabilities, as ``decision_function`` gives it, double
            [rows, 1] for two labels or [rows, labels]; None if the source has none.
        threshold: With two labels, the source decides for the second one if its probability is above this.
    """

    tensor: str
    labels: Sequence[Any] | None = None
    scores: str | None = None
    threshold: float = 0.5
