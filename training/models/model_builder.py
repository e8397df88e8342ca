"""A model with scales, bins and random weights, ready to be fitted."""

from collections.abc import Sequence

import numpy as np
import torch

from model_deployer.contract.features import Feature
from model_deployer.training.data.target import prefers_logarithm
from model_deployer.training.models.model import Blueprint, Model
from model_deployer.training.models.network import Architecture, Network
from model_deployer.training.preprocessing.bins import fit_bins
from model_deployer.training.preprocessing.preprocessing import Preprocessor
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.preprocessing.scaling import Layout, fit_scaling
from model_deployer.training.runtime.devices import members
from model_deployer.training.spec import Estimator, Spec

#: Codes of a weekday and of a boolean, "missing" included.
WEEKDAYS, STATES = 8, 3


def build_model(  # noqa: PLR0913 (one fact of the whole table)
    preprocessor: Preprocessor,
    features: Sequence[Feature],
    train: Sample,
    classes: int | None,
    spec: Spec,
    *,
    is_positive: bool = True,
) -> Model:
    """Learn from the training rows all that is not learnt by gradient, and draw the first weights.

    Args:
        preprocessor: What made ``train``.
        features: Their stated bounds narrow the range of numbers.
        train: The training rows.
        classes: The number of classes; None for regression.
        spec: Its ``estimator`` gives the sizes and its ``seed`` the first weights; under a split by time nothing is
            learnt from the position in the year.
        is_positive: Whether every known target is, those outside of ``train`` too: else its logarithm is not learnt.
    """
    scaling = fit_scaling(preprocessor, features, train.inputs, season=not spec.by_time)
    count = spec.task == "count"
    blueprint = Blueprint(
        preprocessor=preprocessor,
        layout=scaling.layout,
        cardinalities=_cardinalities(preprocessor, scaling.layout),
        outputs=classes or 1,
        network=None,
        logarithm=None if classes is not None else is_positive and not count and prefers_logarithm(train.target),
        count=count,
        quantile=spec.quantile,
    )
    model = Model(blueprint)
    model.scaling.load_state_dict(scaling.state_dict())
    model.head.fit_target(torch.tensor(train.target))
    return _with_network(model, train, spec)


def rebuild_model(
    preprocessor: Preprocessor, features: Sequence[Feature], train: Sample, like: Model, spec: Spec
) -> Model:
    """The same for other rows, with the target learnt as another model learns it."""
    return _with_network(rescaled(like, preprocessor, features, train), train, spec)


def rescaled(model: Model, preprocessor: Preprocessor, features: Sequence[Feature], train: Sample) -> Model:
    """A model that knows the target as another does, and of the inputs only these rows; nothing learnt answers yet.

    Args:
        model: The other.
        preprocessor: What made ``train``.
        features: As for :func:`build_model`.
        train: The rows to learn scales from.
    """
    scaling = fit_scaling(preprocessor, features, train.inputs, season=model.blueprint.layout.season)
    changes = {
        "preprocessor": preprocessor,
        "layout": scaling.layout,
        "cardinalities": _cardinalities(preprocessor, scaling.layout),
        "network": None,
        "has_scorer": False,
    }
    other = Model(model.blueprint.model_copy(update=changes))
    other.scaling.load_state_dict(scaling.state_dict())
    other.head = model.head.fresh()
    return other


def _with_network(model: Model, train: Sample, spec: Spec) -> Model:
    """The model with a network of random weights."""
    blueprint = model.blueprint
    scaled = model.scaling(train.inputs.numbers, train.inputs.codes)
    target = np.log(train.target) if blueprint.logarithm else train.target
    bins = fit_bins(scaled.numbers, target, blueprint.logarithm is not None, spec.seed)
    shape = _architecture(blueprint.layout, bins, blueprint.cardinalities, blueprint.outputs, spec.estimator)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        return model.with_network(Network(shape))


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
