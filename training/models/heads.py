"""The last layer of a model: it converts raw outputs to the tensors of model_deployer/contract/outputs.py.

A head holds everything that is specific to a task: the transformation of the target, the loss, the average of network
and ONNX estimator, and the objective for other libraries. So network, trees and linear model are fitted on the same
target and loss.
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

#: The logarithm of the largest predicted value, and that value; float32 ends at about exp(88.7).
MAX_LOGARITHM = 88.0
MAX_VALUE = math.exp(MAX_LOGARITHM)

#: For a quantile: the minimum number of rows beyond the quantile in a leaf, and the number of leaves of a tree. The
#: estimate of a quantile needs more rows than the estimate of a mean.
MIN_ROWS_BEYOND, LEAVES = 3, 50

#: The limit of the minimum number of rows in a leaf.
MAX_LEAF_ROWS = 10**9

#: The smallest probability whose logarithm is taken; it keeps the logarithm finite in float32.
MIN_PROBABILITY = 1e-12


class ClassificationHead(nn.Module):
    """The head of a classifier: the calibrated average of the probabilities of network and ONNX estimator.

    The calibration is ``softmax(slope * log p + intercept)``. Slope 1 and intercept 0 change nothing;
    :mod:`training.fitting.calibration` fits better ones. ``share`` is the weight of the ONNX estimator in the average.
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
        """The objective in LightGBM's terms; see :class:`training.models.search.Options`."""
        classes = len(self.intercept)
        return {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}

    def linear(self, rows: int) -> Any:
        """Return an unfitted linear model of scikit-learn, for this number of rows."""
        return LogisticRegression(max_iter=200, tol=1e-3)

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the best constant prediction: the frequencies of the classes, float64 [classes].

        Args:
            target: Class codes, int64 [rows].
            weights: The weight of each row, float64 [rows].
        """
        counts = np.bincount(target, weights, minlength=len(self.intercept))
        return np.asarray(counts / counts.sum())

    def fit_target(self, target: Tensor) -> None:
        """Do nothing: the model is fitted on the class codes themselves."""

    def transform_target(self, target: Tensor) -> Tensor:
        """Return the target that the model is fitted on: the class codes, int64 [rows]."""
        return target

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the log loss of each row, in nats [rows].

        Args:
            outputs: Logits, or the result of :meth:`combine`: float [rows, classes].
            target: Class codes, int64 [rows].
        """
        return functional.cross_entropy(outputs, target, reduction="none")

    def fresh(self) -> "ClassificationHead":
        """Return an unfitted head for the same number of classes."""
        return ClassificationHead(len(self.intercept))

    def combine(self, member_outputs: Tensor | None, scores: Tensor | None) -> Tensor:
        """Return the logarithms of the average probabilities, float32 [rows, classes].

        Args:
            member_outputs: The logits of the network's members, float32 [rows, members, classes]; None without a
                network.
            scores: The logits of the ONNX estimator, float32 [rows, classes], or [rows, 1] for two classes; None
                without one.
        """
        parts = [] if member_outputs is None else [member_outputs.softmax(-1).mean(1)]
        if scores is not None:
            logits = torch.cat([torch.zeros_like(scores), scores], dim=1) if scores.shape[1] == 1 else scores
            parts.append(logits.softmax(-1))
        return _average(parts, self.share).clamp_min(MIN_PROBABILITY).log()

    def blend(self, network: Tensor, estimator: Tensor, share: float) -> Tensor:
        """Return :meth:`combine` of network and estimator together, from the results for each of them alone.

        Args:
            network: The result for the network alone, [rows, classes].
            estimator: The result for the ONNX estimator alone, [rows, classes].
            share: The weight of the estimator, from 0 to 1.
        """
        return ((1 - share) * network.exp() + share * estimator.exp()).log()

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities, float32 [rows, classes], from :meth:`combine`; a row sums to 1."""
        return ((self.slope * combined + self.intercept).softmax(-1),)


class QuantityHead(nn.Module):
    """The common part of the heads of quantities: the average of network and ONNX estimator, and an interval around it.

    The interval extends from the value by ``below`` and ``above``, which are the same for all rows on the scale of
    :meth:`residuals`.
    """

    names = REGRESSION_TENSORS

    #: The buffers that belong to the fitted model, not to the target.
    model_buffers: tuple[str, ...] = ("share", "below", "above")
    below: Tensor
    above: Tensor
    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in self.model_buffers:
            self.register_buffer(name, torch.zeros(()))

    def fresh(self) -> Self:
        """Return a head with the same transformation of the target, and nothing else fitted."""
        head = copy.deepcopy(self)
        for name in self.model_buffers:
            getattr(head, name).zero_()
        return head

    def combine(self, member_outputs: Tensor | None, scores: Tensor | None) -> Tensor:
        """Return the average on the scale that the model is fitted on, float32 [rows, 1].

        Args:
            member_outputs: The outputs of the network's members, float32 [rows, members, 1]; None without a network.
            scores: The outputs of the ONNX estimator, float32 [rows, 1]; None without one.
        """
        parts = [] if member_outputs is None else [member_outputs.mean(1)]
        return _average(parts if scores is None else [*parts, scores], self.share)

    def blend(self, network: Tensor, estimator: Tensor, share: float) -> Tensor:
        """Return :meth:`combine` of network and estimator together, from the results for each of them alone.

        Args:
            network: The result for the network alone, [rows, 1].
            estimator: The result for the ONNX estimator alone, [rows, 1].
            share: The weight of the estimator, from 0 to 1.
        """
        return (1 - share) * network + share * estimator

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the best constant prediction for targets [rows] with weights [rows]: the mean, float64 [1]."""
        return np.array([np.average(target, weights=weights)])

    def residuals(self, combined: Tensor, target: Tensor) -> Tensor:
        """Return target minus prediction [rows], on the scale that gives all rows an interval of the same width.

        Args:
            combined: The result of :meth:`combine`, [rows, 1].
            target: Values in the target's unit, float64 [rows].
        """
        raise NotImplementedError

    def fit_interval(self, combined: Tensor, target: Tensor, weights: Tensor, coverage: float) -> None:
        """Fit the interval on rows that the model was not fitted on; see :mod:`training.fitting.prediction_interval`.

        Args:
            combined: The result of :meth:`combine`, [rows, 1].
            target: Values in the target's unit, float64 [rows].
            weights: The weight of each row, float64 [rows].
            coverage: The share of new rows with a target in the interval, from 0 to 1.
        """
        width = conformal_quantile(self.residuals(combined, target).abs(), weights, coverage)
        self.below.copy_(width)
        self.above.copy_(width)


