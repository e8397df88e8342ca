"""The last layer: raw answers become the tensors that model_deployer/contract/outputs.py promises.

A head is all that training knows of its task: what is learnt of a target, what an answer costs, how answers are
averaged, and what other libraries are told, so that network, trees and linear model learn the same thing.
"""

import copy
import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from torch import Tensor, nn
from torch.nn import functional

from model_deployer.contract.outputs import CLASSIFICATION_TENSORS, REGRESSION_TENSORS
from model_deployer.training.models.conformal import conformal_quantile
from model_deployer.training.models.linear_quantile import LinearQuantile

#: The logarithm of the largest value that is answered, and that value; float32 ends at about exp(88.7).
LARGEST_LOGARITHM = 88.0
LARGEST = math.exp(LARGEST_LOGARITHM)

#: Rows of a leaf that lie beyond its quantile, at least, and leaves of a tree: a quantile takes more rows than a mean.
BEYOND, LEAVES = 3, 50

#: Rows that a leaf can ask for at most.
MOST_ROWS = 10**9

#: Keeps the logarithm of a probability finite in float32.
LEAST_PROBABILITY = 1e-12


class ClassificationHead(nn.Module):
    """The average probabilities of network and scorer, calibrated: ``softmax(slope * log p + intercept)``.

    Slope 1 and intercept 0 change nothing; :mod:`training.fitting.calibration` learns better ones. ``share`` is
    what the scorer (trees, or another estimator) counts in the average.
    """

    names = CLASSIFICATION_TENSORS
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
        """What is learnt, in LightGBM's terms; see :class:`training.models.search.Options`."""
        classes = len(self.intercept)
        return {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}

    def linear(self, rows: int) -> Any:
        """A linear model as scikit-learn fits it, for so many rows."""
        return LogisticRegression(max_iter=200, tol=1e-3)

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best answer of all that are the same for every row: the frequencies of the classes."""
        counts = np.bincount(target, weights, minlength=len(self.intercept))
        return np.asarray(counts / counts.sum())

    def fit_target(self, target: Tensor) -> None:
        """Nothing: class codes are learnt as they are."""

    def transform_target(self, target: Tensor) -> Tensor:
        """A target as it is learnt: class codes, int64."""
        return target

    def losses(self, answers: Tensor, target: Tensor) -> Tensor:
        """The log loss of each row, in nats, for logits or :meth:`combine`, [rows, classes], and class codes."""
        return functional.cross_entropy(answers, target, reduction="none")

    def fresh(self) -> "ClassificationHead":
        """One of as many classes that has learnt nothing yet."""
        return ClassificationHead(len(self.intercept))

    def combine(self, answers: Tensor | None, scores: Tensor | None) -> Tensor:
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

    def blend(self, network: Tensor, scorer: Tensor, share: float) -> Tensor:
        """What :meth:`combine` would be of both, from what it is of either, where the scorer counts ``share``."""
        return ((1 - share) * network.exp() + share * scorer.exp()).log()

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Probabilities [rows, classes] from :meth:`combine`; a row sums to 1."""
        return ((self.slope * combined + self.intercept).softmax(-1),)


