"""The rows that a network learns from, a batch at a time, and the part of each batch that one process takes.

Rows in memory are shuffled as a whole. Rows in files come by pieces, in random order, and some pieces are mixed at a
time, with a part of the rows in memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model_deployer.training.data.parquet_chunks import ParquetChunk
from model_deployer.training.data.stream import Stream
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample

#: Scaled inputs (see :class:`training.preprocessing.scaling.Scaled`), the target as it is learnt and the weights of
#: some rows, and what all rows of the batch weigh together, those of other processes too.
Batch = tuple[Tensor, ...]

#: The same of all rows, without the last.
Columns = tuple[Tensor, ...]

#: Pieces of files that are held, mixed, at a time: about 130,000 rows.
MIXED = 16


@dataclass(frozen=True)
class Share:
    """Which rows of a batch one process takes: every ``processes``-th from number ``rank`` on."""

    rank: int = 0
    processes: int = 1

    def of(self, rows: Tensor) -> Tensor:
        """Its rows; there may be none."""
        return rows[self.rank :: self.processes]


class Batches(Protocol):
    """The batches of one pass."""

    def __len__(self) -> int:
        """How many there are, the same for every process."""

    def __iter__(self) -> Iterator[Batch]:
        """The share of every batch."""


@dataclass(frozen=True)
class Shuffled:
    """Rows in memory, in an order that the seed decides, or in their own."""

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
    """Rows in files, as the network takes them.

    Attributes:
        stream: Where they are.
        model: Its preprocessing; it needs no network.
    """

    stream: Stream
    model: Model

    def read(self, piece: ParquetChunk) -> Columns:
        """The rows of a piece that may be learnt from, as :func:`scaled` has them."""
        portion = self.stream.read(piece)
        inputs = self.model.blueprint.preprocessor.transform(portion.frame)
        return scaled(self.model, Sample(inputs, portion.target, portion.weights))


@dataclass(frozen=True)
class Streamed:
    """Rows in memory and in files, in an order that the seed decides; ``MIXED`` pieces are held at a time."""

    rows: Columns
    files: Files
    size: int
    share: Share
    seed: int

    def __len__(self) -> int:
        return math.ceil((len(self.rows[0]) + self.files.stream.rows) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        random = torch.Generator().manual_seed(self.seed)
        pieces = self.files.stream.chunks
        groups = torch.split(torch.randperm(len(pieces), generator=random), MIXED)
        parts = torch.tensor_split(torch.randperm(len(self.rows[0]), generator=random), len(groups))
        rest = tuple(column[:0] for column in self.rows)
        for group, part in zip(groups, parts, strict=True):
            read = [self.files.read(pieces[number]) for number in group.tolist()]
            mixed = tuple(map(torch.cat, zip(rest, *read, tuple(column[part] for column in self.rows), strict=True)))
            *batches, last = torch.split(torch.randperm(len(mixed[0]), generator=random), self.size)
            for batch in batches:
                yield _batch(mixed, batch, self.share)
            rest = tuple(column[last] for column in mixed)
        if len(rest[0]):
            yield _batch(rest, torch.arange(len(rest[0])), self.share)


def training_batches(rows: Columns, files: Files | None, size: int, share: Share, seed: int) -> Batches:
    """The batches of one epoch, over all rows that may be learnt from."""
    return Streamed(rows, files, size, share, seed) if files else Shuffled(rows, size, share, seed)


def _batch(rows: Columns, places: Tensor, share: Share) -> Batch:
    *_, weights = rows
    mine = share.of(places)
    return (*(column[mine] for column in rows), weights[places].sum())


@torch.no_grad()
def scaled(model: Model, sample: Sample) -> Columns:
    """Scaled inputs, target and weights: scaling is the same in every epoch, so it is done once."""
    inputs = model.scaling(sample.inputs.numbers, sample.inputs.codes)
    target = model.head.transform_target(torch.tensor(sample.target))
    return (*inputs, target, torch.tensor(sample.row_weights).float())
