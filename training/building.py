"""A model with scales, bins and random weights, ready to be fitted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from contract.features import Feature
from training.bins import fit_bins
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
    logarithm = None if classes is not None else _prefers_logarithm(train.target)
    model = _build(preprocessor, features, train, _Task(classes or 1, logarithm), spec)
    model.head.learn(torch.tensor(train.target))
    return model


def rebuild_model(
    preprocessor: Preprocessor, features: Sequence[Feature], train: Sample, like: Model, spec: Spec
) -> Model:
    """The same for other rows, with the target learnt as another model learns it."""
    task = _Task(like.blueprint.outputs, like.blueprint.logarithm)
    model = _build(preprocessor, features, train, task, spec)
    model.head = like.head.fresh()
    return model


class _Task(NamedTuple):
    outputs: int
    logarithm: bool | None


def _build(preprocessor: Preprocessor, features: Sequence[Feature], train: Sample, task: _Task, spec: Spec) -> Model:
    scaling = fit_scaling(preprocessor, features, train.inputs, season=not spec.by_time)
    scaled = scaling(train.inputs.numbers, train.inputs.codes)
    target = np.log(train.target) if task.logarithm else train.target
    bins = fit_bins(scaled.numbers, target, task.logarithm is not None, spec.seed)
    cardinalities = _cardinalities(preprocessor, scaling.layout)
    blueprint = Blueprint(
        preprocessor=preprocessor,
        layout=scaling.layout,
        cardinalities=cardinalities,
        outputs=task.outputs,
        network=_architecture(scaling.layout, bins, cardinalities, task.outputs, spec.estimator),
        logarithm=task.logarithm,
    )
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        model = Model(blueprint)
    model.scaling.load_state_dict(scaling.state_dict())
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
        members=estimator.networks,
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
