"""The values that may be categories of a model whose file has only hashes of them."""

from pathlib import Path

import polars as pl

from model_deployer.training.data.columns import canonical, holds_integers
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import Spec


def possible_categories(spec: Spec, folder: Path) -> dict[str, list[str]]:
    """Return texts by column: the categories that model.yaml lists, and the texts and whole numbers of the table.

    Args:
        spec: The model.yaml.
        folder: Its folder.

    Raises:
        DataError: if the table cannot be read.
    """
    texts = {name: [str(value) for value in override.categories or ()] for name, override in spec.features.items()}
    frame = read_table(spec, folder).frame if spec.data.has_table else pl.DataFrame()
    for column in frame:
        if not column.dtype.is_float() or holds_integers(column):
            values = canonical(column, "categorical").drop_nulls().unique(maintain_order=True)
            texts[column.name] = [*texts.get(column.name, ()), *values.to_list()]
    return texts
