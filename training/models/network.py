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

#: The share of categories that are replaced by "unknown" in training, so that the network learns to handle them.
UNKNOWN_SHARE = 0.01


class Architecture(BaseModel):
    """The sizes of a network.

    Attributes:
        bins: For every scaled number, the edges of its piecewise-linear embedding.
        gaps: The number of input columns that indicate missing values.
        cardinalities: The number of codes of every code column, including unknown.
        outputs: The number of outputs of each member: one per class, or 1 for regression.
        members: The number of perceptrons in the ensemble.
        width: The number of units in a hidden layer.
        blocks: The number of hidden layers.
        embedding: The length of the embedding of a number or category.
        dropout: The share of hidden units that are dropped in training.
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
    """The network, from scaled inputs to the outputs of every member, float32 [rows, members, outputs].

    It is built from the parts of ``tabm``, because the export of ``TabM.forward`` itself fixes the number of rows.
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
        """The number of multiplications of one row in the hidden layers."""
        hidden = [layer for layer in self.backbone.modules() if isinstance(layer, nn.Linear)]
        return self.architecture.members * sum(layer.in_features * layer.out_features for layer in hidden)

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Tensor:
        """Return the raw outputs of the members, float32 [rows, members, outputs].

        Args:
            numbers: Scaled numbers, float32 [rows, numbers].
            gaps: Missing-value indicators, float32 [rows, gaps].
            codes: Codes, int64 [rows, code columns].
        """
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers(numbers).flatten(1))
        if self.categories is not None:
            parts.append(self.categories((hide_codes(codes) if self.training else codes) + self.offsets).flatten(1))
        hidden = self.backbone(self.members(torch.cat([*parts, gaps], dim=1)))
        return cast(Tensor, self.output(hidden))


def hide_codes(codes: Tensor) -> Tensor:
    """Return codes with a random share of unknown ones, so that a network learns to handle unknown categories."""
    return torch.where(torch.rand(codes.shape, device=codes.device) < UNKNOWN_SHARE, UNKNOWN, codes)


def _embeddings(bins: Sequence[Sequence[float]], size: int) -> PiecewiseLinearEmbeddings:
    with silence_libraries():  # the library warns about every column with a single interval
        edges = [torch.tensor(column) for column in bins]
        return PiecewiseLinearEmbeddings(edges, size, activation=False, version="B")