class QuantityHead(nn.Module):
    """What the heads of quantities share: the average of network and scorer, and an interval around it.

    The ends lie ``below`` and ``above`` the value, on a scale on which these are the same for all rows.
    """

    names = REGRESSION_TENSORS

    #: Buffers that belong to one model, not to the target.
    own: tuple[str, ...] = ("share", "below", "above")
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

    def combine(self, answers: Tensor | None, scores: Tensor | None) -> Tensor:
        """The average on the scale that is learnt on, [rows, 1].

        Args:
            answers: Of the network's members, [rows, members, 1]; None without a network.
            scores: Of the scorer, [rows, 1]; None without one.
        """
        parts = [] if answers is None else [answers.mean(1)]
        return _average(parts if scores is None else [*parts, scores], self.share)

    def blend(self, network: Tensor, scorer: Tensor, share: float) -> Tensor:
        """What :meth:`combine` would be of both, from what it is of either, where the scorer counts ``share``."""
        return (1 - share) * network + share * scorer

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best answer of all that are the same for every row: the mean."""
        return np.array([np.average(target, weights=weights)])

    def residuals(self, combined: Tensor, target: Tensor) -> Tensor:
        """How far the truth lies above the answer, on the scale on which the interval is as wide for all rows."""
        raise NotImplementedError

    def fit_interval(self, combined: Tensor, target: Tensor, weights: Tensor, coverage: float) -> None:
        """Learn the interval from rows that were not fitted on; see :mod:`training.fitting.prediction_interval`."""
        width = conformal_quantile(self.residuals(combined, target).abs(), weights, coverage)
        self.below.copy_(width)
        self.above.copy_(width)


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
        """What is learnt, in LightGBM's terms; see :class:`training.models.search.Options`."""
        return {"objective": "regression"}

    @property
    def scale(self) -> float:
        """What a difference between answers is measured by; see :func:`training.export.export.answer_scale`."""
        return 1.0 if self.logarithm else max(1.0, self.deviation.item())

    def linear(self, rows: int) -> Any:
        """A linear model as scikit-learn fits it, for so many rows."""
        return Ridge()

    def fit_target(self, target: Tensor) -> None:
        """Take mean and deviation from the training target, float64 and not constant."""
        transformed = self._transform(target)
        self.mean.copy_(transformed.mean())
        self.deviation.copy_(transformed.std())

    def transform_target(self, target: Tensor) -> Tensor:
        """Target values, float64, as they are learnt: in standard deviations, float32."""
        return ((self._transform(target) - self.mean) / self.deviation).float()

    def losses(self, answers: Tensor, target: Tensor) -> Tensor:
        """The squared error of each row, in standard deviations, for answers [rows, 1] and :meth:`transform_target`."""
        return (answers[:, 0] - target) ** 2

    def residuals(self, combined: Tensor, target: Tensor) -> Tensor:
        """How far the truth lies above the answer, in standard deviations."""
        return self.transform_target(target) - combined[:, 0]

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Value, lower and upper end, each [rows, 1], from :meth:`combine`."""
        standard = torch.cat([combined, combined - self.below, combined + self.above], dim=1)
        values = standard * self.deviation + self.mean
        return torch.split(values.clamp_max(LARGEST_LOGARITHM).exp() if self.logarithm else values, 1, dim=1)

    def _transform(self, target: Tensor) -> Tensor:
        return target.log() if self.logarithm else target


class QuantileHead(RegressionHead):
    """The value that the truth stays at or below with a stated frequency, learnt by its pinball loss.

    The loss is that of Koenker and Bassett (1978, "Regression quantiles"). Validation rows then ``shift`` the value so
    that it keeps its promise on new ones (Romano, Patterson and Candes, 2019, "Conformalized quantile regression"). A
    quantile of a logarithm is the logarithm of the quantile, so a target is learnt as for a regression.
    """

    own = (*RegressionHead.own, "shift")
    shift: Tensor

    def __init__(self, logarithm: bool, quantile: float) -> None:
        super().__init__(logarithm)
        self.quantile = quantile

    @property
    def objective(self) -> dict[str, Any]:
        """What LightGBM is told."""
        rows = min(MOST_ROWS, round(BEYOND / min(self.quantile, 1 - self.quantile)))
        return {"objective": "quantile", "alpha": self.quantile, "min_data_in_leaf": rows, "num_leaves": LEAVES}

    def linear(self, rows: int) -> Any:
        """A linear model that is fitted as scikit-learn's are, for so many rows: as little shrunk as by a ridge."""
        return LinearQuantile(self.quantile, alpha=1 / rows)

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best answer of all that are the same for every row: the quantile."""
        return np.asarray(np.quantile(target, [self.quantile], weights=weights, method="inverted_cdf"))

    def losses(self, answers: Tensor, target: Tensor) -> Tensor:
        """The pinball loss of each row, in standard deviations, for answers [rows, 1] and :meth:`transform_target`."""
        residuals = target - answers[:, 0]
        return torch.maximum(self.quantile * residuals, (self.quantile - 1) * residuals)

    def fit_interval(self, combined: Tensor, target: Tensor, weights: Tensor, coverage: float) -> None:
        """As for other quantities; but the ends are quantiles too.

        Equally many truths lie beyond either end, or fewer where the value itself lies further out than that.
        """
        residuals, quantile = self.residuals(combined, target), self.quantile
        lowest = min(max((1 - coverage) / 2, quantile - coverage), quantile)
        self.shift.copy_(conformal_quantile(residuals, weights, quantile))
        self.below.copy_(conformal_quantile(self.shift - residuals, weights, 1 - lowest).clamp_min(0))
        self.above.copy_(conformal_quantile(residuals - self.shift, weights, lowest + coverage).clamp_min(0))

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Value, lower and upper end, each [rows, 1], from :meth:`combine`."""
        return super().forward(combined + self.shift)


