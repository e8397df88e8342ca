"""The last tensors of a graph: what a model predicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.unsupported import UnsupportedModel


@dataclass(frozen=True)
class Answer:
    """The prediction of a model.

    Attributes:
        tensor: For a classification the probabilities, double [rows, labels]; for a regression the values [rows,
            targets]. None for a model that decides without probabilities; it has scores.
        labels: The classes in the order of the columns, as the source has them (texts, numbers, booleans); None for a
            regression.
        scores: What a meta-estimator reads in place of the probabilities, as ``decision_function`` gives it, double
            [rows, 1] for two labels or [rows, labels]; None if the source has none.
        threshold: With two labels, the source decides for the second one if its probability is above this; without
            probabilities, if the score is above this.
        decision: The position of the label that the source decides for, int64 [rows, 1]; None if the threshold, or
            with more labels the largest probability or score, is the decision.
        targets: The number of targets of a regression.
    """

    tensor: str | None
    labels: Sequence[Any] | None = None
    scores: str | None = None
    threshold: float = 0.5
    decision: str | None = None
    targets: int = 1

    @property
    def prediction(self) -> str:
        """The probabilities, or the value of a regression.

        Raises:
            UnsupportedModel: if the model has scores alone, or several targets.
        """
        if self.targets > 1:
            raise UnsupportedModel("a part of the model has several targets, but the model reads one value")
        if self.tensor is None:
            raise UnsupportedModel("a part of the model decides without probabilities, but the model reads them")
        return self.tensor


def binary(positive: Expression) -> Expression:
    """Return the probabilities of two labels from that of the second one, double [rows, 2]."""
    return concat([1.0 - positive, positive])


def decided(answer: Answer, graph: GraphWriter) -> Expression:
    """Return the position of the label that a classification decides for, int64 [rows, 1]."""
    assert answer.labels is not None
    if answer.decision is not None:
        return Expression(graph, answer.decision)
    tensor = answer.tensor or answer.scores
    assert tensor is not None
    values = Expression(graph, tensor)
    if len(answer.labels) > 2:
        return values.argmax()
    positive = values.columns([1]) if answer.tensor else values
    return (positive > answer.threshold).integer()
