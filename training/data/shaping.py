"""Shape a table before training: rename columns, add lags, choose rows, drop rows without a target."""

import numpy as np
import polars as pl

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.data import expression
from model_deployer.training.data.columns import canonical, is_readable, missing
from model_deployer.training.data.expression import ExpressionError
from model_deployer.training.data.expression_values import evaluate
from model_deployer.training.data.lag import Lag
from model_deployer.training.data.split import time_values
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


def lags(spec: Spec) -> tuple[Lag, ...]:
    """Return the columns of earlier values that the expressions of own features need.

    Raises:
        SpecError: if a lag is written wrongly, two have the same name, or ``data.time`` is missing.
    """
    by_name: dict[str, Lag] = {}
    for name, text in spec.expressions.items():
        location = spec.location("features", name, "expression")
        try:
            needed = expression.lags_of(text)
        except ExpressionError as error:
            raise SpecError(f"{location}: {error}") from None
        if needed and spec.data.time is None:
            raise SpecError(f"{location}: `lag` needs `data.time`, the column that orders the rows of a series")
        if needed and spec.data.rows_in_memory is not None:
            raise SpecError(f"{location}: `lag` cannot be combined with `data.rows_in_memory`")
        for lag in needed:
            if by_name.setdefault(lag.name, lag) != lag:
                raise SpecError(f"{location}: '{lag.name}' has another `by` in another expression; use one of them")
    return tuple(by_name.values())


def lag_sources(spec: Spec) -> set[str]:
    """Return the columns that :func:`lags` are computed from, apart from the time."""
    return {name for lag in lags(spec) for name in (lag.column, lag.by) if name is not None}


def add_lags(frame: pl.DataFrame, spec: Spec) -> tuple[pl.DataFrame, list[str]]:
    """Return a table with the columns of :func:`lags`, and notes about them.

    A value is null where the series does not reach so far back.

    Raises:
        SpecError: if a column is absent or not numeric, or the table has a column of the name already.
        DataError: if two rows of a series have the same time, or a row has none.
    """
    notes = []
    for lag in lags(spec):
        _check_lag(lag, frame, spec)
        series = [frame[lag.by].alias("series")] if lag.by else [pl.repeat(0, frame.height, eager=True).alias("series")]
        rows = pl.DataFrame([*series, time_values(frame[str(spec.data.time)]).alias("time")]).with_row_index("row")
        _check_times(rows, lag, spec)
        ordered = rows.sort("series", "time")
        values = frame[lag.column].gather(ordered["row"])
        earlier = ordered.with_columns(values.alias("value")).with_columns(
            pl.col("value").shift(lag.rows).over("series"), pl.col("time").diff().over("series").alias("step")
        )
        frame = frame.with_columns(earlier.sort("row")["value"].alias(lag.name))
        notes += _uneven(earlier["step"], lag)
    return frame, list(dict.fromkeys(notes))


def _check_lag(lag: Lag, frame: pl.DataFrame, spec: Spec) -> None:
    location = next(
        spec.location("features", name, "expression")
        for name, text in spec.expressions.items()
        if lag in expression.lags_of(text)
    )
    for name in filter(None, (lag.column, lag.by)):
        if name not in frame.columns:
            raise SpecError(f"{location}: the table has no column '{name}'{suggestion(name, frame.columns)}")
    if lag.name in frame.columns:
        raise SpecError(f"{location}: the table has a column '{lag.name}' already; rename it under `data.rename`")
    if not (frame[lag.column].dtype.is_numeric() or frame[lag.column].dtype == pl.Boolean):
        raise SpecError(f"{location}: '{lag.column}' does not hold numbers, so that it has no lag")


def _check_times(rows: pl.DataFrame, lag: Lag, spec: Spec) -> None:
    location, series = spec.location("data", "time"), f"of the same '{lag.by}' " if lag.by else ""
    if rows["time"].null_count():
        row = rows["time"].is_null().arg_max()
        raise DataError(f"{location}: row {row + 1} has no time, which `lag` needs")  # type: ignore[operator]
    is_repeated = rows.select(pl.struct("series", "time").is_duplicated()).to_series()
    if is_repeated.any():
        first = rows.filter(is_repeated).sort("series", "time", "row")["row"]
        advice = "leave one of them out" if lag.by else "name the column of the series, as in `lag(..., by=store)`"
        raise DataError(
            f"{location}: rows {first[0] + 1} and {first[1] + 1} {series}have the same time, so that `lag` does not "
            f"know which one comes first; {advice}"
        )


def _uneven(steps: pl.Series, lag: Lag) -> list[str]:
    """Return a note if the rows of a series are not evenly spaced in time."""
    steps = steps.drop_nulls()
    if steps.is_empty() or steps.min() == steps.max():
        return []
    share = float((steps != steps.mode()[0]).mean())
    return [
        f"lags of '{lag.column}' count rows, not days or hours: {share:.1%} of the times differ from the row before by "
        "another step than most"
    ]


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
