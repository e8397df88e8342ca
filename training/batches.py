"""The rows that a network learns from, a batch at a time, and the part of each batch that one process takes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from training.model import Model
from training.sample import Sample

#: Scaled inputs (see :class:`training.scaling.Scaled`), the target as it is learnt and the weights of some rows, and
#: what all rows of the batch weigh together, those of other processes too.
Batch = tuple[Tensor, ...]


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

    rows: tuple[Tensor, ...]
    size: int
    share: Share = Share()
    seed: int | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.rows[0]) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        *_, weights = self.rows
        for batch in torch.split(self._order(), self.size):
            mine = self.share.of(batch)
            yield (*(column[mine] for column in self.rows), weights[batch].sum())

    def _order(self) -> Tensor:
        rows = len(self.rows[0])
        if self.seed is None:
            return torch.arange(rows)
        return torch.randperm(rows, generator=torch.Generator().manual_seed(self.seed))


@torch.no_grad()
def scaled(model: Model, sample: Sample) -> tuple[Tensor, ...]:
    """Scaled inputs, target and weights: scaling is the same in every epoch, so it is done once."""
    inputs = model.scaling(sample.inputs.numbers, sample.inputs.codes)
    target = model.head.learnt(torch.tensor(sample.target))
    return (*inputs, target, torch.tensor(sample.each_weight).float())
