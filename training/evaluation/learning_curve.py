"""Whether more rows would help: how good a model is that learnt from fewer of them."""

from dataclasses import replace

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import Curve, CurvePoint, LastGain, LearningCurve, NextGain, UnmeasuredCurve
from model_deployer.contract.outputs import Arrays, Output
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

#: How often the training rows are halved.
HALVINGS = 4

#: Rows of the smallest share, at least, and a class on average; and the fewest shares that make a curve.
LEAST_ROWS, LEAST_ROWS_A_CLASS, FEWEST_SHARES = 50, 10, 3

#: Rows by features of the largest share at most: half a minute of one core for all shares.
MOST_VALUES = 8_000_000

#: What each of more than two classes counts, since it grows trees of its own, on columns of its own.
CLASS_COST = 8

#: Rows of the largest share that are not too many for any table.
SOME_ROWS = 1_000

#: Of LightGBM: about twice the default, which takes half the time and less, for a loss that is about a percent higher
#: with few rows and with many.
_QUICK = {"learning_rate": 0.1}


def learning_curve(dataset: Dataset, model: Model, output: Output) -> Curve:
    """How the loss on the test rows falls as the training rows double, and what the next doubling may bring.

    To fit the whole model several times would take too long: what is fitted is LightGBM with its defaults, at about
    twice the learning rate, and where it is not installed, or model.yaml asks for ``linear``, the linear model.
    Everything is learnt anew from each share, encodings and scales included; all are stopped by the same validation
    rows and judged on the same test rows.

    Learning curves follow about a power law (Hestness et al., 2017, "Deep learning scaling is predictable,
    empirically"; Viering and Loog, 2022, "The shape of learning curves"): each doubling brings ``2 ** -b`` of what the
    one before it brought. So few shares do not tell ``b``, but it lies between 0 and 1: the next doubling brings
    between half of the last gain and all of it, and the ends are those of that gain's 95 % interval.

    Args:
        dataset: Its ``order`` says which rows are in which share.
        model: The model that was chosen, for how it takes the target.
        output: What the model's answers mean.

    Returns:
        The curve, whose ``split`` decides what a share is (see :func:`training.data.split.growing`); the reason alone
        where there are too few rows.
    """
    shares = _shares(dataset)
    if len(shares) < FEWEST_SHARES:
        return UnmeasuredCurve(reason=f"{len(dataset.order):,} training rows are too few to learn from shares of them")
    exams = [_exam(dataset, model, output, share) for share in shares]
    last = _gain(*exams[-2:])
    return LearningCurve(
        model="lightgbm" if _has_trees(dataset) else "linear",
        loss=exams[0].loss,
        split=method(dataset.target, dataset.spec),
        rows=len(dataset.order),
        points=tuple(_point(exam, len(share)) for share, exam in zip(shares, exams, strict=True)),
        last=last,
        next=NextGain(
            rows=2 * len(dataset.order),
            low=max(last.low, 0.0) * len(shares[-1]) / (2 * len(dataset.order)),  # halved with every doubling
            high=max(last.high, 0.0),
            measurable=last.low > 0,
        ),
    )


def _shares(dataset: Dataset) -> list[Rows]:
    """The shares that something can be learnt from, the smallest first."""
    classes = dataset.target.classes or 1
    values = len(dataset.features) * (CLASS_COST * classes if classes > 2 else 1)
    largest = dataset.order[: max(MOST_VALUES // values, SOME_ROWS)]
    shares = [largest[: len(largest) >> halvings] for halvings in range(HALVINGS, -1, -1)]
    return [share for share in shares if _teaches(share, dataset)]


def _teaches(share: Rows, dataset: Dataset) -> bool:
    """Whether there are rows enough, of any weight, of every class, or of different values."""
    classes, told = dataset.target.classes, dataset.target.values[share]
    if len(share) < max(LEAST_ROWS, LEAST_ROWS_A_CLASS * (classes or 1)):
        return False
    weighs = dataset.weights is None or bool(dataset.weights[share].any())
    return weighs and len(np.unique(told)) >= (classes or 2)


def _exam(dataset: Dataset, model: Model, output: Output, share: Rows) -> ScoredRows:
    """A model that learnt from a share, on the test rows."""
    spec, features, test = dataset.spec, dataset.features, dataset.parts.test
    preprocessor, train = fit_sample(dataset, share)
    bare = rescaled(model, preprocessor, features, train)
    if _has_trees(dataset):
        fitted = _with_trees(bare, train, sample_of(dataset, dataset.parts.validation, preprocessor), spec.seed)
    else:
        fitted = linear_model(bare, train)

    def predict(frame: pl.DataFrame) -> Arrays:
        return {name: tensor.numpy() for name, tensor in fitted.predict(preprocessor.transform(frame)).items()}

    weights = np.ones(len(test)) if dataset.weights is None else dataset.weights[test]
    return ScoredRows(predict, dataset.frame[test], features, output, dataset.target.values[test], weights)


def _has_trees(dataset: Dataset) -> bool:
    return dataset.spec.estimator.name != "linear" and is_installed()


def _with_trees(model: Model, train: Sample, validation: Sample, seed: int) -> Model:
    head, outputs = model.head, model.blueprint.outputs
    learnt = replace(train, target=model.transform_target(train.target))
    columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, learnt, outputs, seed)
    judged = columns(validation.inputs.numbers, validation.inputs.codes)
    matrices = (
        Matrix(own, learnt.target, train.weights),
        Matrix(judged, model.transform_target(validation.target), validation.weights),
    )
    scorer = fit_lightgbm(*matrices, Options(head.objective, seed, parameters=_QUICK)).estimator
    return model.with_estimator(columns, scorer, share=1.0)


def _point(exam: ScoredRows, rows: int) -> CurvePoint:
    mean, error = _mean(exam.losses, exam.weights)
    loss, low, high = (exam.to_metric(max(mean + z * error, 0.0)) for z in (0, -Z, Z))
    return CurvePoint(rows=rows, loss=loss, low=low, high=high)


def _gain(half: ScoredRows, whole: ScoredRows) -> LastGain:
    """By how much the second model is better, row by row of the same test rows."""
    mean, error = _mean(half.losses - whole.losses, whole.weights)
    gain = half.score(half.losses) - whole.score(whole.losses)
    unit = gain / mean if mean else 1.0  # of a root, about its slope
    return LastGain(gain=gain, low=gain - Z * error * unit, high=gain + Z * error * unit)


def _mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """The weighted mean and its standard error."""
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt((weights**2 * (values - mean) ** 2).sum()) / weights.sum())