class RegressionHead(QuantityHead):
    """The head of a regression: a value in the target's unit, fitted by the squared error.

    The outputs of network and ONNX estimator are in standard deviations from the mean of the training target, or of its
    logarithm. The average and the width of the interval are on this scale. With a logarithm, ``value`` is therefore
    closer to the expected median than to the expected mean.
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
        """The objective in LightGBM's terms; see :class:`training.models.search.Options`."""
        return {"objective": "regression"}

    @property
    def scale(self) -> float:
        """The unit of differences between predictions; see :func:`training.export.export.prediction_scale`."""
        return 1.0 if self.logarithm else max(1.0, self.deviation.item())

    def linear(self, rows: int) -> Any:
        """Return an unfitted linear model of scikit-learn, for this number of rows."""
        return Ridge()

    def fit_target(self, target: Tensor) -> None:
        """Compute mean and deviation of the training target, float64 [rows] and not constant."""
        transformed = self._transform(target)
        self.mean.copy_(transformed.mean())
        self.deviation.copy_(transformed.std())

    def transform_target(self, target: Tensor) -> Tensor:
        """Convert target values, float64 [rows], to standard deviations, float32 [rows]."""
        return ((self._transform(target) - self.mean) / self.deviation).float()

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the squared error of each row, in squared standard deviations [rows].

        Args:
            outputs: Predictions in standard deviations, float [rows, 1].
            target: The result of :meth:`transform_target`, [rows].
        """
        return (outputs[:, 0] - target) ** 2

    def residuals(self, combined: Tensor, target: Tensor) -> Tensor:
        """Return target minus prediction in standard deviations [rows]."""
        return self.transform_target(target) - combined[:, 0]

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Return value, lower and upper end of the interval, each float32 [rows, 1], from :meth:`combine`."""
        standard = torch.cat([combined, combined - self.below, combined + self.above], dim=1)
        values = standard * self.deviation + self.mean
        return torch.split(values.clamp_max(MAX_LOGARITHM).exp() if self.logarithm else values, 1, dim=1)

    def _transform(self, target: Tensor) -> Tensor:
        return target.log() if self.logarithm else target


