"""The torch module of a model: its weights as safetensors, and the exported program that uses them.

Trees or another estimator in the model stay in ONNX. The program then has two parts: before and after the estimator.
"""

import io
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from model_deployer.contract.artifact import ARCHITECTURE, ESTIMATOR, Artifact
from model_deployer.training.models.model import Model, load_blueprint, load_model
from model_deployer.training.models.own_network import OwnArchitecture
from model_deployer.training.runtime.silence import silence_libraries

#: The suffixes of the program's files: one part, or the parts before and after the estimator.
WHOLE, BEFORE, AFTER = "", "_before", "_after"


def reason_without_program(artifact: Artifact) -> str | None:
    """Return why a model has no torch program; None if it has one."""
    if ARCHITECTURE not in artifact.manifest.files:
        return "this model was trained elsewhere, not as a module of this project; the ONNX file contains all of it"
    network = load_blueprint(artifact.path).network
    if network is None:
        return "this model contains no torch network; the ONNX file contains all of it"
    if isinstance(network, OwnArchitecture):
        return f"the code of {network.name}, a class of the model's authors, is not a part of the model"
    return None


def write_program(artifact: Artifact, folder: Path, stem: str) -> list[str]:
    """Write the weights and the program of a model with a network, and return the names of the files.

    Args:
        artifact: The model.
        folder: The folder of the files.
        stem: The beginning of their names.
    """
    model = load_model(artifact.path)
    weights = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    (folder / f"{stem}.safetensors").write_bytes(weights)
    layout, levels = model.blueprint.layout, model.blueprint.preprocessor.levels
    numbers = torch.zeros(2, layout.plain + layout.datetimes + layout.booleans, dtype=torch.float64)
    inputs = {"numbers": numbers, "codes": torch.zeros(2, len(levels), dtype=torch.int64)}
    if not model.estimator:
        return [f"{stem}.safetensors", _write(model, inputs, folder / f"{stem}{WHOLE}.pt2")]
    before, after = _Before(model), _After(model)
    with torch.no_grad():
        answers, columns = before(**inputs)
        scores = model.estimator.scores(columns)
    (folder / f"{stem}_{ESTIMATOR}").write_bytes(model.estimator.serialized)
    return [
        f"{stem}.safetensors",
        _write(before, inputs, folder / f"{stem}{BEFORE}.pt2"),
        f"{stem}_{ESTIMATOR}",
        _write(after, {"answers": answers, "scores": scores}, folder / f"{stem}{AFTER}.pt2"),
    ]


class _Before(nn.Module):
    """The part before the estimator: the answers of the network, and the input of the estimator."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.scaling, self.network, self.columns = model.scaling, model.network, model.columns

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        assert self.network and self.columns
        return self.network(*self.scaling(numbers, codes)), self.columns(numbers, codes)


class _After(nn.Module):
    """The part after the estimator."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.head = model.head

    def forward(self, answers: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
        return cast(tuple[Tensor, ...], self.head(self.head.combine(answers, scores)))


def _write(module: nn.Module, inputs: dict[str, Tensor], path: Path) -> str:
    rows = torch.export.Dim("rows")
    shapes: Any = {name: {0: rows} for name in inputs}
    archive = io.BytesIO()  # torch kills the process if it writes to a full disk
    with silence_libraries(), torch.no_grad():
        torch.export.save(torch.export.export(module.eval(), (), inputs, dynamic_shapes=shapes), archive)
    path.write_bytes(archive.getvalue())
    return path.name
