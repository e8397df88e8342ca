"""The lags that a table to predict lacks, from its own rows: the table is a history, as that of the training was."""

from collections.abc import Callable, Collection

import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.prediction.training_table import training_spec
from model_deployer.training.data.shaping import add_lags, lag_sources, lags
from model_deployer.training.data.values import raise_questions, read_values


def lag_columns(
    artifact: Artifact, columns: Collection[str], read: Callable[[list[str]], pl.DataFrame]
) -> pl.DataFrame:
    """Return the columns of earlier values that a table lacks and its other columns determine.

    Args:
        artifact: The model.
        columns: The columns of the table.
        read: Reads some of them, for all rows of the table.

    Returns:
        One row for each row of the table; no column if there is nothing to add.

    Raises:
        DataError: if two rows of a series have the same time, a row has none, or values can be read in several ways.
        SpecError: if a column does not hold numbers.
    """
    spec = training_spec(artifact)
    absent = [lag.name for lag in lags(spec) if lag.name not in columns]
    needed = {str(spec.data.time), *lag_sources(spec)}
    if not absent or not needed <= set(columns):
        return pl.DataFrame()
    values = read_values(read(sorted(needed)), spec, is_untyped=True)
    raise_questions(values.questions)
    return add_lags(values.frame, spec)[0].select(absent)
