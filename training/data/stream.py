"""The rows of a table beyond those in memory: what may be learnt from them, a piece of a file at a time."""

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
from model_deployer.training.data.parquet_chunks import ParquetChunk, within
from model_deployer.training.data.split import Parts, instants, method, validation_begins
from model_deployer.training.data.table import Table
from model_deployer.training.data.target import Target, further_target, further_weights
from model_deployer.training.spec import Spec


@dataclass(frozen=True)
class Portion:
    """Rows to learn from.

    Attributes:
        frame: The columns of the features as the graph takes them.
        target: As :class:`training.data.target.Target` has it.
        weights: How much each row counts, on the scale of the rows in memory; None where all count the same.
    """

    frame: pl.DataFrame
    target: NDArray[Any]
    weights: NDArray[np.float64] | None


@dataclass(frozen=True)
class Stream:
    """Rows in files that are not in memory, and that belong to the training part.

    Attributes:
        pieces: Of the files.
        columns: Of the table.
        features: Of the model.
        spec: The model.yaml.
        labels: The classes; None for regression.
        drawn: The ascending numbers of the rows in memory.
        begins: Under a split by time, the first instant of the validation part.
        groups: Under a split by group, those of the validation and the test part.
        weight: What the rows in memory weigh on average, on the scale of the column.
        rows: How many may be learnt from.
        least: The lowest target among these.
    """

    pieces: tuple[ParquetChunk, ...]
    columns: tuple[str, ...]
    features: tuple[Feature, ...]
    spec: Spec
    labels: tuple[str, ...] | None
    drawn: NDArray[np.int64]
    begins: float | None = None
    groups: tuple[str, ...] | None = None
    weight: float = 1.0
    rows: int = 0
    least: float = np.inf

    def read(self, piece: ParquetChunk) -> Portion:
        """The rows of a piece that may be learnt from; there may be none.

        Raises:
            DataError: The file is damaged, or a value of any of its rows cannot be used; rows count from 1.
        """
        frame = piece.read(self.columns)
        rows = np.flatnonzero(self._may_be_learnt_from(frame, piece))
        target = further_target(frame, self.spec, self.labels, piece.first)
        weights = further_weights(frame, self.spec, piece.first)
        conformed = conform(frame, self.features, piece.first)
        return Portion(conformed[rows], target[rows], None if weights is None else weights[rows] / self.weight)

    def _may_be_learnt_from(self, frame: pl.DataFrame, piece: ParquetChunk) -> NDArray[np.bool_]:
        data = self.spec.data
        mask = np.ones(frame.height, bool)
        mask[within(piece, self.drawn)] = False
        if self.begins is not None:
            mask &= _present(instants(frame[str(data.time)]), piece).to_numpy() < self.begins
        if self.groups is not None:
            groups = _present(canonical(frame[str(data.group)], "categorical"), piece)
            mask &= ~groups.is_in(self.groups).to_numpy()
        return mask


def open_stream(table: Table, target: Target, parts: Parts, features: Sequence[Feature], spec: Spec) -> Stream:
    """Read the whole table once: every value is checked, and the rows that may be learnt from are counted.

    Raises:
        DataError: As :meth:`Stream.read`.
    """
    assert table.drawn is not None, "all rows of the table are in memory"
    frame, split = table.frame, method(target, spec)
    stream = Stream(
        pieces=table.pieces,
        columns=tuple(frame.columns),
        features=tuple(features),
        spec=spec,
        labels=target.labels,
        drawn=table.drawn,
        begins=validation_begins(frame, spec) if split == "time" else None,
        groups=_groups(frame, parts, spec) if split == "group" else None,
        weight=_mean_weight(frame, spec),
    )
    targets = [stream.read(piece).target for piece in table.pieces]
    lowest = [float(each.min()) for each in targets if len(each)]
    return replace(stream, rows=sum(map(len, targets)), least=min(lowest, default=np.inf))


def _mean_weight(frame: pl.DataFrame, spec: Spec) -> float:
    weights = further_weights(frame, spec, 0)
    return 1.0 if weights is None else float(weights.max() * (weights / weights.max()).mean())


def _groups(frame: pl.DataFrame, parts: Parts, spec: Spec) -> tuple[str, ...]:
    held = frame[np.concatenate([parts.validation, parts.test])]
    return tuple(canonical(held[str(spec.data.group)], "categorical").unique().sort())


def _present(column: pl.Series, piece: ParquetChunk) -> pl.Series:
    absent = column.is_null()
    if absent.any():
        row = piece.first + int(absent.arg_true()[0]) + 1
        raise DataError(f"column '{column.name}', row {row}: every row needs one, as the table is split by it")
    return column
