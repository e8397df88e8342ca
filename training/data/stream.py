"""Stream the training rows that are not in memory from Parquet files, one chunk at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Feature
from model_deployer.training.data.columns import canonical
from model_deployer.training.data.features import conform
from model_deployer.training.data.split import Parts, method, time_values, validation_start
from model_deployer.training.data.table import Table
from model_deployer.training.data.target import Target, streamed_target, streamed_weights
from model_deployer.training.data.values import apply_formats
from model_deployer.training.reading.parquet_chunks import ParquetChunk, rows_within
from model_deployer.training.spec import Spec


@dataclass(frozen=True)
class StreamedRows:
    """Training rows that were read from one chunk.

    Attributes:
        frame: The features in the form of the graph's inputs, as :func:`training.data.features.conform` returns them.
        target: The target of each row [rows]: int64 codes of classes, or float64 values.
        weights: The weight of each row, float64 [rows], on the scale of the rows in memory; None if all rows weigh
            the same.
    """

    frame: pl.DataFrame
    target: NDArray[Any]
    weights: NDArray[np.float64] | None


@dataclass(frozen=True)
class Stream:
    """The rows of Parquet files that belong to the training part and are not in memory.

    Attributes:
        chunks: The chunks of the files.
        columns: The columns of the table.
        features: The features of the model.
        spec: The model.yaml.
        labels: The classes; None for regression.
        sampled_rows: The numbers of the rows in memory, int64, ascending, counted from 0 within the table.
        validation_start: For a split by time, the first instant of the validation part.
        held_out_groups: For a split by group, the groups of the validation and the test part.
        mean_weight: The mean weight of the rows in memory, on the scale of the weight column.
        rows: The number of training rows that are not in memory.
        min_target: The lowest target among them.
    """

    chunks: tuple[ParquetChunk, ...]
    columns: tuple[str, ...]
    features: tuple[Feature, ...]
    spec: Spec
    labels: tuple[str, ...] | None
    sampled_rows: NDArray[np.int64]
    validation_start: float | None = None
    held_out_groups: tuple[str, ...] | None = None
    mean_weight: float = 1.0
    rows: int = 0
    min_target: float = np.inf

    def read(self, chunk: ParquetChunk) -> StreamedRows:
        """Read the training rows of a chunk; there may be none.

        Raises:
            DataError: if the file is damaged, or a value of any row of the chunk cannot be used; the message counts
                rows from 1.
        """
        frame = apply_formats(chunk.read(self.columns), self.spec, chunk.first)
        rows = np.flatnonzero(self._is_for_training(frame, chunk))
        target = streamed_target(frame, self.spec, self.labels, chunk.first)
        weights = streamed_weights(frame, self.spec, chunk.first)
        conformed = conform(frame, self.features, chunk.first)
        return StreamedRows(
            conformed[rows], target[rows], None if weights is None else weights[rows] / self.mean_weight
        )

    def _is_for_training(self, frame: pl.DataFrame, chunk: ParquetChunk) -> NDArray[np.bool_]:
        data = self.spec.data
        mask = np.ones(frame.height, bool)
        mask[rows_within(chunk, self.sampled_rows)] = False
        if self.validation_start is not None:
            mask &= _require_values(time_values(frame[str(data.time)]), chunk).to_numpy() < self.validation_start
        if self.held_out_groups is not None:
            groups = _require_values(canonical(frame[str(data.group)], "categorical"), chunk)
            mask &= ~groups.is_in(self.held_out_groups).to_numpy()
        return mask


def open_stream(table: Table, target: Target, parts: Parts, features: Sequence[Feature], spec: Spec) -> Stream:
    """Read the whole table once to check every value, and return the stream of its training rows.

    Args:
        table: A table with rows that are not in memory.
        target: The target of the rows in memory.
        parts: The split of the rows in memory.
        features: The features of the model.
        spec: The model.yaml.

    Raises:
        DataError: if a file is damaged or a value cannot be used.
    """
    assert table.sampled_rows is not None, "all rows of the table are in memory"
    frame, split = table.frame, method(target, spec)
    stream = Stream(
        chunks=table.chunks,
        columns=tuple(frame.columns),
        features=tuple(features),
        spec=spec,
        labels=target.labels,
        sampled_rows=table.sampled_rows,
        validation_start=validation_start(frame, spec) if split == "time" else None,
        held_out_groups=_held_out_groups(frame, parts, spec) if split == "group" else None,
        mean_weight=_mean_weight(frame, spec),
    )
    targets = [stream.read(chunk).target for chunk in table.chunks]
    minima = [float(values.min()) for values in targets if len(values)]
    return replace(stream, rows=sum(map(len, targets)), min_target=min(minima, default=np.inf))


def _mean_weight(frame: pl.DataFrame, spec: Spec) -> float:
    weights = streamed_weights(frame, spec, 0)
    return 1.0 if weights is None else float(weights.max() * (weights / weights.max()).mean())


def _held_out_groups(frame: pl.DataFrame, parts: Parts, spec: Spec) -> tuple[str, ...]:
    held_out = frame[np.concatenate([parts.validation, parts.test])]
    return tuple(canonical(held_out[str(spec.data.group)], "categorical").unique().sort())


def _require_values(column: pl.Series, chunk: ParquetChunk) -> pl.Series:
    is_missing = column.is_null()
    if is_missing.any():
        row = chunk.first + int(is_missing.arg_true()[0]) + 1
        raise DataError(
            f"column '{column.name}', row {row}: expected a value, because the table is split by this column"
        )
    return column