class CountHead(QuantityHead):
    """How many there are to be expected, learnt by the Poisson deviance of the rate.

    Network and trees answer the logarithm of the rate, in units of the mean training target; the average is taken
    there. The rate is right on average however the counts scatter around it (Gourieroux, Monfort and Trognon, 1984,
    "Pseudo maximum likelihood methods: applications to Poisson models"). The interval is as wide for all rows in twice
    the root of the count, in which counts scatter alike at all rates (Anscombe, 1948, "The transformation of Poisson,
    binomial and negative-binomial data"), so it grows with the rate.
    """

    logarithm = False
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    @property
    def objective(self) -> dict[str, Any]:
        """What LightGBM is told."""
        return {"objective": "poisson"}

    @property
    def scale(self) -> float:
        """What a difference between answers is measured by; see :func:`training.export.export.answer_scale`."""
        return max(1.0, self.mean.item())

    def linear(self, rows: int) -> Any:
        """A linear model as scikit-learn fits it, for so many rows: as little shrunk as by a ridge regression."""
        return PoissonRegressor(alpha=1 / rows, max_iter=200)

    def fit_target(self, target: Tensor) -> None:
        """Take the mean from the training target, float64 and not all 0."""
        self.mean.copy_(target.mean())

    def transform_target(self, target: Tensor) -> Tensor:
        """Counts, float64, as they are learnt: in units of their mean, float32."""
        return (target / self.mean).float()

    def losses(self, answers: Tensor, target: Tensor) -> Tensor:
        """The Poisson deviance of each row, in units of the mean; answers are [rows, 1]."""
        logarithm = answers[:, 0].clamp_max(LARGEST_LOGARITHM)
        return 2 * (logarithm.exp() - target - target * logarithm + torch.xlogy(target, target))

    def residuals(self, combined: Tensor, target: Tensor) -> Tensor:
        """How far twice the root of the truth lies above that of the answer."""
        return _twice_the_root(target) - _twice_the_root(self._rate(combined))[:, 0]

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Value, lower and upper end, each [rows, 1], from :meth:`combine`."""
        value = self._rate(combined)
        root = _twice_the_root(value)
        lower, upper = (((end.clamp_min(0) / 2) ** 2 - 3 / 8) for end in (root - self.below, root + self.above))
        # The root and its square may round to the other side of a value that has many digits.
        return value, torch.minimum(lower.clamp_min(0), value), torch.maximum(upper.clamp_max(LARGEST), value)

    def _rate(self, combined: Tensor) -> Tensor:
        return (combined.exp() * self.mean).clamp_max(LARGEST)


def _twice_the_root(count: Tensor) -> Tensor:
    return 2 * (count + 3 / 8).sqrt()


def _average(parts: list[Tensor], share: Tensor) -> Tensor:
    """Of the network and of the scorer, which counts ``share``; the only one of them where there is no other."""
    if len(parts) == 1:
        return parts[0]
    network, scorer = parts
    return (1 - share) * network + share * scorer


Head = ClassificationHead | RegressionHead | CountHead