class QuantileHead(RegressionHead):
    """The head of a quantile: the value that the target does not exceed with a given probability.

    It is fitted by the pinball loss (Koenker and Bassett, 1978, "Regression quantiles"). Then the validation rows
    determine a ``shift`` that gives the right probability on new rows (Romano, Patterson and Candes, 2019,
    "Conformalized quantile regression"). The quantile of a logarithm is the logarithm of the quantile, so the target is
    transformed as for a regression.
    """

    model_buffers = (*RegressionHead.model_buffers, "shift")
    shift: Tensor

    def __init__(self, logarithm: bool, quantile: float) -> None:
        super().__init__(logarithm)
        self.quantile = quantile

    @property
    def objective(self) -> dict[str, Any]:
        """The objective in LightGBM's terms; see :class:`training.models.search.Options`."""
        rows = min(MAX_LEAF_ROWS, round(MIN_ROWS_BEYOND / min(self.quantile, 1 - self.quantile)))
        return {"objective": "quantile", "alpha": self.quantile, "min_data_in_leaf": rows, "num_leaves": LEAVES}

    def linear(self, rows: int) -> Any:
        """Return an unfitted linear model for this number of rows, with a penalty like Ridge's."""
        return LinearQuantile(self.quantile, alpha=1 / rows)

    def trivial(self, target: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the best constant prediction for targets [rows] with weights [rows]: the quantile, float64 [1]."""
        return np.asarray(np.quantile(target, [self.quantile], weights=weights, method="inverted_cdf"))

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the pinball loss of each row, in standard deviations [rows].

        Args:
            outputs: Predictions in standard deviations, float [rows, 1].
            target: The result of :meth:`transform_target`, [rows].
        """
        residuals = target - outputs[:, 0]
        return torch.maximum(self.quantile * residuals, (self.quantile - 1) * residuals)

    def fit_interval(self, combined: Tensor, target: Tensor, weights: Tensor, coverage: float) -> None:
        """Fit the shift and the interval; the arguments are those of :meth:`QuantityHead.fit_interval`.

        The ends of the interval are quantiles too. The same share of targets is beyond either end, or a smaller share
        if the predicted quantile itself is further out than that.
        """
        residuals, quantile = self.residuals(combined, target), self.quantile
        lower_quantile = min(max((1 - coverage) / 2, quantile - coverage), quantile)
        upper_quantile = lower_quantile + coverage
        self.shift.copy_(conformal_quantile(residuals, weights, quantile))
        self.below.copy_(conformal_quantile(self.shift - residuals, weights, 1 - lower_quantile).clamp_min(0))
        self.above.copy_(conformal_quantile(residuals - self.shift, weights, upper_quantile).clamp_min(0))

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Return value, lower and upper end of the interval, each float32 [rows, 1], from :meth:`combine`."""
        return super().forward(combined + self.shift)


class CountHead(QuantityHead):
    """The head of a count: the expected count (rate), fitted by the Poisson deviance.

    The outputs of network and ONNX estimator are the logarithm of the rate, in units of the mean training target; the
    average is on this scale. The rate is unbiased whatever the variance of the counts (Gourieroux, Monfort and Trognon,
    1984, "Pseudo maximum likelihood methods: applications to Poisson models"). The interval has the same width for all
    rows on the scale of twice the square root of the count, on which counts have the same variance at all rates
    (Anscombe, 1948, "The transformation of Poisson, binomial and negative-binomial data"); so it grows with the rate.
    """

    logarithm = False
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    @property
    def objective(self) -> dict[str, Any]:
        """The objective in LightGBM's terms; see :class:`training.models.search.Options`."""
        return {"objective": "poisson"}

    @property
    def scale(self) -> float:
        """The unit of differences between predictions; see :func:`training.export.export.prediction_scale`."""
        return max(1.0, self.mean.item())

    def linear(self, rows: int) -> Any:
        """Return an unfitted linear model of scikit-learn for this number of rows, with a penalty like Ridge's."""
        return PoissonRegressor(alpha=1 / rows, max_iter=200)

    def fit_target(self, target: Tensor) -> None:
        """Compute the mean of the training target, float64 [rows] and not all 0."""
        self.mean.copy_(target.mean())

    def transform_target(self, target: Tensor) -> Tensor:
        """Convert counts, float64 [rows], to units of their mean, float32 [rows]."""
        return (target / self.mean).float()

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the Poisson deviance of each row, in units of the mean [rows].

        Args:
            outputs: Logarithms of the rate in units of the mean, float [rows, 1].
            target: The result of :meth:`transform_target`, [rows].
        """
        logarithm = outputs[:, 0].clamp_max(MAX_LOGARITHM)
        return 2 * (logarithm.exp() - target - target * logarithm + torch.xlogy(target, target))

    def residuals(self, combined: Tensor, target: Tensor) -> Tensor:
        """Return twice the square root of the target minus that of the prediction [rows]."""
        return _anscombe(target) - _anscombe(self._rate(combined))[:, 0]

    def forward(self, combined: Tensor) -> tuple[Tensor, ...]:
        """Return value, lower and upper end of the interval, each float32 [rows, 1], from :meth:`combine`."""
        value = self._rate(combined)
        root = _anscombe(value)
        lower, upper = (((end.clamp_min(0) / 2) ** 2 - 3 / 8) for end in (root - self.below, root + self.above))
        # The root and its square may round to the other side of a value with many digits.
        return value, torch.minimum(lower.clamp_min(0), value), torch.maximum(upper.clamp_max(MAX_VALUE), value)

    def _rate(self, combined: Tensor) -> Tensor:
        return (combined.exp() * self.mean).clamp_max(MAX_VALUE)


def _anscombe(count: Tensor) -> Tensor:
    """Return twice the square root of counts plus 3/8: the variance-stabilising transformation of Anscombe (1948)."""
    return 2 * (count + 3 / 8).sqrt()


def _average(parts: list[Tensor], share: Tensor) -> Tensor:
    """Return the average of network and ONNX estimator, whose weight is ``share``, or the only one of them."""
    if len(parts) == 1:
        return parts[0]
    network, estimator = parts
    return (1 - share) * network + share * estimator


Head = ClassificationHead | RegressionHead | CountHead
