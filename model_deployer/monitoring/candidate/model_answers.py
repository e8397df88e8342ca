"""The answers of a model to rows as callers send them, in this process."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import Problem
from model_deployer.contract.outputs import Arrays, Output
from model_deployer.serving.engines.offline import OfflineModel

#: The rows that are validated and answered at a time.
_SLICE_ROWS = 4096


@dataclass(frozen=True)
class ModelAnswers:
    """The answers to rows.

    Attributes:
        outputs: The graph's output tensors, float32 [rows, n] each; NaN in rows that are not answered.
        accepted: Which rows are answered, bool [rows].
        refused: Which rows are refused, bool [rows]. A row that got no answer is neither.
        problems: Why a row is refused, by its index.
    """

    outputs: Arrays
    accepted: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    problems: Mapping[int, Sequence[Problem]]


def ask(artifact: Artifact, rows: Sequence[Mapping[str, Any]], *, ignores_unknown: bool = False) -> ModelAnswers:
    """Ask a model about rows as callers send them, with the validation of its contract.

    Args:
        artifact: The model.
        rows: JSON objects.
        ignores_unknown: Whether fields that the model does not have are left out; otherwise they are refused.

    Raises:
        ArtifactError: if the model does not reproduce its golden predictions on this machine.
    """
    outputs = empty_outputs(artifact.contract.output, len(rows))
    accepted = np.zeros(len(rows), np.bool_)
    problems: dict[int, Sequence[Problem]] = {}
    with closing(OfflineModel(artifact.require_servable(), ignores_unknown=ignores_unknown)) as model:
        model.check_golden()
        for start in range(0, len(rows), _SLICE_ROWS):
            answers = model.answer(rows[start : start + _SLICE_ROWS])
            numbers = start + np.flatnonzero(answers.accepted)
            accepted[numbers] = True
            for name, array in answers.outputs.items():
                outputs[name][numbers] = array
            problems |= {start + row: of_row for row, of_row in answers.problems.items()}
    return ModelAnswers(outputs, accepted, ~accepted, problems)


def empty_outputs(output: Output, rows: int) -> dict[str, NDArray[np.float32]]:
    """Return output tensors of rows without an answer: NaN."""
    return {name: np.full((rows, output.width), np.nan, np.float32) for name in output.tensors}
