"""Turn captured rows into record batches of the table ``traffic``."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from arro3.core import Array, DataType, RecordBatch, list_array
from numpy.typing import NDArray

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Boolean, Datetime, Feature, Integer, NumberArray
from model_deployer.contract.field_hash import field_key, hash_value, secret_id
from model_deployer.contract.reference import (
    CountDistribution,
    Distribution,
    NormDistribution,
    Reference,
    counts,
    norms,
)
from model_deployer.contract.tensor_batch import shapes_of, unpadded
from model_deployer.contract.traffic import HASH_SECRET, column_of, output_column
from model_deployer.serving.capture.traffic_listener import AnsweredRequest
from model_deployer.serving.engines.batching import concatenate_columns
from model_deployer.serving.rows.columns import Columns
from model_deployer.serving.rows.decoding import Rows
from model_deployer.serving.rows.row_id import Ids

_TIME = DataType.timestamp("us", tz="UTC")
_LOCAL_TIME = DataType.timestamp("us")

T = TypeVar("T")


class TrafficTable:
    """Makes the record batches of one model.

    Args:
        contract: The contract of the model, with the policy of each field.
        reference: The bins of its fields; None if there are none. Fields with the policy ``bin`` are then left out.
        secret: The key of hashes; None if no field has the policy ``hash``.
        build_columns: Turns the rows of several requests into the graph's inputs.
        ids: Returns the callers' ids of rows; None if they have none.
    """

    def __init__(
        self,
        contract: Contract,
        reference: Reference | None,
        secret: bytes | None,
        build_columns: Callable[[Sequence[Rows]], Columns],
        ids: Callable[[Rows], Ids | None],
    ) -> None:
        self._output = contract.output
        self._build_columns = build_columns
        self._ids = ids
        self._secret_id = secret_id(secret) if secret else None
        self._encoders = dict(_encoders(contract.features, reference, secret or b""))

    def batch(self, requests: Sequence[AnsweredRequest]) -> RecordBatch:
        """Return the captured rows of requests of one hour, in the columns of :mod:`model_deployer.contract.traffic`.

        Args:
            requests: The requests, each with at least one captured row.
        """
        parts = [request.taken.taken_rows for request in requests]
        columns = self._build_columns(parts)
        outputs = concatenate_columns([request.taken.taken_outputs for request in requests])
        time = datetime.fromtimestamp(requests[0].taken.time, UTC)
        arrays: dict[str, Any] = request_arrays(requests, self._ids)
        arrays |= {name: encode(columns[field], time) for name, (field, encode) in self._encoders.items()}
        if self._secret_id:
            arrays[HASH_SECRET] = _texts([self._secret_id] * len(arrays["row"]))
        arrays |= {output_column(name): output_array(values) for name, values in self._output.columns(outputs).items()}
        return RecordBatch.from_pydict(arrays)


def request_arrays(requests: Sequence[AnsweredRequest], ids: Callable[[Rows], Ids | None]) -> dict[str, Array]:
    """Return the columns that every model has, with a value for each captured row.

    Args:
        requests: The requests, each with at least one captured row.
        ids: Returns the callers' ids of rows; None if they have none.
    """
    sizes = [request.taken.size for request in requests]

    def repeated(values: Iterable[T]) -> list[T]:
        return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]

    return {
        "request_id": _texts(repeated(request.request_id for request in requests)),
        "row": Array.from_numpy(
            np.concatenate([request.taken.sample.indices for request in requests]).astype(np.int64)
        ),
        "time": _integers(repeated(round(request.taken.time * 1e6) for request in requests)).cast(_TIME),
        "protocol": _texts(repeated(request.protocol for request in requests)),
        "status": _integers([200] * sum(sizes)),
        "degraded": Array(repeated(request.taken.degraded for request in requests), type=DataType.bool()),
        "milliseconds": Array(repeated(1000 * request.seconds for request in requests), type=DataType.float64()),
        "weight": Array.from_numpy(np.concatenate([request.taken.sample.weights for request in requests])),
        "row_id": _texts([row_id for request in requests for row_id in _row_ids(request, ids)]),
    }


def _row_ids(request: AnsweredRequest, ids: Callable[[Rows], Ids | None]) -> list[str | None]:
    row_ids = ids(request.taken.rows)
    if row_ids is None:
        return [None] * request.taken.size
    return [None if row_ids[index] is None else str(row_ids[index]) for index in request.taken.sample.indices.tolist()]


def output_array(values: Sequence[str | None] | NDArray[Any]) -> Array:
    """Return a column of predictions as an array of Arrow: texts, or numbers of [rows]."""
    if isinstance(values, np.ndarray):
        return Array.from_numpy(np.ascontiguousarray(values))
    return _texts(values)


# The encoders of fields: from the graph's input [rows, *shape] and the time of the request to an array of Arrow.

_Encoder = Callable[[NDArray[Any], datetime], Array]


def _encoders(
    features: Sequence[Feature], reference: Reference | None, secret: bytes
) -> Iterator[tuple[str, tuple[str, _Encoder]]]:
    distributions: Mapping[str, Distribution] = reference.features if reference else {}
    for feature in features:
        column, policy = column_of(feature), feature.capture_policy
        if column is None or (policy == "bin" and feature.name not in distributions):
            continue
        if policy == "bin":
            encoder = _bin_encoder(distributions[feature.name])
        else:
            encoder = _hash_encoder(feature, secret) if policy == "hash" else _value_encoder(feature)
        yield column, (feature.name, encoder)


def _value_encoder(feature: Feature) -> _Encoder:
    if isinstance(feature, NumberArray):
        return lambda values, _: _lists(values)
    if feature.dtype == "string":
        return lambda values, _: _texts([value or None for value in values[:, 0].tolist()])
    if isinstance(feature, Datetime):
        time_type = _TIME if feature.zoned else _LOCAL_TIME
        return lambda values, _: _integers(_whole(1e6 * values[:, 0])).cast(time_type)
    if isinstance(feature, Integer):
        return lambda values, _: _integers(_whole(values[:, 0]))
    if isinstance(feature, Boolean):
        return lambda values, _: Array(
            [None if value is None else bool(value) for value in _whole(values[:, 0])], type=DataType.bool()
        )
    return lambda values, _: _numbers(values[:, 0])


def _bin_encoder(distribution: Distribution) -> _Encoder:
    names = list(distribution.shares())

    def encode(values: NDArray[Any], _: datetime) -> Array:
        summary = _summary(distribution, values)
        return _texts([names[code] for code in distribution.codes(summary).tolist()])

    return encode


def _summary(distribution: Distribution, values: NDArray[Any]) -> NDArray[Any]:
    if isinstance(distribution, NormDistribution):
        return norms(values)
    return counts(values) if isinstance(distribution, CountDistribution) else values[:, 0]


def _hash_encoder(feature: Feature, secret: bytes) -> _Encoder:
    def encode(values: NDArray[Any], time: datetime) -> Array:
        key = field_key(secret, time, feature.name)
        if isinstance(feature, NumberArray):  # the padding depends on the other rows of a batch
            return _texts([None if value is None else hash_value(key, value.tolist()) for value in unpadded(values)])
        return _texts([hash_value(key, value) for value in values.reshape(len(values), -1).tolist()])

    return encode


def _texts(values: Sequence[str | None]) -> Array:
    return Array(values, type=DataType.utf8())


def _integers(values: Sequence[int | None]) -> Array:
    return Array(values, type=DataType.int64())


def _numbers(values: NDArray[np.float64]) -> Array:
    if not np.isnan(values).any():
        return Array.from_numpy(np.ascontiguousarray(values))
    return Array([None if math.isnan(value) else value for value in values.tolist()], type=DataType.float64())


def _whole(values: NDArray[np.float64]) -> list[int | None]:
    return [None if math.isnan(value) else round(value) for value in values.tolist()]


def _lists(values: NDArray[np.float64]) -> Array:
    """Return the numbers of each row in nested lists, null for a missing row. NaN fills the places after the ends."""
    shapes = shapes_of(values)
    flat = Array.from_numpy(np.ascontiguousarray(values[~np.isnan(values)]))
    for axis in reversed(range(1, shapes.shape[1])):
        lists = np.repeat(shapes[:, axis], shapes[:, :axis].prod(axis=1))
        flat = list_array(Array.from_numpy(_ends(lists)), flat)
    mask = Array.from_numpy(np.asarray(shapes[:, 0] == 0))
    return list_array(Array.from_numpy(_ends(shapes[:, 0])), flat, mask=mask)


def _ends(lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the offsets of lists of these lengths in an array of Arrow."""
    return np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
