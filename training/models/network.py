"""The network: TabM-mini on piecewise-linear embeddings.

TabM (Gorishniy, Kotelnikov, Babenko, 2025, "TabM: Advancing tabular deep learning with parameter-efficient ensembling")
is an ensemble of perceptrons that share almost all weights. Numbers enter through piecewise-linear embeddings
(Gorishniy, Rubachev, Babenko, 2022, "On embeddings for numerical features in tabular deep learning").
"""

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import BaseModel, ConfigDict
from rtdl_num_embeddings import PiecewiseLinearEmbeddings
from tabm import EnsembleView, LinearEnsemble, make_tabm_backbone
from torch import Tensor, nn

from model_deployer.training.preprocessing.preprocessing import UNKNOWN
from model_deployer.training.runtime.silence import silence_libraries

#: Share of training rows whose category is hidden, so that the network learns what an unknown one means.
HIDDEN = 0.01


class Architecture(BaseModel):
    """Everything that fixes the network's shape.

    Attributes:
        bins: For every scaled number, the edges between which its embedding is linear.
        gaps: How many columns of missing-value indicators come in.
        cardinalities: For every code column the number of codes, unknown included.
        outputs: Numbers that each member answers: one a class, or one for regression.
        members: Perceptrons in the ensemble.
        width: Units in a hidden layer.
        blocks: Hidden layers.
        embedding: Length of the embedding of one number or category.
        dropout: Share of hidden units silenced in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bins: tuple[tuple[float, ...], ...]
    gaps: int
    cardinalities: tuple[int, ...]
    outputs: int
    members: int
    width: int
    blocks: int
    embedding: int
    dropout: float


class Network(nn.Module):
    """Scaled inputs become the answers of every member, float32 [rows, members, outputs].

    Built from the parts of ``tabm``: its own ``TabM.forward`` fixes the number of rows when it is exported.
    """

    offsets: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        bins, cardinalities, size = architecture.bins, architecture.cardinalities, architecture.embedding
        self.numbers = _embeddings(bins, size) if bins else None
        self.categories = nn.Embedding(sum(cardinalities), size) if cardinalities else None
        starts = torch.tensor([0, *cardinalities]).cumsum(0)[:-1]
        self.register_buffer("offsets", starts, persistent=False)
        chunks = [size] * (len(bins) + len(cardinalities)) + [1] * architecture.gaps
        self.members = EnsembleView(k=architecture.members)
        self.backbone = make_tabm_backbone(
            d_in=sum(chunks),
            n_blocks=architecture.blocks,
            d_block=architecture.width,
            dropout=architecture.dropout,
            k=architecture.members,
            arch_type="tabm-mini",
            start_scaling_init="normal",
            start_scaling_init_chunks=chunks,
        )
        self.output = LinearEnsemble(architecture.width, architecture.outputs, k=architecture.members)

    @property
    def work(self) -> int:
        """Multiplications that one row takes in the hidden layers."""
        hidden = [layer for layer in self.backbone.modules() if isinstance(layer, nn.Linear)]
        return self.architecture.members * sum(layer.in_features * layer.out_features for layer in hidden)

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Tensor:
        """The members' raw answers; the arguments are the fields of :class:`~training.scaling.Scaled`."""
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers(numbers).flatten(1))
        if self.categories is not None:
            parts.append(self.categories(self._hide(codes) + self.offsets).flatten(1))
        hidden = self.backbone(self.members(torch.cat([*parts, gaps], dim=1)))
        return cast(Tensor, self.output(hidden))

    def _hide(self, codes: Tensor) -> Tensor:
        if not self.training:
            return codes
        return torch.where(torch.rand(codes.shape, device=codes.device) < HIDDEN, UNKNOWN, codes)


def _embeddings(bins: Sequence[Sequence[float]], size: int) -> PiecewiseLinearEmbeddings:
    with silence_libraries():  # it warns of every column with a single interval
        edges = [torch.tensor(column) for column in bins]
        return PiecewiseLinearEmbeddings(edges, size, activation=False, version="B")
