"""The last layer: raw answers become the tensors that contract/outputs.py promises.

A head is all that training knows of its task: what is learnt of a target, what an answer costs, how answers are
averaged, and what other libraries are told, so that network, trees and linear model learn the same thing.
"""

import copy
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn
from torch.nn import functional

from training.conformal import bound

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
    scale = 1.0
    slope: Tensor
    intercept: Tensor
    share: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("intercept", torch.zeros(classes))
        self.register_buffer("share", torch.zeros(()))

    @property
    def objective(self) -> dict[str, Any]:
        """What is learnt, in LightGBM's terms; see :class:`training.search.Options`."""
        classes = len(self.intercept)
        return {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}

    def linear(self) -> Any:
        """A linear model as scikit-learn fits it."""
        return LogisticRegression(max_iter=200, tol=1e-3)

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best answer of all that are the same for every row: the frequencies of the classes."""
        counts = np.bincount(target, weights, minlength=len(self.intercept))
        return np.asarray(counts / counts.sum())

    def learn(self, target: Tensor) -> None:
        """Nothing: class codes are learnt as they are."""

    def learnt(self, target: Tensor) -> Tensor:
        """A target as it is learnt: class codes, int64."""
        return target

    def losses(self, answers: Tensor, target: Tensor) -> Tensor:
        """The log loss of each row, in nats, for logits or :meth:`joint`, [rows, classes], and class codes."""
        return functional.cross_entropy(answers, target, reduction="none")

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

    def mixed(self, network: Tensor, scorer: Tensor, share: float) -> Tensor:
        """What :meth:`joint` would be of both, from what it is of either, where the scorer counts ``share``."""
        return ((1 - share) * network.exp() + share * scorer.exp()).log()

    def forward(self, joint: Tensor) -> tuple[Tensor, ...]:
        """Probabilities [rows, classes] from :meth:`joint`; a row sums to 1."""
        return ((self.slope * joint + self.intercept).softmax(-1),)


class QuantityHead(nn.Module):
    """What the heads of quantities share: the average of network and scorer, and an interval around it.

    The ends lie ``below`` and ``above`` the value, on a scale on which these are the same for all rows.
    """

    names = ("value", "lower", "upper")

    #: Buffers that belong to one model, not to the target.
    own = ("share", "below", "above")
    below: Tensor
    above: Tensor
    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in self.own:
            self.register_buffer(name, torch.zeros(()))

    def fresh(self) -> Self:
        """One that knows the target, and nothing else yet."""
        head = copy.deepcopy(self)
        for name in self.own:
            getattr(head, name).zero_()
        return head

    def joint(self, answers: Tensor | None, scores: Tensor | None) -> Tensor:
        """The average on the scale that is learnt on, [rows, 1].

        Args:
            answers: Of the network's members, [rows, members, 1]; None without a network.
            scores: Of the scorer, [rows, 1]; None without one.
        """
        parts = [] if answers is None else [answers.mean(1)]
        return _average(parts if scores is None else [*parts, scores], self.share)

    def mixed(self, network: Tensor, scorer: Tensor, share: float) -> Tensor:
        """What :meth:`joint` would be of both, from what it is of either, where the scorer counts ``share``."""
        return (1 - share) * network + share * scorer


class RegressionHead(QuantityHead):
    """A value in the target's own unit, learnt by its squared error.

    Network and scorer answer in standard deviations from the mean of the training target, or of its logarithm. The
    average is taken there; so is the interval's width. Under a logarithm ``value`` is therefore nearer to the median
    than to the mean of what can be expected.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, logarithm: bool) -> None:
        super().__init__()
        self.logarithm = logarithm
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    @property
    def objective(self) -> dict[str, Any]:
        """What is learnt, in LightGBM's terms; see :class:`training.search.Options`."""
        return {"objective": "regression"}

    @property
    def scale(self) -> float:
        """What a difference between answers is measured by; see :func:`training.export.answer_scale`."""
        return 1.0 if self.logarithm else max(1.0, self.deviation.item())

    def linear(self) -> Any:
        """A linear model as scikit-learn fits it."""
        return Ridge()

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best answer of all that are the same for every row: the mean."""
        return np.array([np.average(target, weights=weights)])

    def learn(self, target: Tensor) -> None:
        """Take mean and deviation from the training target, float64 and not constant."""
        transformed = self._transform(target)
        self.mean.copy_(transformed.mean())
        self.deviation.copy_(transformed.std())

    def learnt(self, target: Tensor) -> Tensor:
        """Target values, float64, as they are learnt: in standard deviations, float32."""
        return ((self._transform(target) - self.mean) / self.deviation).float()

    def losses(self, answers: Tensor, target: Tensor) -> Tensor:
        """The squared error of each row, in standard deviations, for answers [rows, 1] and :meth:`learnt`."""
        return (answers[:, 0] - target) ** 2

    def promise(self, joint: Tensor, target: Tensor, weights: Tensor, coverage: float) -> None:
        """Learn the interval from rows that the weights were not learnt from; see :mod:`training.interval`."""
        width = bound((self.learnt(target) - joint[:, 0]).abs(), weights, coverage)
        self.below.copy_(width)
        self.above.copy_(width)

    def forward(self, joint: Tensor) -> tuple[Tensor, ...]:
        """Value, lower and upper end, each [rows, 1], from :meth:`joint`."""
        standard = torch.cat([joint, joint - self.below, joint + self.above], dim=1)
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
