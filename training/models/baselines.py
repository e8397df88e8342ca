"""Two simple models on the same rows, for comparison: a model must be better than they are to be worth its cost."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.evaluation import LINEAR, TRIVIAL
from model_deployer.contract.outputs import Arrays
from model_deployer.training.models.linear import LinearArchitecture, fit_linear
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.preprocessing import Inputs
from model_deployer.training.preprocessing.sample import Sample


class Baseline(Protocol):
    """A simple model to compare with."""

    def predict(self, inputs: Inputs) -> Arrays:
        """Return ``probabilities`` float [rows, classes], or ``value`` float [rows, 1]."""


def fit_baselines(model: Model, train: Sample) -> dict[str, Baseline]:
    """Fit ``trivial``, which predicts the same for every row, and ``linear``, on the scaled inputs of the network.

    Args:
        model: The model that provides the scaling and the transformation of the target.
        train: The training rows.

    Returns:
        The baselines by name.
    """
    name = model.head.names[0]
    trivial = _Trivial(name, model.head.trivial(train.target, train.row_weights))
    return {TRIVIAL: trivial, LINEAR: _Linear(name, linear_model(model, train))}


def trivial_prediction(train: Sample, classes: int | None, rows: int) -> dict[str, Arrays]:
    """Return the baseline ``trivial`` alone, for fields that a linear model cannot take, such as vectors and images.

    Args:
        train: The training rows; their inputs do not count.
        classes: The number of classes; None for a quantity.
        rows: The number of rows to predict.
    """
    if classes is None:
        return {TRIVIAL: {"value": np.full((rows, 1), np.average(train.target, weights=train.row_weights))}}
    counts = np.bincount(train.target, train.row_weights, minlength=classes)
    return {TRIVIAL: {"probabilities": np.tile(counts / counts.sum(), (rows, 1))}}


def baseline_predictions(model: Model, rows: Sample, test: Sample) -> dict[str, Arrays]:
    """Fit the baselines on rows, and return their predictions for the test rows, by name; see :func:`fit_baselines`."""
    return {name: baseline.predict(test.inputs) for name, baseline in fit_baselines(model, rows).items()}


def linear_model(model: Model, train: Sample) -> Model:
    """Fit a linear model with the scaling and the target transformation of another model.

    Args:
        model: The other model.
        train: The training rows.
    """
    layout = model.scaling.layout
    architecture = LinearArchitecture(
        numbers=layout.numbers,
        gaps=len(layout.gaps),
        cardinalities=model.blueprint.cardinalities,
        outputs=model.blueprint.outputs,
    )
    estimator, target = model.head.linear(len(train)), model.transform_target(train.target)
    linear = fit_linear(estimator, model.scaling, architecture, train, target)
    return model.with_network(linear)


@dataclass(frozen=True)
class _Trivial:
    name: str
    prediction: NDArray[np.float64]

    def predict(self, inputs: Inputs) -> Arrays:
        return {self.name: np.tile(self.prediction, (len(inputs), 1))}


@dataclass(frozen=True)
class _Linear:
    name: str
    model: Model

    def predict(self, inputs: Inputs) -> Arrays:
        return {self.name: self.model.predict(inputs)[self.name].numpy()}
