"""The decisions of a classification on the test rows: right and wrong ones by label, and the costs of others."""

import math

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.evaluation import ConstantDecision, Decisions, LabelDecisions, ThresholdDecisions
from model_deployer.contract.outputs import Classification
from model_deployer.training.evaluation.costs import constant_cost, error_costs
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.spec import Cost

#: The largest number of labels of a confusion matrix; a larger one is not read.
MAX_MATRIX_LABELS = 12

#: The thresholds that are compared, in addition to that of the model.
THRESHOLDS = tuple(round(step / 10, 1) for step in range(1, 10))

#: The relative difference up to which two thresholds are the same: that of a source is the next number in float32.
_SAME_THRESHOLD = 1e-6


def decisions(scored: ScoredRows, cost: Cost) -> Decisions | None:
    """Return the decisions on the rows; None for a quantity.

    Args:
        scored: The model and the test rows.
        cost: The costs of the two errors, for a decision between two labels.
    """
    output = scored.output
    if not isinstance(output, Classification):
        return None
    codes = {label: code for code, label in enumerate(output.labels)}
    decided = np.array([codes[label] for label in output.decisions(scored.answers)], dtype=np.int64)
    matrix = np.zeros((len(output.labels), len(output.labels)))
    np.add.at(matrix, (scored.target, decided), scored.weights)
    labels = tuple(
        LabelDecisions(
            label=label,
            rows=float(matrix[code].sum()),
            decided=float(matrix[:, code].sum()),
            right=float(matrix[code, code]),
        )
        for label, code in codes.items()
    )
    if output.threshold is None:
        return Decisions(labels=labels, matrix=_rows(matrix))
    return Decisions(
        labels=labels,
        matrix=_rows(matrix),
        false_positive=cost.false_positive,
        false_negative=cost.false_negative,
        **({} if cost.training is None else {"training": cost.training}),
        constants=_constants(scored, output, cost),
        thresholds=_thresholds(scored, output.threshold, cost),
    )


def _rows(matrix: Floats) -> tuple[tuple[float, ...], ...] | None:
    return tuple(map(tuple, matrix.tolist())) if len(matrix) <= MAX_MATRIX_LABELS else None


def _constants(scored: ScoredRows, output: Classification, cost: Cost) -> tuple[ConstantDecision, ...]:
    constants = [
        ConstantDecision(
            label=label,
            accuracy=float(np.average(scored.target == code, weights=scored.weights)),
            cost=constant_cost(scored.target, scored.weights, code == 1, cost),
        )
        for code, label in enumerate(output.labels)
    ]
    return tuple(sorted(constants, key=lambda constant: constant.cost))


def _thresholds(scored: ScoredRows, threshold: float, cost: Cost) -> tuple[ThresholdDecisions, ...]:
    probabilities = scored.answers["probabilities"][:, 1]
    others = [each for each in THRESHOLDS if not math.isclose(each, threshold, rel_tol=_SAME_THRESHOLD)]
    compared = sorted([*others, threshold])
    return tuple(_with_threshold(scored, probabilities, each, cost) for each in compared)


def _with_threshold(
    scored: ScoredRows, probabilities: NDArray[np.float32], threshold: float, cost: Cost
) -> ThresholdDecisions:
    positive, truth, weights = probabilities >= np.float32(threshold), scored.target == 1, scored.weights
    decided, true, right = (float(weights[rows].sum()) for rows in (positive, truth, positive & truth))
    return ThresholdDecisions(
        threshold=threshold,
        share=decided / float(weights.sum()),
        precision=right / decided if decided else None,
        recall=right / true if true else None,
        cost=float(np.average(error_costs(scored.target, positive, cost), weights=weights)),
    )
