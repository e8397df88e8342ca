"""The record batches of the tables that every model has: refusals, labels and losses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from arro3.core import Array, DataType, RecordBatch

from model_deployer.contract.traffic import LABEL_COLUMNS, LOSS_COLUMNS, REFUSAL_COLUMNS


class Refusal(NamedTuple):
    """A request that was refused. Its fields are the columns of the table, ``time`` in seconds since 1970."""

    request_id: str
    time: float
    protocol: str
    status: int
    code: str
    milliseconds: float
    fields: str
    problem_codes: str


class Loss(NamedTuple):
    """A worker that was killed. Its fields are the columns of the table, ``time`` in seconds since 1970."""

    time: float
    worker: str
    rows: int


def refusal_batch(refusals: Sequence[Refusal]) -> RecordBatch:
    """Return the record batch of refusals, at least one."""
    return _batch(REFUSAL_COLUMNS, [refusal._asdict() for refusal in refusals])


def loss_batch(losses: Sequence[Loss]) -> RecordBatch:
    """Return the record batch of losses, at least one."""
    return _batch(LOSS_COLUMNS, [loss._asdict() for loss in losses])


def label_batch(labels: Sequence[Mapping[str, Any]]) -> RecordBatch:
    """Return the record batch of labels, at least one, with ``time`` and ``received`` in seconds since 1970."""
    return _batch(LABEL_COLUMNS, labels)


def _batch(columns: Sequence[str], records: Sequence[Mapping[str, Any]]) -> RecordBatch:
    return RecordBatch.from_pydict({name: _array(name, [record[name] for record in records]) for name in columns})


def _array(name: str, values: list[Any]) -> Array:
    return _BUILDERS.get(name, _text)(values)


def _text(values: list[Any]) -> Array:
    return Array(values, type=DataType.utf8())


def _integer(values: list[Any]) -> Array:
    return Array(values, type=DataType.int64())


def _number(values: list[Any]) -> Array:
    return Array(values, type=DataType.float64())


def _time(values: list[Any]) -> Array:
    microseconds = [None if value is None else round(value * 1e6) for value in values]
    return _integer(microseconds).cast(DataType.timestamp("us", tz="UTC"))


#: How the columns are built that are not texts.
_BUILDERS: Mapping[str, Callable[[list[Any]], Array]] = {
    "time": _time,
    "received": _time,
    "row": _integer,
    "rows": _integer,
    "status": _integer,
    "milliseconds": _number,
}
