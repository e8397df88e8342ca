"""The layout of captured traffic: the folders of a traffic store, and the columns of its Parquet files.

A traffic store is a folder, or a prefix of an object store. It holds five tables, each cut into Parquet files:

===============  ====================================================================================================
``traffic``      one line per captured row that was answered: what the model saw, and what it answered
``refusals``     one line per captured request that was refused: the error, and the fields and codes of its problems
``labels``       one line per label that came in: what really happened
``shadow``       one line per row that a candidate answered in the shadow of the model, with the outputs of both
``losses``       one line per server process that was killed: the number of captured rows that it had not written
===============  ====================================================================================================

A file is in ``TABLE/model=NAME/version=VERSION/date=YYYY-MM-DD/hour=HH/`` (the layout of Hive, which DuckDB, polars and
Spark read), except for labels, which belong to no version: ``labels/model=NAME/date=YYYY-MM-DD/``. All times are UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import CapturePolicy, Feature

#: The tables of a traffic store.
TableName = Literal["traffic", "refusals", "labels", "shadow", "losses"]

#: The columns of ``traffic`` that every model has, before those of its fields and outputs:
#: the request's id (text), the index of the row in the request (int64), the time of the answer (timestamp, UTC), the
#: protocol (text), the status (int64), whether a fallback answered (boolean), the time from request to answer in
#: milliseconds (float64), the number of rows that this one stands for (float64: 1 / the probability with which it was
#: captured), and the caller's own id of the row (text; null without ``serving.row_id``).
TRAFFIC_COLUMNS = (
    "request_id",
    "row",
    "time",
    "protocol",
    "status",
    "degraded",
    "milliseconds",
    "weight",
    "row_id",
)

#: The column of ``traffic`` with the name of the secret that hashes come from (text), if a field is captured as a hash.
HASH_SECRET = "hash_secret"

#: The columns of ``refusals``: the last two are texts, sorted and separated by commas. No value of a caller is in them,
#: and a field that the model does not have counts as ``other``.
REFUSAL_COLUMNS = ("request_id", "time", "protocol", "status", "code", "milliseconds", "fields", "problem_codes")

#: The columns of ``labels``. A label names its row by ``request_id`` and ``row``, or by ``row_id``. ``label`` is a
#: text, also that of a number. ``time`` is when it came to be known, ``received`` when it came in.
LABEL_COLUMNS = ("request_id", "row", "row_id", "label", "time", "received")

#: The columns of ``shadow``, before those of the outputs: ``output.NAME`` of the model, and ``candidate.NAME``. The
#: candidate is a tag. The result is ``same``, ``flip`` or ``refused``. The others are as in ``traffic``.
SHADOW_COLUMNS = (*TRAFFIC_COLUMNS, "candidate", "result")

#: The columns of ``losses``.
LOSS_COLUMNS = ("time", "worker", "rows")


def partition(table: TableName, model: str, time: datetime) -> str:
    """Return the folder of a Parquet file, relative to the traffic store.

    Args:
        table: The table.
        model: The tag of the model, ``name:version``.
        time: A time of the rows, with a UTC offset.
    """
    name, _, version = model.partition(":")
    utc = time.astimezone(UTC)
    if table == "labels":
        return f"labels/model={name}/date={utc:%Y-%m-%d}"
    return f"{table}/model={name}/version={version}/date={utc:%Y-%m-%d}/hour={utc:%H}"


def column_of(feature: Feature) -> str | None:
    """Return the column of ``traffic`` with a field; None if the field is not captured.

    ``input.NAME`` has the value, ``bin.NAME`` the name of its bin in reference.json, and ``hash.NAME`` a keyed hash.
    """
    prefix = _PREFIXES[feature.capture_policy]
    return prefix and f"{prefix}.{feature.name}"


def output_column(name: str) -> str:
    """Return the column of ``traffic`` with a column of a prediction, such as ``decision`` or ``value``."""
    return f"output.{name}"


def candidate_column(name: str) -> str:
    """Return the column of ``shadow`` with a column of the candidate's prediction."""
    return f"candidate.{name}"


def hashed_fields(contract: Contract) -> Sequence[Feature]:
    """Return the fields that are captured as a keyed hash."""
    return [feature for feature in contract.features if feature.capture_policy == "hash"]


_PREFIXES: dict[CapturePolicy, str | None] = {"keep": "input", "bin": "bin", "hash": "hash", "drop": None}
