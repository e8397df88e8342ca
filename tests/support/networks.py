"""LightningModules as users write them, for the tests of own networks."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from model_deployer.training.models.own_network import NetworkInputs


class Perceptron(LightningModule):
    """A network with embeddings and a hidden layer."""

    def __init__(self, inputs: NetworkInputs, width: int = 32) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(count, 4) for count in inputs.cardinalities])
        columns = inputs.numbers + inputs.gaps + 4 * len(self.embeddings)
        self.layers = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, inputs.outputs))

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Any:
        embedded = [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        return self.layers(torch.cat([numbers, gaps, *embedded], dim=1))


class Absolute(Perceptron):
    """Learns by the absolute error."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return (outputs[:, 0] - target).abs()


class Complete(Perceptron):
    """Has a step and an optimizer of its own."""

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        numbers, gaps, codes, target, *_ = batch
        loss = functional.cross_entropy(self(numbers, gaps, codes), target)
        self.log("own_loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)}


class MeanLoss(Perceptron):
    """Has a loss that is not that of each row."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, target)


class Narrow(Perceptron):
    """Returns the wrong number of outputs."""

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Any:
        return numbers[:, :1]


class Broken(Perceptron):
    """Fails in forward."""

    def forward(self, numbers: Tensor, gaps: Tensor, codes: Tensor) -> Any:
        return numbers @ torch.zeros(1, 1)


class Manual(Perceptron):
    """Optimizes by itself."""

    def __init__(self, inputs: NetworkInputs) -> None:
        super().__init__(inputs)
        self.automatic_optimization = False
