"""A whole model: raw numbers and codes in, the promised tensors out; and the files that it is stored in."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, cast

import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model_deployer.contract.artifact import ARCHITECTURE, ESTIMATOR, WEIGHTS
from model_deployer.contract.errors import ArtifactError
from model_deployer.training.models.heads import ClassificationHead, CountHead, Head, QuantileHead, RegressionHead
from model_deployer.training.models.linear import Linear, LinearArchitecture
from model_deployer.training.models.network import Architecture, Network
from model_deployer.training.models.onnx_estimator import OnnxEstimator
from model_deployer.training.preprocessing.matrix import Columns
from model_deployer.training.preprocessing.preprocessing import Inputs, Preprocessor
from model_deployer.training.preprocessing.scaling import Layout, Scaling

#: Rows that pass through the network at once outside of training, and numbers: inside, each becomes some hundred.
CHUNK, NUMBERS = 4_096, 1 << 19


class Blueprint(BaseModel):
    """What a model is built from, before it has weights: the content of architecture.json.

    Attributes:
        preprocessor: How columns become numbers and codes.
        layout: How those are read.
        cardinalities: For every code column, weekdays and booleans included, the number of codes.
        outputs: Numbers that are answered: one a class, or one for regression.
        network: The shape of the network or linear model; None for another estimator alone.
        has_scorer: Whether there is another estimator, such as trees.
        logarithm: For a quantity, whether the logarithm of the target was learnt; None for classification.
        count: Whether the target is a count.
        quantile: The quantile that is answered; None for another answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessor: Preprocessor
    layout: Layout
    cardinalities: tuple[int, ...]
    outputs: int
    network: Architecture | LinearArchitecture | None
    has_scorer: bool = False
    logarithm: bool | None
    count: bool = False
    quantile: float | None = None

    def head(self) -> Head:
        """The last layer, which has learnt nothing yet."""
        if self.logarithm is None:
            return ClassificationHead(self.outputs)
        if self.quantile is not None:
            return QuantileHead(self.logarithm, self.quantile)
        return CountHead() if self.count else RegressionHead(self.logarithm)


class Model(nn.Module):
    """Scaling, network or another estimator or both, and head in a row; everything of a model but the strings."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.scaling = Scaling(blueprint.layout)
        self.network = _network(blueprint.network)
        self.columns = (
            Columns(self.scaling, blueprint.cardinalities, blueprint.outputs) if blueprint.has_scorer else None
        )
        self.estimator: OnnxEstimator | None = None
        self.head = blueprint.head()

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        """The tensors that ``head.names`` names, for ``numbers`` float64 [rows, n] and ``codes`` int64 [rows, c]."""
        return cast(tuple[Tensor, ...], self.head(self._combined(numbers, codes)))

    def answers(self, numbers: Tensor, codes: Tensor) -> Tensor | None:
        """What the network's members say, float32 [rows, members, outputs]; None without a network."""
        return self.network(*self.scaling(numbers, codes)) if self.network else None

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> dict[str, Tensor]:
        """The output tensors by name, for any number of rows."""
        self.eval()
        return dict(zip(self.head.names, self.head(self.combined(inputs)), strict=True))

    @torch.no_grad()
    def combined(self, inputs: Inputs) -> Tensor:
        """What the head makes its output of, for any number of rows; see ``combine`` of the heads."""
        self.eval()
        return torch.cat([self._combined(*chunk) for chunk in _chunks(inputs)])

    def transform_target(self, target: NDArray[Any]) -> NDArray[Any]:
        """A target as it is learnt; see ``learnt`` of the heads."""
        return self.head.transform_target(torch.tensor(target)).numpy()

    def with_network(self, network: Network | Linear | None) -> Self:
        """The same model with another network, or none, and without another estimator."""
        shape = network.architecture if network else None
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.head = self.head.fresh()
        other.blueprint = self.blueprint.model_copy(update={"network": shape, "has_scorer": False})
        other.network, other.columns, other.estimator = network, None, None
        return other

    def with_estimator(self, columns: Columns, scorer: OnnxEstimator, share: float) -> Self:
        """The same model with another estimator beside its network, which counts ``share`` of the whole."""
        other = self.with_network(self.network)
        other.blueprint = self.blueprint.model_copy(update={"has_scorer": True})
        other.columns, other.estimator = columns, scorer
        other.head.share.fill_(share)
        return other

    def _combined(self, numbers: Tensor, codes: Tensor) -> Tensor:
        scores = self.estimator.scores(self.columns(numbers, codes)) if self.estimator and self.columns else None
        return self.head.combine(self.answers(numbers, codes), scores)


def _network(shape: Architecture | LinearArchitecture | None) -> Network | Linear | None:
    if shape is None:
        return None
    return Linear(shape) if isinstance(shape, LinearArchitecture) else Network(shape)


def rows_at_once(columns: int) -> int:
    """How many rows with so many columns pass through at once."""
    return min(CHUNK, max(1, NUMBERS // max(1, columns)))


def _chunks(inputs: Inputs) -> Iterator[tuple[Tensor, Tensor]]:
    rows = rows_at_once(inputs.numbers.shape[1] + inputs.codes.shape[1])
    return zip(torch.split(inputs.numbers, rows), torch.split(inputs.codes, rows), strict=True)


def save_model(model: Model, folder: Path) -> None:
    """Write weights.safetensors, architecture.json and maybe estimator.onnx; the same model gives the same bytes."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    text = json.dumps(model.blueprint.model_dump(mode="json"), ensure_ascii=False, sort_keys=False, indent=1)
    (folder / ARCHITECTURE).write_text(text + "\n", encoding="utf-8")
    if model.estimator:
        (folder / ESTIMATOR).write_bytes(model.estimator.serialized)


def load_model(folder: Path) -> Model:
    """Rebuild a model from the files that :func:`save_model` wrote.

    Raises:
        ArtifactError: A file is missing, or they do not fit together.
    """
    try:
        blueprint = Blueprint.model_validate_json((folder / ARCHITECTURE).read_text(encoding="utf-8"))
        model = Model(blueprint)
        model.load_state_dict(load_file(folder / WEIGHTS))
        if blueprint.has_scorer:
            model.estimator = OnnxEstimator.load((folder / ESTIMATOR).read_bytes())
    except Exception as error:  # a damaged file may raise anything
        raise ArtifactError(f"{folder} holds no model that can be rebuilt: {error}") from error
    return model.eval()
