"""A model's answers to rows in which one column was changed."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays
from model_deployer.training.evaluation.scored_rows import ScoredRows

#: Values that all calls of the model may take together: about ten seconds of a network on two cores.
MOST_VALUES = 10_000_000

#: The most rows, and the fewest, however many columns there are.
MOST_ROWS, FEWEST_ROWS = 5_000, 10

#: Rows in one call of the model: many columns of few rows take few calls, and every call fits into memory.
ROWS_A_CALL = 16_384


def affordable_rows(exam: ScoredRows, changes: int) -> int:
    """How many rows the model can be asked for in so many versions, without ever taking long."""
    values = max(1, changes) * max(10, len(exam.features))
    return min(max(MOST_VALUES // values, FEWEST_ROWS), MOST_ROWS)


def perturbed(
    exam: ScoredRows, features: Sequence[Feature], change: Callable[[pl.Series], pl.Series], copies: int = 1
) -> Iterator[tuple[Feature, Arrays]]:
    """For each feature the answers to the rows, so many copies of them, once that column is changed and no other.

    Args:
        exam: The model and the rows.
        features: Whose columns are changed.
        change: From the column to what stands in its place in all copies, one after the other.
        copies: How often each row is asked for.
    """
    block = len(exam) * copies
    together = max(1, ROWS_A_CALL // block)
    for first in range(0, len(features), together):
        some = features[first : first + together]
        answers = exam.predict(_stacked(exam.frame, [change(exam.frame[feature.name]) for feature in some], copies))
        for place, feature in enumerate(some):
            yield feature, {name: array[place * block : (place + 1) * block] for name, array in answers.items()}


def _stacked(frame: pl.DataFrame, changed: Sequence[pl.Series], copies: int) -> pl.DataFrame:
    """For each changed column a block of copies of the frame with it, one below the other."""
    block = frame.height * copies
    whole = pl.concat([frame] * (copies * len(changed)), rechunk=True)
    return whole.with_columns(
        pl.concat([whole[column.name][: place * block], column, whole[column.name][(place + 1) * block :]])
        for place, column in enumerate(changed)
    )
