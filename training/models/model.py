"""A model as a torch module, from raw numbers and codes to the output tensors; and the files that store it."""

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
from model_deployer.training.models.own_network import OwnArchitecture, OwnNetwork, Task
from model_deployer.training.preprocessing.matrix import Columns
from model_deployer.training.preprocessing.preprocessing import Inputs, Preprocessor
from model_deployer.training.preprocessing.scaling import Layout, Scaling

#: The maximum number of rows, and of numbers, in one forward pass outside of training. Within the network, a number
#: becomes a vector of up to some hundred.
CHUNK, NUMBERS = 4_096, 1 << 19


class Blueprint(BaseModel):
    """Everything that defines a model except its weights: the content of architecture.json.

    Attributes:
        preprocessor: The conversion of columns to numbers and codes.
        layout: The meaning of the number columns.
        cardinalities: The number of codes of every code column, including weekdays and booleans.
        outputs: The number of outputs: one per class, or 1 for regression.
        network: The architecture of the network or linear model; None if the model has only an ONNX estimator. The code
            of an own network is not stored with the model.
        has_scorer: Whether the model has an ONNX estimator, such as trees.
        logarithm: For a quantity, whether the model is fitted on the logarithm of the target; None for classification.
        count: Whether the target is a count.
        quantile: The quantile to predict; None for another prediction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessor: Preprocessor
    layout: Layout
    cardinalities: tuple[int, ...]
    outputs: int
    network: Architecture | LinearArchitecture | OwnArchitecture | None
    has_scorer: bool = False
    logarithm: bool | None
    count: bool = False
    quantile: float | None = None

    @property
    def task(self) -> Task:
        """What the model predicts."""
        if self.logarithm is None:
            return "classification"
        if self.quantile is not None:
            return "quantile"
        return "count" if self.count else "regression"

    def head(self) -> Head:
        """Return a new head that is not fitted yet."""
        if self.logarithm is None:
            return ClassificationHead(self.outputs)
        if self.quantile is not None:
            return QuantileHead(self.logarithm, self.quantile)
        return CountHead() if self.count else RegressionHead(self.logarithm)


class Model(nn.Module):
    """The numeric part of a model: scaling; a network, an ONNX estimator or both; and a head."""

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
        """Return the output tensors in the order of ``head.names``.

        Args:
            numbers: float64 [rows, n].
            codes: int64 [rows, c].
        """
        return cast(tuple[Tensor, ...], self.head(self._combined(numbers, codes)))

    def member_outputs(self, numbers: Tensor, codes: Tensor) -> Tensor | None:
        """Return the raw outputs of the network's members, float32 [rows, members, outputs]; None without a network."""
        return self.network(*self.scaling(numbers, codes)) if self.network else None

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return the output tensors by name, for any number of rows: float32, with rows as the first dimension."""
        self.eval()
        return dict(zip(self.head.names, self.head(self.combined(inputs)), strict=True))

    @torch.no_grad()
    def combined(self, inputs: Inputs) -> Tensor:
        """Return the input of the head, for any number of rows; see ``combine`` of the heads."""
        self.eval()
        return torch.cat([self._combined(*chunk) for chunk in _chunks(inputs)])

    def transform_target(self, target: NDArray[Any]) -> NDArray[Any]:
        """Transform a target [rows] to the scale that the model is fitted on; see ``transform_target`` of the heads."""
        return self.head.transform_target(torch.tensor(target)).numpy()

    def with_network(self, network: Network | Linear | OwnNetwork | None) -> Self:
        """Return a copy of the model with this network, or none, and without an ONNX estimator."""
        architecture = network.architecture if network else None
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.head = self.head.fresh()
        other.blueprint = self.blueprint.model_copy(update={"network": architecture, "has_scorer": False})
        other.network, other.columns, other.estimator = network, None, None
        return other

    def with_estimator(self, columns: Columns, estimator: OnnxEstimator, share: float) -> Self:
        """Return a copy of the model with an ONNX estimator in addition to its network.

        Args:
            columns: The conversion of the inputs to the estimator's matrix.
            estimator: The estimator.
            share: Its weight in the average with the network, from 0 to 1.
        """
        other = self.with_network(self.network)
        other.blueprint = self.blueprint.model_copy(update={"has_scorer": True})
        other.columns, other.estimator = columns, estimator
        other.head.share.fill_(share)
        return other

    def _combined(self, numbers: Tensor, codes: Tensor) -> Tensor:
        scores = self.estimator.scores(self.columns(numbers, codes)) if self.estimator and self.columns else None
        return self.head.combine(self.member_outputs(numbers, codes), scores)


def _network(
    architecture: Architecture | LinearArchitecture | OwnArchitecture | None,
) -> Network | Linear | OwnNetwork | None:
    if architecture is None:
        return None
    if isinstance(architecture, OwnArchitecture):
        return OwnNetwork(architecture)
    return Linear(architecture) if isinstance(architecture, LinearArchitecture) else Network(architecture)


def rows_at_once(columns: int) -> int:
    """Return the number of rows to predict in one forward pass, for this number of columns."""
    return min(CHUNK, max(1, NUMBERS // max(1, columns)))


def _chunks(inputs: Inputs) -> Iterator[tuple[Tensor, Tensor]]:
    rows = rows_at_once(inputs.numbers.shape[1] + inputs.codes.shape[1])
    return zip(torch.split(inputs.numbers, rows), torch.split(inputs.codes, rows), strict=True)


def save_model(model: Model, folder: Path) -> None:
    """Write weights.safetensors, architecture.json and, if the model has an ONNX estimator, estimator.onnx.

    The same model gives the same bytes.
    """
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    text = json.dumps(model.blueprint.model_dump(mode="json"), ensure_ascii=False, sort_keys=False, indent=1)
    (folder / ARCHITECTURE).write_text(text + "\n", encoding="utf-8")
    if model.estimator:
        (folder / ESTIMATOR).write_bytes(model.estimator.serialized)


def load_blueprint(folder: Path) -> Blueprint:
    """Read what defines a model, without its weights, from the files that :func:`save_model` wrote.

    Raises:
        ArtifactError: if the file is missing or damaged.
    """
    try:
        return Blueprint.model_validate_json((folder / ARCHITECTURE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / ARCHITECTURE} does not describe a model: {error}") from error


def load_model(folder: Path) -> Model:
    """Rebuild a model from the files that :func:`save_model` wrote.

    Raises:
        ArtifactError: if a file is missing or damaged, or the files do not fit together.
    """
    try:
        blueprint = load_blueprint(folder)
        model = Model(blueprint)
        model.load_state_dict(load_file(folder / WEIGHTS))
        if blueprint.has_scorer:
            model.estimator = OnnxEstimator.load((folder / ESTIMATOR).read_bytes())
    except Exception as error:  # a damaged file may raise anything
        raise ArtifactError(f"{folder} does not hold a model that can be rebuilt: {error}") from error
    return model.eval()
