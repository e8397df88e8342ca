"""The last layer: the members' raw answers become the tensors that contract/outputs.py promises."""

import torch
from torch import Tensor, nn

#: The logarithm of the largest value that is answered; float32 ends at about exp(88.7).
LARGEST_LOGARITHM = 88.0

#: Keeps the logarithm of a probability finite in float32.
LEAST_PROBABILITY = 1e-12


class ClassificationHead(nn.Module):
    """The average probabilities of network and scorer, calibrated: ``softmax(slope * log p + intercept)``.

    Slope 1 and intercept 0 change nothing; :mod:`training.calibration` learns better ones. ``share`` is what the
    scorer (trees, or another estimator) counts in the average.
    """

    names = ("probabilities",)
    slope: Tensor
    intercept: Tensor
    share: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("intercept", torch.zeros(classes))
        self.register_buffer("share", torch.zeros(()))

    def fresh(self) -> "ClassificationHead":
        """One of as many classes that has learnt nothing yet."""
        return ClassificationHead(len(self.intercept))

    def joint(self, answers: Tensor | None, scores: Tensor | None) -> Tensor:
        """Logarithms of the average probabilities, [rows, classes].

        Args:
            answers: The logits of the network's members, [rows, members, classes]; None without a network.
            scores: Of the scorer, [rows, classes], or [rows, 1] for two classes; None without one.
        """
        parts = [] if answers is None else [answers.softmax(-1).mean(1)]
        if scores is not None:
            logits = torch.cat([torch.zeros_like(scores), scores], dim=1) if scores.shape[1] == 1 else scores
            parts.append(logits.softmax(-1))
        return _average(parts, self.share).clamp_min(LEAST_PROBABILITY).log()

    def forward(self, joint: Tensor) -> tuple[Tensor, ...]:
        """Probabilities [rows, classes] from :meth:`joint`; a row sums to 1."""
        return ((self.slope * joint + self.intercept).softmax(-1),)


class RegressionHead(nn.Module):
    """The average of network and scorer, in the target's own unit, and the ends of an interval around it.

    Both answer in standard deviations from the mean of the training target, or of its logarithm. The average is
    taken there; so is the interval's half width, which :mod:`training.interval` learns. Under a logarithm ``value`` is
    therefore nearer to the median than to the mean of what can be expected.
    """

    names = ("value", "lower", "upper")
    mean: Tensor
    deviation: Tensor
    half_width: Tensor
    share: Tensor

    def __init__(self, logarithm: bool) -> None:
        super().__init__()
        self.logarithm = logarithm
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("half_width", torch.zeros(()))
        self.register_buffer("share", torch.zeros(()))

    def standardise(self, target: Tensor) -> Tensor:
        """Target values, float64, as members answer them, float32."""
        return ((self._transform(target) - self.mean) / self.deviation).float()

    def learn(self, target: Tensor) -> None:
        """Take mean and deviation from the training target, float64 and not constant."""
        transformed = self._transform(target)
        self.mean.copy_(transformed.mean())
        self.deviation.copy_(transformed.std())

    def fresh(self) -> "RegressionHead":
        """One that knows the target, and nothing else yet."""
        head = RegressionHead(self.logarithm)
        head.mean.copy_(self.mean)
        head.deviation.copy_(self.deviation)
        return head

    def joint(self, answers: Tensor | None, scores: Tensor | None) -> Tensor:
        """The average in standard deviations, [rows, 1].

        Args:
            answers: Of the network's members, [rows, members, 1]; None without a network.
            scores: Of the scorer, [rows, 1]; None without one.
        """
        parts = [] if answers is None else [answers.mean(1)]
        return _average(parts if scores is None else [*parts, scores], self.share)

    def forward(self, joint: Tensor) -> tuple[Tensor, ...]:
        """Value, lower and upper end, each [rows, 1], from :meth:`joint`."""
        standard = torch.cat([joint, joint - self.half_width, joint + self.half_width], dim=1)
        values = standard * self.deviation + self.mean
        return torch.split(values.clamp_max(LARGEST_LOGARITHM).exp() if self.logarithm else values, 1, dim=1)

    def _transform(self, target: Tensor) -> Tensor:
        return target.log() if self.logarithm else target


def _average(parts: list[Tensor], share: Tensor) -> Tensor:
    """Of the network and of the scorer, which counts ``share``; the only one of them where there is no other."""
    if len(parts) == 1:
        return parts[0]
    network, scorer = parts
    return (1 - share) * network + share * scorer


Head = ClassificationHead | RegressionHead
