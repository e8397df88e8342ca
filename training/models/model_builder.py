"""Build a model with fitted scaling and bins and with random weights, ready to be fitted."""

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

#: The number of codes of a weekday and of a boolean, including "missing".
WEEKDAYS, BOOLEANS = 8, 3


def build_model(  # noqa: PLR0913 (one argument is about the whole table)
    preprocessor: Preprocessor,
    features: Sequence[Feature],
    train: Sample,
    classes: int | None,
    spec: Spec,
    *,
    is_positive: bool = True,
) -> Model:
    """Fit everything that is not fitted by gradient on the training rows, and draw the initial weights.

    Args:
        preprocessor: The preprocessing that made ``train``.
        features: The features; their minimum and maximum narrow the range that values are clamped to.
        train: The training rows.
        classes: The number of classes; None for regression.
        spec: The model.yaml. Its ``estimator`` gives the sizes and its ``seed`` the initial weights. Under a split by
            time, the day of the year and the time itself are not inputs.
        is_positive: Whether every target of the table is above 0, including those outside of ``train``. If not, the
            model is not fitted on the logarithm of the target.
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
    """Build a model for other rows, with the transformation of the target that another model has.

    Args:
        preprocessor: The preprocessing that made ``train``.
        features: As for :func:`build_model`.
        train: The rows to fit scaling and bins on.
        like: The other model.
        spec: The model.yaml; as for :func:`build_model`.
    """
    return _with_network(rescaled(like, preprocessor, features, train), train, spec)


def rescaled(model: Model, preprocessor: Preprocessor, features: Sequence[Feature], train: Sample) -> Model:
    """Return a model with scaling fitted on these rows, the target transformation of another model, and no network.

    Args:
        model: The other model.
        preprocessor: The preprocessing that made ``train``.
        features: As for :func:`build_model`.
        train: The rows to fit the scaling on.
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
    """Return the model with a network of random weights."""
    blueprint = model.blueprint
    scaled = model.scaling(train.inputs.numbers, train.inputs.codes)
    target = np.log(train.target) if blueprint.logarithm else train.target
    bins = fit_bins(scaled.numbers, target, blueprint.logarithm is not None, spec.seed)
    architecture = _architecture(blueprint.layout, bins, blueprint.cardinalities, blueprint.outputs, spec.estimator)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        return model.with_network(Network(architecture))


def _cardinalities(preprocessor: Preprocessor, layout: Layout) -> tuple[int, ...]:
    levels = [1 + len(levels) for levels in preprocessor.levels.values()]
    return (*levels, *[WEEKDAYS] * layout.datetimes, *[BOOLEANS] * layout.booleans)


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
