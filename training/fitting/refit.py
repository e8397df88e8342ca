"""The chosen model once more, on all rows that may be learnt from.

The validation rows have decided what they were kept back for; a model that learns from them too knows more, and under a
split by time it knows what happened last. What they decided stays: parameters, rounds and epochs, the share of a blend,
and the calibration or interval, which is that of the first fit. The test part measures whether it still holds.
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
from model_deployer.training.preprocessing.matrix import Matrix, fit_columns
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.runtime.devices import broadcast_decision
from model_deployer.training.spec import Spec

#: Rows on which a network is seen to stay finite.
_WATCHED = 1_000


def refit(choice: Choice, model: Model, rows: Sample, spec: Spec, folder: Path) -> Model:
    """Fit the kind of model that was chosen, on these rows.

    Args:
        choice: What was chosen, with the head that it was calibrated with.
        model: From :func:`training.models.model_builder.rebuild_model` on ``rows``.
        rows: Those of training and validation.
        spec: For its seed.
        folder: Takes the checkpoints of this fit and no other.

    Raises:
        CheckFailed, EnvironmentFault, KeyboardInterrupt: As :func:`training.fitting.fitting.fit`.
    """
    print_stage("refit", f"on the training and validation parts together, {rows.rows:,} rows")
    again = model.with_network(_network(choice, model, rows, folder))
    if choice.recipe.found:
        again = _with_scorer(choice, again, rows, spec)
    again.head.load_state_dict(choice.model.head.state_dict())
    return again.eval()


def _network(choice: Choice, model: Model, rows: Sample, folder: Path) -> Network | Linear | None:
    recipe = choice.recipe
    planned = recipe.plan.finally_for(rows.rows, recipe.history) if recipe.plan else None
    if plan := broadcast_decision(planned):
        fit(model, rows, rows.take(np.arange(min(len(rows), _WATCHED))), plan, folder)
        return model.network
    return linear_model(model, rows).network if isinstance(choice.model.network, Linear) else None


def _with_scorer(choice: Choice, model: Model, rows: Sample, spec: Spec) -> Model:
    name, found, options = choice.recipe.name, choice.recipe.found, choice.recipe.options
    assert name and found and options
    learnt = replace(rows, target=model.transform_target(rows.target))
    outputs, cardinalities = model.blueprint.outputs, model.blueprint.cardinalities
    columns, own = fit_columns(model.scaling, cardinalities, learnt, outputs, spec.seed)
    matrix = Matrix(own, learnt.target, rows.weights)
    scorer = fit_estimator(name, matrix, matrix, found.again(options)).estimator
    return model.with_estimator(columns, scorer, choice.model.head.share.item())
