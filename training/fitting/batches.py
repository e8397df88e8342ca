"""The batches that a network is fitted on, and the share of each batch for one process.

Rows in memory are shuffled together. Rows in files are read in chunks, in random order; ``MIXED_CHUNKS`` chunks at a
time are shuffled together, with a part of the rows in memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model_deployer.training.data.stream import Stream
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.reading.parquet_chunks import ParquetChunk

#: Scaled inputs (see :class:`training.preprocessing.scaling.Scaled`), the transformed target and the weights of the
#: rows of one process, and the total weight of the batch, including the rows of other processes.
Batch = tuple[Tensor, ...]

#: The same for all rows, without the total weight.
Columns = tuple[Tensor, ...]

#: The number of chunks that are held and shuffled together: about 130,000 rows.
MIXED_CHUNKS = 16


@dataclass(frozen=True)
class Share:
    """The rows of a batch for one process: every ``processes``-th row, starting at number ``rank``."""

    rank: int = 0
    processes: int = 1

    def of(self, rows: Tensor) -> Tensor:
        """Return the rows of this process; there may be none."""
        return rows[self.rank :: self.processes]


class Batches(Protocol):
    """The batches of one epoch."""

    def __len__(self) -> int:
        """Return the number of batches, which is the same for every process."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the share of every batch."""


@dataclass(frozen=True)
class Shuffled:
    """Batches of rows in memory: shuffled by the seed, or in the order of the rows without a seed."""

    rows: Columns
    size: int
    share: Share = Share()
    seed: int | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.rows[0]) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        for batch in torch.split(self._order(), self.size):
            yield _batch(self.rows, batch, self.share)

    def _order(self) -> Tensor:
        rows = len(self.rows[0])
        if self.seed is None:
            return torch.arange(rows)
        return torch.randperm(rows, generator=torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True)
class Files:
    """Training rows in files, preprocessed for the network.

    Attributes:
        stream: The rows.
        model: The model with the preprocessing; its network is not used.
    """

    stream: Stream
    model: Model

    def read(self, chunk: ParquetChunk) -> Columns:
        """Read the training rows of a chunk, in the form that :func:`scaled` returns."""
        rows = self.stream.read(chunk)
        inputs = self.model.blueprint.preprocessor.transform(rows.frame)
        return scaled(self.model, Sample(inputs, rows.target, rows.weights))


@dataclass(frozen=True)
class Streamed:
    """Batches of rows in memory and in files, shuffled by the seed; ``MIXED_CHUNKS`` chunks are held at a time."""

    rows: Columns
    files: Files
    size: int
    share: Share
    seed: int

    def __len__(self) -> int:
        return math.ceil((len(self.rows[0]) + self.files.stream.rows) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        random = torch.Generator().manual_seed(self.seed)
        chunks = self.files.stream.chunks
        groups = torch.split(torch.randperm(len(chunks), generator=random), MIXED_CHUNKS)
        parts = torch.tensor_split(torch.randperm(len(self.rows[0]), generator=random), len(groups))
        remainder = tuple(column[:0] for column in self.rows)
        for group, part in zip(groups, parts, strict=True):
            from_files = [self.files.read(chunks[index]) for index in group.tolist()]
            in_memory = tuple(column[part] for column in self.rows)
            mixed = tuple(map(torch.cat, zip(remainder, *from_files, in_memory, strict=True)))
            *batches, last = torch.split(torch.randperm(len(mixed[0]), generator=random), self.size)
            for batch in batches:
                yield _batch(mixed, batch, self.share)
            remainder = tuple(column[last] for column in mixed)
        if len(remainder[0]):
            yield _batch(remainder, torch.arange(len(remainder[0])), self.share)


def training_batches(rows: Columns, files: Files | None, size: int, share: Share, seed: int) -> Batches:
    """Return the batches of one epoch over all training rows.

    Args:
        rows: The rows in memory.
        files: The rows in files; None if all rows are in memory.
        size: The number of rows in a batch, over all processes.
        share: The rows of a batch for this process.
        seed: Determines the order of the rows.
    """
    return Streamed(rows, files, size, share, seed) if files else Shuffled(rows, size, share, seed)


def _batch(rows: Columns, indices: Tensor, share: Share) -> Batch:
    *_, weights = rows
    own_indices = share.of(indices)
    return (*(column[own_indices] for column in rows), weights[indices].sum())


@torch.no_grad()
def scaled(model: Model, sample: Sample) -> Columns:
    """Return scaled inputs, transformed target and weights; they are computed once, as they are equal in all epochs.

    Returns:
        The fields of :class:`training.preprocessing.scaling.Scaled`, the target [rows] and the weights float32 [rows].
    """
    inputs = model.scaling(sample.inputs.numbers, sample.inputs.codes)
    target = model.head.transform_target(torch.tensor(sample.target))
    return (*inputs, target, torch.tensor(sample.row_weights).float())
