"""The labelled rows of captured traffic, as a table that evaluates or trains a model."""

import polars as pl

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.outputs import Classification, VectorOutput
from model_deployer.contract.traffic import column_of
from model_deployer.monitoring.traffic.traffic import Traffic
from model_deployer.training.data.labelled_rows import LabelledRows

_TIME, _WEIGHT = "captured_at", "captured_weight"


def labelled_rows(traffic: Traffic, contract: Contract) -> LabelledRows:
    """Return the rows that have a label.

    Args:
        traffic: The captured traffic of a model.
        contract: The contract of the version that the rows are for.

    Raises:
        UsageError: if the model answers several numbers.
        DataError: if the traffic lacks a field, or no row has a label.
    """
    if isinstance(contract.output, VectorOutput):
        raise UsageError(f"'{traffic.name}' answers several numbers, and no labels are taken for them")
    columns = {feature.name: column_of(feature) for feature in contract.features}
    not_kept = [feature.name for feature in contract.features if feature.capture_policy != "keep"]
    if not_kept:
        raise DataError(
            f"the traffic does not have the values of {', '.join(map(repr, not_kept))}: their `capture` is not `keep`"
        )
    absent = [name for name, column in columns.items() if column not in traffic.rows.columns]
    if absent:
        raise DataError(
            f"the traffic does not have {', '.join(map(repr, absent))}: it was captured by versions without these "
            "fields; choose a later `--since`"
        )
    rows = traffic.rows.filter(pl.col("label").is_not_null())
    if rows.is_empty():
        raise DataError(
            f"no captured row of '{traffic.name}' has a label; send labels to POST /feedback, or `deployer labels FILE`"
        )
    target, time, weight = _unused(contract, contract.output.target, _TIME, _WEIGHT)
    label = pl.col("label") if isinstance(contract.output, Classification) else pl.col("label").cast(pl.Float64)
    frame = rows.select(
        *(pl.col(str(column)).alias(name) for name, column in columns.items()),
        label.alias(target),
        pl.col("time").alias(time),
        pl.col("weight").alias(weight),
    )
    return LabelledRows(frame, target, time, weight)


def _unused(contract: Contract, *names: str) -> list[str]:
    """Return names of columns that no field has."""
    return [f"{name}_" if name in contract.names else name for name in names]
