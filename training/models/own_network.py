"""A network of the user's: a LightningModule whose class a model.yaml names.

The class is called with a :class:`NetworkInputs` and the ``parameters`` of model.yaml. Its methods:

- ``forward(numbers, gaps, codes)`` returns the raw outputs, float32 [rows, outputs]; the arguments are those of
  :meth:`training.models.network.Network.forward`. It must be traceable by ``torch.export``.
- ``loss(outputs, target)``, optional: the loss of each training row [rows], instead of that of the task.
- ``training_step(batch, batch_index)``, optional, as in Lightning: the loss of a batch ``(numbers, gaps, codes, target,
  weights, total weight)``; see :data:`training.fitting.batches.Batch`.
- ``configure_optimizers()``, optional, as in Lightning: by default, AdamW with the settings of ``estimator``.

Other hooks of Lightning are not called; a callback can have them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import pytorch_lightning as lightning
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from model_deployer.contract.errors import SpecError
from model_deployer.training.models.network import Architecture, hide_codes
from model_deployer.training.runtime.imports import import_class, own_code_error
from model_deployer.training.spec import Component

Task = Literal["classification", "regression", "count", "quantile"]


class NetworkInputs(BaseModel):
    """What a network gets and returns.

    Attributes:
        numbers: The number of scaled numbers, which are float32 within (-3, 3); a missing one is the median.
        gaps: The number of missing-value indicators, float32, 0 or 1.
        cardinalities: For each code column, int64, the number of different codes; the code 0 is an unknown category.
        outputs: The number of outputs: one for each class, or 1.
        task: The meaning of an output: the logit of a class; the target in standard deviations from its mean, for a
            regression or a quantile; or the logarithm of the rate as a share of the mean rate, for a count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: int
    gaps: int
    cardinalities: tuple[int, ...]
    outputs: int
    task: Task


class OwnArchitecture(BaseModel):
    """Everything that defines an own network except its code and its weights.

    Attributes:
        name: The import path of the class.
        parameters: Its arguments.
        inputs: What it gets and returns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parameters: dict[str, Any]
    inputs: NetworkInputs


class OwnNetwork(nn.Module):
    """A LightningModule in the place of the network: an ensemble with one member.

    Raises:
        EnvironmentFault: if the module of the class cannot be imported.
        SpecError: if it is not a LightningModule with automatic optimization, or it refuses its parameters.
    """

    def __init__(self, architecture: OwnArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        own = import_class(architecture.name, lightning.LightningModule, "estimator")
        try:
            self.module = own(architecture.inputs, **architecture.parameters)
        except Exception as error:  # the user's code may raise anything
            raise own_code_error(architecture.name, "cannot be created", error) from None
        if not self.module.automatic_optimization:
            raise SpecError(f"{architecture.name}: `automatic_optimization` must be true")

    @property
    def work(self) -> int:
        """The approximate number of multiplications of one row: the number of weights."""
        return max(1, sum(parameter.numel() for parameter in self.module.parameters()))

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The loss of each row [rows] of outputs [rows, outputs] and target [rows], if the class has one."""
        return self._row_losses if callable(getattr(self.module, "loss", None)) else None

    @property
    def training_step(self) -> Callable[[Any, int], Tensor] | None:
        """The loss of a batch, if the class has its own step."""
        return self._batch_loss if self._overrides("training_step") else None

    @property
    def configure_optimizers(self) -> Callable[[], Any] | None:
        """The optimizers and schedules, if the class has its own."""
        return self._guarded("configure_optimizers") if self._overrides("configure_optimizers") else None

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Tensor:
        """Return the raw outputs of the only member, float32 [rows, 1, outputs].

        Raises:
            SpecError: if the class fails in training, or its outputs have another shape.
        """
        if not self.training:  # also within torch.export, which needs the exceptions of its own
            return cast(Tensor, self.module(numbers, gaps, codes)).unsqueeze(1)
        outputs = self._guarded("forward")(numbers, gaps, hide_codes(codes))
        expected = (len(numbers), self.architecture.inputs.outputs)
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise SpecError(
                f"{self.architecture.name}: forward returned {shape}; expected a tensor of the shape (rows, "
                f"{expected[1]})"
            )
        return outputs.unsqueeze(1)

    @contextmanager
    def within(self, learner: lightning.LightningModule) -> Iterator[None]:
        """Have ``self.log`` and ``self.trainer`` of the module mean those of the learner that trains it."""
        self.module._trainer, self.module._current_fx_name = learner._trainer, learner._current_fx_name
        try:
            yield
        finally:
            self.module._trainer, self.module._current_fx_name = None, None

    def _row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        losses = self._guarded("loss")(outputs, target)
        if not isinstance(losses, Tensor) or losses.shape != target.shape:
            raise SpecError(
                f"{self.architecture.name}: loss must return a tensor with the loss of each row; a loss of torch does "
                "with `reduction='none'`"
            )
        return losses

    def _batch_loss(self, batch: Any, batch_index: int) -> Tensor:
        result = self._guarded("training_step")(batch, batch_index)
        loss = result["loss"] if isinstance(result, dict) else result
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise SpecError(f"{self.architecture.name}: training_step must return the loss of the batch, one number")
        return loss

    def _overrides(self, name: str) -> bool:
        return getattr(type(self.module), name) is not getattr(lightning.LightningModule, name)

    def _guarded(self, name: str) -> Callable[..., Any]:
        """Return a method of the module whose errors name the line of the user's code."""

        def call(*arguments: Any) -> Any:
            try:
                return getattr(self.module, name)(*arguments)
            except Exception as error:
                raise own_code_error(self.architecture.name, f"failed in {name}", error) from None

        return call


def build_own_network(component: Component, sizes: Architecture, task: Task, seed: int) -> OwnNetwork:
    """Return an own network with random weights.

    Args:
        component: Its class and arguments.
        sizes: The network of this project for the same table, which has the same inputs and outputs.
        task: The task of the model.
        seed: The seed of the initial weights.

    Raises:
        EnvironmentFault, SpecError: as :class:`OwnNetwork`.
    """
    inputs = NetworkInputs(
        numbers=len(sizes.bins),
        gaps=sizes.gaps,
        cardinalities=sizes.cardinalities,
        outputs=sizes.outputs,
        task=task,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return OwnNetwork(OwnArchitecture(name=component.name, parameters=component.parameters, inputs=inputs))
