"""Tables in memory, of whatever library, as frames of polars."""

from typing import Any

import polars as pl

from model_deployer.contract.errors import DataError

#: The kinds of numpy dtypes that polars reads as they are: booleans, integers, floats and times.
_PLAIN_KINDS = "biufM"


def is_pandas(data: Any) -> bool:
    """Return whether a table is a DataFrame of pandas, without importing pandas."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


def to_polars(data: Any) -> pl.DataFrame:
    """Return a table as a frame of polars.

    Args:
        data: A DataFrame or LazyFrame of polars, a DataFrame of pandas, whose index is left out, a table of Arrow or of
            another library with the PyCapsule interface of Arrow, a mapping of columns, or a list of rows as mappings.

    Raises:
        DataError: if it is something else, or the values of a column do not have one type.
    """
    try:
        if isinstance(data, pl.LazyFrame):
            return data.collect()
        if is_pandas(data):
            return pl.DataFrame([_pandas_column(str(name), data[name]) for name in data.columns])
        if isinstance(data, list):
            return pl.DataFrame(data, infer_schema_length=None)
        return pl.DataFrame(data)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        kind = type(data).__name__
        reason = str(error).splitlines()[0].split(":")[0] if str(error) else ""  # the rest may quote the data
        raise DataError(
            f"the data of type {kind} cannot be read as a table: {reason}; pass a DataFrame of polars or pandas, or an "
            f"Arrow table"
        ) from None


def like(frame: pl.DataFrame, data: Any) -> Any:
    """Return a frame as a DataFrame of pandas with the index of ``data`` if that is one, else unchanged."""
    if not is_pandas(data):
        return frame
    columns = {
        column.name: column.to_list() if column.null_count() or column.dtype == pl.String else column.to_numpy()
        for column in frame
    }
    return type(data)(columns, index=data.index)


def _pandas_column(name: str, column: Any) -> pl.Series:
    """Convert a column without pyarrow, which pandas and polars would need for text."""
    zone = getattr(column.dtype, "tz", None)
    if zone is not None:
        return pl.Series(name, column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()).dt.replace_time_zone("UTC")
    if getattr(column.dtype, "kind", "O") in _PLAIN_KINDS and not hasattr(column.dtype, "na_value"):
        return pl.Series(name, column.to_numpy())
    values = column.astype(object)
    return pl.Series(name, values.where(column.notna(), None).tolist(), strict=True)
