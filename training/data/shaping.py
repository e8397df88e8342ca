"""Shape a table before training: rename columns, choose rows, drop rows without a target."""

import numpy as np
import polars as pl

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.data import expression
from model_deployer.training.data.columns import canonical, is_readable, missing
from model_deployer.training.data.expression import ExpressionError
from model_deployer.training.data.expression_values import evaluate
from model_deployer.training.spec import Spec


def rename(frame: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """Return a table with the names of ``data.rename``.

    Raises:
        SpecError: if a column is absent, or two columns would have the same name.
    """
    for name in spec.data.rename:
        if name not in frame.columns:
            location = spec.location("data", "rename", name)
            raise SpecError(f"{location}: the table has no column '{name}'{suggestion(name, frame.columns)}")
    names = [spec.data.rename.get(name, name) for name in frame.columns]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SpecError(f"{spec.location('data', 'rename')}: two columns would be called '{repeated[0]}'")
    return pl.DataFrame(dict(zip(names, frame.get_columns(), strict=True)))


def select_rows(frame: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """Return the rows that ``data.where`` and ``data.drop_missing_target`` leave.

    Raises:
        SpecError: if ``where`` is not a condition over the columns.
        DataError: if no row is left.
    """
    rows = frame.height
    if spec.data.where is not None:
        frame = frame.filter(_condition(frame, spec))
    if spec.data.drop_missing_target:
        frame = frame.filter(~missing(frame[spec.data.target]))
    if not frame.height:
        raise DataError(f"{spec.location('data', 'where')}: none of the {rows:,} rows of the table is left")
    return frame


def _condition(frame: pl.DataFrame, spec: Spec) -> pl.Series:
    kinds = {column.name: _kind(column) for column in frame if is_readable(column)}
    try:
        root = expression.parse(str(spec.data.where), kinds)
    except ExpressionError as error:
        raise SpecError(f"{spec.location('data', 'where')}: {error}") from None
    if root.type != "boolean" or any(node.operation == "table" for node in root.walk()):
        location = spec.location("data", "where")
        raise SpecError(f"{location}: expected a condition, such as `price > 0 and state == 'NY'`")
    columns = {name: canonical(frame[name], kinds[name]) for name in root.columns}
    conformed = pl.DataFrame(
        {
            name: column.fill_null("") if column.dtype == pl.String else column.fill_null(float("nan"))
            for name, column in columns.items()
        }
    )
    return pl.Series(np.asarray(evaluate(root, conformed, ())) == 1)


def _kind(column: pl.Series) -> str:
    if column.dtype == pl.Boolean:
        return "boolean"
    if column.dtype.is_numeric():
        return "numeric"
    return "datetime" if column.dtype.is_temporal() else "categorical"
