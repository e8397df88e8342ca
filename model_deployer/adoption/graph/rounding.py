"""Round probabilities to float32 without a change of the decision that the source makes in double."""

import numpy as np

from model_deployer.adoption.graph.answer import Answer, binary, decided
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.graph_writer import GraphWriter

#: Rounding moves a probability by less than this. Where it contradicts the decision by more, the source contradicts
#: itself, as a support vector machine does whose votes and probabilities disagree; then it stays as it is.
_ROUNDING = 1e-6

#: A relative distance that is at least one step of float32.
_STEP = 2.5e-7


def rounded_probabilities(answer: Answer, graph: GraphWriter) -> str:
    """Return probabilities, double [rows, labels], that decide the same after they are rounded to float32.

    Args:
        answer: A classification with probabilities.
        graph: The graph to write.
    """
    assert answer.labels is not None
    probabilities, decision = Expression(graph, answer.prediction), decided(answer, graph)
    if len(answer.labels) == 2:
        return _on_its_side(probabilities.columns([1]), decision, answer.threshold).tensor
    return _above_the_others(probabilities, decision, len(answer.labels)).tensor


def _on_its_side(positive: Expression, decision: Expression, threshold: float) -> Expression:
    """Move the probability of the second label to its side of the threshold."""
    below = np.float32(threshold)
    if below > threshold:
        below = np.nextafter(below, np.float32(-np.inf))
    above = np.nextafter(below, np.float32(np.inf))
    chosen = decision.number() > 0.5
    moved = chosen.choose(positive.clip(float(above), None), positive.clip(None, float(below)))
    near = (positive - threshold).abs() < _ROUNDING
    return binary(near.choose(moved, positive))


def _above_the_others(probabilities: Expression, decision: Expression, count: int) -> Expression:
    """Move the probability of the decision above the other ones."""
    chosen = decision.number().equals(np.arange(count, dtype=np.float64).reshape(1, -1))
    others = chosen.choose(-1.0, probabilities).max()
    least = others * (1.0 + _STEP)
    moved = (probabilities < least) & (probabilities > others - _ROUNDING) & chosen
    return moved.choose(least, probabilities)
