"""Rows that the contract accepts, and that the model itself does not answer with numbers."""

from collections.abc import Mapping

import numpy as np

from model_deployer.contract.errors import InvalidRows, Problem
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.rows.validation import MAX_LISTED_PROBLEMS

_NOT_A_NUMBER = "the answer of the model to this row is NaN or infinite; check whether its values are possible"


def require_numbers(outputs: Arrays) -> Arrays:
    """Return output tensors unchanged, [rows, n] each.

    Raises:
        InvalidRows: if a row has NaN or infinity in one of them. JSON has neither.
    """
    finite = {name: np.isfinite(array) for name, array in outputs.items()}
    if all(array.all() for array in finite.values()):
        return outputs
    is_answered = np.all([array.all(axis=1) for array in finite.values()], axis=0)
    raise refusal(dict.fromkeys(np.flatnonzero(~is_answered).tolist(), _NOT_A_NUMBER))


def refusal(messages: Mapping[int, str]) -> InvalidRows:
    """Return the error for rows that the model refuses.

    Args:
        messages: For the index of each row, why. It has no values of callers.
    """
    problems = [Problem(row, None, "refused_by_model", message) for row, message in messages.items()]
    return InvalidRows(problems[:MAX_LISTED_PROBLEMS], len(problems))
