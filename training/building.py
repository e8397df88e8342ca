"""A model with scales, bins and random weights, ready to be fitted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contract.features import Feature
from training.bins import fit_bins
from training.machines import members
from training.model import Blueprint, Model
from training.network import Architecture
from training.preprocessing import Preprocessor
from training.sample import Sample
from training.scaling import Layout, fit_scaling
from training.spec import Estimator, Spec

#: Codes of a weekday and of a boolean, "missing" included.
WEEKDAYS, STATES = 8, 3


def build_model(
    preprocessor: Preprocessor,
    features: Sequence[Feature],
    train: Sample,
    classes: int | None,
    spec: Spec,
) -> Model:
    """Learn from the training rows all that is not learnt by gradient, and draw the first weights.

    Args:
        preprocessor: What made ``train``.
        features: Their stated bounds narrow the range of numbers.
        train: The training rows.
        classes: The number of classes; None for regression.
        spec: Its ``estimator`` gives the sizes and its ``seed`` the first weights; under a split by time nothing is
            learnt from the position in the year.
    """
    target = train.target
    scaling = fit_scaling(preprocessor, features, train.inputs, season=not spec.by_time)
    is_positive = train.beyond is None or train.beyond.least > 0
    logarithm = None if classes is not None else is_positive and _prefers_logarithm(target)
    scaled = scaling(train.inputs.numbers, train.inputs.codes)
    bins = fit_bins(scaled.numbers, np.log(target) if logarithm else target, classes is None, spec.seed)
    cardinalities = _cardinalities(preprocessor, scaling.layout)
    blueprint = Blueprint(
        preprocessor=preprocessor,
        layout=scaling.layout,
        cardinalities=cardinalities,
        outputs=classes or 1,
        network=_architecture(scaling.layout, bins, cardinalities, classes or 1, spec.estimator),
        logarithm=logarithm,
    )
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        model = Model(blueprint)
    model.scaling.load_state_dict(scaling.state_dict())
    model.head.learn(torch.tensor(target))
    return model


def _cardinalities(preprocessor: Preprocessor, layout: Layout) -> tuple[int, ...]:
    levels = [1 + len(levels) for levels in preprocessor.levels.values()]
    return (*levels, *[WEEKDAYS] * layout.datetimes, *[STATES] * layout.booleans)


def _architecture(
    layout: Layout,
    bins: tuple[tuple[float, ...], ...],
    cardinalities: tuple[int, ...],
    outputs: int,
    estimator: Estimator,
) -> Architecture:
    return Architecture(
        bins=bins,
        gaps=len(layout.gaps),
        cardinalities=cardinalities,
        outputs=outputs,
        members=members(estimator),
        width=estimator.width,
        blocks=estimator.blocks,
        embedding=estimator.embedding,
        dropout=estimator.dropout,
    )


def _prefers_logarithm(target: NDArray[Any]) -> bool:
    """Whether a target is positive throughout, with a long tail that the logarithm shortens."""
    if target.min() <= 0:
        return False
    return _skewness(target) > 1 and abs(_skewness(np.log(target))) < _skewness(target) / 2


def _skewness(values: NDArray[Any]) -> float:
    standard = (values - values.mean()) / values.std()
    return float((standard**3).mean())
