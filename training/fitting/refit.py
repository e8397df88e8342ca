"""Fit the chosen model again, on the training and validation rows together.

After the choice, the validation rows are free for training: the model gets more rows and, under a split by time, the
most recent ones. What they decided is kept: parameters, rounds and epochs, the share of a blend, and the calibration or
interval of the first fit. The test part measures whether these still hold.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from model_deployer.training.fitting.candidates import Choice
from model_deployer.training.fitting.fitting import fit
from model_deployer.training.models.baselines import linear_model
from model_deployer.training.models.estimators import fit_estimator
from model_deployer.training.models.linear import Linear
from model_deployer.training.models.model import Model
from model_deployer.training.models.network import Network
from model_deployer.training.models.own_network import OwnNetwork, build_own_network
from model_deployer.training.preprocessing.matrix import Matrix, fit_columns
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.runtime.devices import broadcast_decision
from model_deployer.training.spec import Component, Spec

#: The number of rows for the validation loss of the network, which only shows whether the fit stays finite.
_MONITORED_ROWS = 1_000


def refit(choice: Choice, model: Model, rows: Sample, spec: Spec, folder: Path) -> Model:
    """Fit the chosen kind of model on these rows.

    Args:
        choice: The chosen model, with its calibrated head.
        model: A model from :func:`training.models.model_builder.rebuild_model` on ``rows``.
        rows: The training and validation rows.
        spec: The model.yaml, for its seed.
        folder: The folder for the checkpoints of this fit; nothing else may use it.

    Raises:
        CheckFailed, EnvironmentFault, KeyboardInterrupt: as :func:`training.fitting.fitting.fit`.
    """
    print_stage("refit", f"on the training and validation parts together, {rows.rows:,} rows")
    if isinstance(choice.model.network, OwnNetwork):
        model = _with_own_network(model, choice.model.network, spec.seed)
    refitted = model.with_network(_refitted_network(choice, model, rows, folder))
    if choice.recipe.search_result:
        refitted = _with_refitted_estimator(choice, refitted, rows, spec)
    refitted.head.load_state_dict(choice.model.head.state_dict())
    return refitted.eval()


def _with_own_network(model: Model, fitted: OwnNetwork, seed: int) -> Model:
    """Return the model with an own network of random weights, which has the inputs of these rows."""
    assert isinstance(model.network, Network)
    component = Component(name=fitted.architecture.name, parameters=fitted.architecture.parameters)
    return model.with_network(build_own_network(component, model.network.architecture, model.blueprint.task, seed))


def _refitted_network(choice: Choice, model: Model, rows: Sample, folder: Path) -> Network | Linear | OwnNetwork | None:
    recipe = choice.recipe
    final_plan = recipe.plan.final(rows.rows, recipe.history) if recipe.plan else None
    if plan := broadcast_decision(final_plan):
        fit(model, rows, rows.take(np.arange(min(len(rows), _MONITORED_ROWS))), plan, folder)
        return model.network
    return linear_model(model, rows).network if isinstance(choice.model.network, Linear) else None


def _with_refitted_estimator(choice: Choice, model: Model, rows: Sample, spec: Spec) -> Model:
    recipe = choice.recipe
    assert recipe.estimator and recipe.search_result and recipe.options
    transformed = replace(rows, target=model.transform_target(rows.target))
    outputs, cardinalities = model.blueprint.outputs, model.blueprint.cardinalities
    columns, values = fit_columns(model.scaling, cardinalities, transformed, outputs, spec.seed)
    matrix = Matrix(values, transformed.target, rows.weights)
    options = recipe.search_result.again(recipe.options)
    estimator = fit_estimator(recipe.estimator, matrix, matrix, options).estimator
    return model.with_estimator(columns, estimator, choice.model.head.share.item())
