"""The columns of the table that are not fields, and the times and groups of the parts."""

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import PartPeriod, TableRoles
from model_deployer.contract.number_format import plain, since_epoch
from model_deployer.training.data.columns import canonical
from model_deployer.training.data.split import Parts, time_values
from model_deployer.training.spec import Data


def table_roles(frame: pl.DataFrame, parts: Parts, data: Data) -> TableRoles:
    """Return the roles of the columns that are not fields.

    Args:
        frame: The table.
        parts: The rows of each part.
        data: The section ``data`` of model.yaml.
    """
    return TableRoles(
        time=data.time,
        group=data.group,
        weight=data.weight,
        ignored=data.ignore,
        periods=_periods(frame[data.time], parts) if data.time in frame.columns else {},
        groups=_groups(frame[data.group], parts) if data.group in frame.columns else {},
    )


def _periods(column: pl.Series, parts: Parts) -> dict[str, PartPeriod]:
    times, to_text = time_values(column), plain if column.dtype.is_numeric() else since_epoch
    by_part = {name: times[rows].drop_nulls().to_numpy() for name, rows in vars(parts).items()}
    return {
        name: PartPeriod(first=to_text(float(np.min(values))), last=to_text(float(np.max(values))))
        for name, values in by_part.items()
        if len(values)
    }


def _groups(column: pl.Series, parts: Parts) -> dict[str, int]:
    groups = canonical(column, "categorical")
    return {name: groups[rows].drop_nulls().n_unique() for name, rows in vars(parts).items()}
