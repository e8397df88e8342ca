"""Predictions for rows with one changed column."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays
from model_deployer.training.evaluation.scored_rows import ScoredRows

#: The maximum number of values and pixels in all calls of the model together: about ten seconds of a network on two
#: cores.
MAX_VALUES = 10_000_000

#: The maximum and the minimum number of rows, for any number of columns.
MAX_ROWS, MIN_ROWS = 5_000, 10

#: The maximum number of rows in one call of the model, so that many columns of few rows take few calls and every call
#: fits into memory.
MAX_ROWS_PER_CALL = 16_384


def affordable_rows(scored: ScoredRows, changes: int) -> int:
    """Return the number of rows that the model can predict with this number of changes within about ten seconds."""
    values = max(1, changes) * max(10, sum(feature.elements for feature in scored.features))
    return min(max(MAX_VALUES // values, MIN_ROWS), MAX_ROWS)


def perturbed(
    scored: ScoredRows, features: Sequence[Feature], change: Callable[[pl.Series], pl.Series], copies: int = 1
) -> Iterator[tuple[Feature, Arrays]]:
    """Yield each feature with the predictions for the rows after only its column is changed.

    Args:
        scored: The model and the rows.
        features: The features whose columns are changed, one at a time.
        change: Returns the values of the changed column for all copies, of length rows * copies, from the column.
        copies: The number of copies of the rows.

    Yields:
        The feature, and the graph's output tensors, float32 [rows * copies, ...], one copy after the other.
    """
    block = len(scored) * copies
    features_per_call = max(1, MAX_ROWS_PER_CALL // block)
    for first in range(0, len(features), features_per_call):
        batch = features[first : first + features_per_call]
        columns = [change(scored.frame[feature.name]) for feature in batch]
        answers = scored.predict(_stacked(scored.frame, columns, copies))
        for index, feature in enumerate(batch):
            yield feature, {name: array[index * block : (index + 1) * block] for name, array in answers.items()}


def _stacked(frame: pl.DataFrame, columns: Sequence[pl.Series], copies: int) -> pl.DataFrame:
    """Return one block per changed column, below each other: copies of the frame with this column."""
    block = frame.height * copies
    stacked = pl.concat([frame] * (copies * len(columns)), rechunk=True)
    return stacked.with_columns(
        pl.concat([stacked[column.name][: index * block], column, stacked[column.name][(index + 1) * block :]])
        for index, column in enumerate(columns)
    )
