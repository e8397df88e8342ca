"""A whole model: raw numbers and codes in, the promised tensors out; and the two files that it is stored in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from contract.artifact import ARCHITECTURE, WEIGHTS
from contract.errors import ArtifactError
from training.heads import ClassificationHead, Head, RegressionHead
from training.network import Architecture, Network
from training.preprocessing import Inputs, Preprocessor
from training.scaling import Layout, Scaling

#: Rows that pass through the network at once outside of training.
CHUNK = 4_096


class Blueprint(BaseModel):
    """What a model is built from, before it has weights: the content of architecture.json.

    Attributes:
        preprocessor: How columns become numbers and codes.
        layout: How those are read.
        network: The network's shape.
        logarithm: For regression, whether the logarithm of the target was learnt; None for classification.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessor: Preprocessor
    layout: Layout
    network: Architecture
    logarithm: bool | None


class Model(nn.Module):
    """Scaling, network and head in a row; everything of a model but the strings."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.scaling = Scaling(blueprint.layout)
        self.network = Network(blueprint.network)
        self.head: Head = (
            ClassificationHead(blueprint.network.outputs)
            if blueprint.logarithm is None
            else RegressionHead(blueprint.logarithm)
        )

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        """The tensors that ``head.names`` names, for ``numbers`` float64 [rows, n] and ``codes`` int64 [rows, c]."""
        return cast(tuple[Tensor, ...], self.head(self.answers(numbers, codes)))

    def answers(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """What the members say, float32 [rows, members, outputs]."""
        return cast(Tensor, self.network(*self.scaling(numbers, codes)))

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> dict[str, Tensor]:
        """The output tensors by name, for any number of rows."""
        self.eval()
        chunks = [self(*chunk) for chunk in _chunks(inputs)]
        return {name: torch.cat(parts) for name, parts in zip(self.head.names, zip(*chunks, strict=True), strict=True)}

    @torch.no_grad()
    def all_answers(self, inputs: Inputs) -> Tensor:
        """What the members say, for any number of rows."""
        self.eval()
        return torch.cat([self.answers(*chunk) for chunk in _chunks(inputs)])


def _chunks(inputs: Inputs) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(inputs.numbers, CHUNK), torch.split(inputs.codes, CHUNK), strict=True)


def save_model(model: Model, folder: Path) -> None:
    """Write weights.safetensors and architecture.json; the same model always gives the same bytes."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    text = json.dumps(model.blueprint.model_dump(mode="json"), ensure_ascii=False, sort_keys=False, indent=1)
    (folder / ARCHITECTURE).write_text(text + "\n", encoding="utf-8")


def load_model(folder: Path) -> Model:
    """Rebuild a model from the files that :func:`save_model` wrote.

    Raises:
        ArtifactError: A file is missing, or the two do not fit together.
    """
    try:
        blueprint = Blueprint.model_validate_json((folder / ARCHITECTURE).read_text(encoding="utf-8"))
        model = Model(blueprint)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValidationError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder} holds no model that can be rebuilt: {error}") from error
    return model.eval()
