"""The last layer: the members' raw answers become the tensors that contract/outputs.py promises."""

import torch
from torch import Tensor, nn

#: The logarithm of the largest value that is answered; float32 ends at about exp(88.7).
LARGEST_LOGARITHM = 88.0

#: Keeps the logarithm of a probability finite in float32.
LEAST_PROBABILITY = 1e-12


class ClassificationHead(nn.Module):
    """The members' average probabilities, calibrated: ``softmax(slope * log p + intercept)``.

    Slope 1 and intercept 0 change nothing; :mod:`training.calibration` learns better ones.
    """

    names = ("probabilities",)
    slope: Tensor
    intercept: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("intercept", torch.zeros(classes))

    def uncalibrated(self, logits: Tensor) -> Tensor:
        """Logarithms of the members' average probabilities; ``logits`` are [rows, members, classes]."""
        return logits.softmax(-1).mean(1).clamp_min(LEAST_PROBABILITY).log()

    def forward(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Probabilities [rows, classes]; a row sums to 1."""
        return ((self.slope * self.uncalibrated(logits) + self.intercept).softmax(-1),)


class RegressionHead(nn.Module):
    """The members' average, in the target's own unit, and the ends of an interval around it.

    Members answer in standard deviations from the mean of the training target, or of its logarithm. The average is
    taken there; so is the interval's half width, which :mod:`training.interval` learns. Under a logarithm ``value`` is
    therefore nearer to the median than to the mean of what can be expected.
    """

    names = ("value", "lower", "upper")
    mean: Tensor
    deviation: Tensor
    half_width: Tensor

    def __init__(self, logarithm: bool) -> None:
        super().__init__()
        self.logarithm = logarithm
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("half_width", torch.zeros(()))

    def standardise(self, target: Tensor) -> Tensor:
        """Target values, float64, as members answer them, float32."""
        return ((self._transform(target) - self.mean) / self.deviation).float()

    def learn(self, target: Tensor) -> None:
        """Take mean and deviation from the training target, float64 and not constant."""
        transformed = self._transform(target)
        self.mean.copy_(transformed.mean())
        self.deviation.copy_(transformed.std())

    def forward(self, answers: Tensor) -> tuple[Tensor, ...]:
        """Value, lower and upper end, each [rows, 1]; ``answers`` are [rows, members, 1]."""
        centre = answers.mean(1)
        standard = torch.cat([centre, centre - self.half_width, centre + self.half_width], dim=1)
        values = standard * self.deviation + self.mean
        return torch.split(values.clamp_max(LARGEST_LOGARITHM).exp() if self.logarithm else values, 1, dim=1)

    def _transform(self, target: Tensor) -> Tensor:
        return target.log() if self.logarithm else target


Head = ClassificationHead | RegressionHead
