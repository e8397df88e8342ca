"""The learning curve: whether more rows would help, from models that are fitted on fewer rows."""

from dataclasses import replace

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import Curve, CurvePoint, LastGain, LearningCurve, NextGain, UnmeasuredCurve
from model_deployer.contract.outputs import Arrays, SingleTarget
from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.split import Rows, method
from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.evaluation.scored_rows import ScoredRows, Z
from model_deployer.training.models.baselines import linear_model
from model_deployer.training.models.lightgbm_trees import fit_lightgbm, is_installed
from model_deployer.training.models.model import Model
from model_deployer.training.models.model_builder import rescaled
from model_deployer.training.models.search import Options
from model_deployer.training.preprocessing.matrix import Matrix, fit_columns
from model_deployer.training.preprocessing.sample import Sample, fit_sample, sample_of

#: The number of times that the training rows are halved.
HALVINGS = 4

#: The minimum number of rows in a share, in total and per class on average, and the minimum number of shares.
MIN_ROWS, MIN_ROWS_PER_CLASS, MIN_SHARES = 50, 10, 3

#: The maximum of rows times features in the largest share: half a minute of one core for all shares.
MAX_VALUES = 8_000_000

#: The cost of each class if there are more than two, since every class then has its own trees on its own columns.
CLASS_COST = 8

#: A number of rows that the largest share may have in any table.
ALWAYS_AFFORDABLE_ROWS = 1_000

#: LightGBM with about twice the default learning rate: at most half the fit time, and a loss that is about one percent
#: higher, with few rows and with many.
_FAST_PARAMETERS = {"learning_rate": 0.1}


def learning_curve(dataset: Dataset, model: Model, output: SingleTarget) -> Curve:
    """Measure how the loss on the test rows falls as the training rows double, and estimate the next doubling.

    Fitting the whole model several times would take too long. Instead, each share is fitted with LightGBM and its
    defaults, at about twice the learning rate; or with the linear model if LightGBM is not installed or model.yaml
    names ``linear``. Encodings and scales are also fitted on each share. All fits have the same validation rows for
    early stopping and the same test rows.

    Learning curves are approximately power laws (Hestness et al., 2017, "Deep learning scaling is predictable,
    empirically"; Viering and Loog, 2022, "The shape of learning curves"): the gain of each doubling is ``2 ** -b``
    times the gain of the previous one. A few shares are not enough to estimate ``b``, but it is between 0 and 1. The
    gain of the next doubling is therefore between half of the last gain and all of it; the range also includes the 95 %
    interval of the last gain.

    Args:
        dataset: The table; the beginnings of its ``order`` are the shares.
        model: The chosen model, which decides how the target is transformed.
        output: The meaning of the predictions.

    Returns:
        The curve, or the reason for its absence if there are too few rows. The split method decides the rows of a
        share, see :func:`training.data.split.nested_order`.
    """
    shares = _shares(dataset)
    if len(shares) < MIN_SHARES:
        return UnmeasuredCurve(reason=f"{len(dataset.order):,} training rows are too few for a learning curve")
    scored = [_fit_and_score(dataset, model, output, share) for share in shares]
    last = _gain(*scored[-2:])
    return LearningCurve(
        model="lightgbm" if _uses_trees(dataset) else "linear",
        loss=scored[0].loss,
        split=method(dataset.target, dataset.spec),
        rows=len(dataset.order),
        points=tuple(_point(result, len(share)) for share, result in zip(shares, scored, strict=True)),
        last=last,
        next=NextGain(
            rows=2 * len(dataset.order),
            low=max(last.low, 0.0) * len(shares[-1]) / (2 * len(dataset.order)),  # halved with every doubling
            high=max(last.high, 0.0),
            measurable=last.low > 0,
        ),
    )


def _shares(dataset: Dataset) -> list[Rows]:
    """Return the shares that a model can be fitted on, the smallest first."""
    classes = dataset.target.classes or 1
    values = len(dataset.features) * (CLASS_COST * classes if classes > 2 else 1)
    largest = dataset.order[: max(MAX_VALUES // values, ALWAYS_AFFORDABLE_ROWS)]
    shares = [largest[: len(largest) >> halvings] for halvings in range(HALVINGS, -1, -1)]
    return [share for share in shares if _can_be_fitted(share, dataset)]


def _can_be_fitted(share: Rows, dataset: Dataset) -> bool:
    """Return whether a share has enough rows, some weight, and every class or at least two distinct values."""
    classes, target = dataset.target.classes, dataset.target.values[share]
    if len(share) < max(MIN_ROWS, MIN_ROWS_PER_CLASS * (classes or 1)):
        return False
    has_weight = dataset.weights is None or bool(dataset.weights[share].any())
    return has_weight and len(np.unique(target)) >= (classes or 2)


def _fit_and_score(dataset: Dataset, model: Model, output: SingleTarget, share: Rows) -> ScoredRows:
    """Fit a model on a share and return it with the test rows."""
    spec, features, test = dataset.spec, dataset.features, dataset.parts.test
    preprocessor, train = fit_sample(dataset, share)
    unfitted = rescaled(model, preprocessor, features, train)
    if _uses_trees(dataset):
        fitted = _fit_trees(unfitted, train, sample_of(dataset, dataset.parts.validation, preprocessor), spec.seed)
    else:
        fitted = linear_model(unfitted, train)

    def predict(frame: pl.DataFrame) -> Arrays:
        return {name: tensor.numpy() for name, tensor in fitted.predict(preprocessor.transform(frame)).items()}

    weights = np.ones(len(test)) if dataset.weights is None else dataset.weights[test]
    return ScoredRows(predict, dataset.frame[test], features, output, dataset.target.values[test], weights)


def _uses_trees(dataset: Dataset) -> bool:
    return dataset.spec.estimator.name != "linear" and is_installed()


def _fit_trees(model: Model, train: Sample, validation: Sample, seed: int) -> Model:
    head, outputs = model.head, model.blueprint.outputs
    transformed = replace(train, target=model.transform_target(train.target))
    columns, train_matrix = fit_columns(model.scaling, model.blueprint.cardinalities, transformed, outputs, seed)
    validation_matrix = columns(validation.inputs.numbers, validation.inputs.codes)
    matrices = (
        Matrix(train_matrix, transformed.target, train.weights),
        Matrix(validation_matrix, model.transform_target(validation.target), validation.weights),
    )
    trees = fit_lightgbm(*matrices, Options(head.objective, seed, parameters=_FAST_PARAMETERS)).estimator
    return model.with_estimator(columns, trees, share=1.0)


def _point(scored: ScoredRows, rows: int) -> CurvePoint:
    mean, error = _mean(scored.losses, scored.weights)
    loss, low, high = (scored.to_metric(max(mean + z * error, 0.0)) for z in (0, -Z, Z))
    return CurvePoint(rows=rows, loss=loss, low=low, high=high)


def _gain(half: ScoredRows, full: ScoredRows) -> LastGain:
    """Return the decrease of the loss from the first to the second model, on the same test rows."""
    mean, error = _mean(half.losses - full.losses, full.weights)
    gain = half.score(half.losses) - full.score(full.losses)
    # Converts the error to the unit of the metric: for a root, approximately with its slope.
    unit = gain / mean if mean else 1.0
    return LastGain(gain=gain, low=gain - Z * error * unit, high=gain + Z * error * unit)


def _mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """Return the weighted mean and its standard error."""
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt((weights**2 * (values - mean) ** 2).sum()) / weights.sum())
