"""Estimators of other libraries: their conversion to ONNX, and the errors."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance

from model_deployer.contract.errors import CheckFailed, EnvironmentFault, SpecError
from model_deployer.training.models.estimators import fit_estimator
from model_deployer.training.models.search import Options
from model_deployer.training.preprocessing.matrix import Matrix
from tests.support.estimators import matrix, objective

CONVERTED = [
    ("sklearn.neighbors.KNeighborsRegressor", 1),
    ("sklearn.svm.SVR", 1),
    ("sklearn.linear_model.HuberRegressor", 1),
    ("sklearn.linear_model.LogisticRegression", 2),
    ("sklearn.ensemble.GradientBoostingClassifier", 3),
    ("sklearn.neural_network.MLPClassifier", 3),
    ("sklearn.naive_bayes.GaussianNB", 2),
    ("sklearn.svm.SVC", 2),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "classes"), CONVERTED)
def test_any_estimator_becomes_onnx_and_learns(name: str, classes: int) -> None:
    train, validation = matrix(800, classes), matrix(400, classes, 1)
    scores = fit_estimator(name, train, validation, Options(objective(classes), 0)).estimator.scores(validation.values)
    assert scores.shape == (400, max(1, classes if classes > 1 else 1))
    if classes == 1:
        assert np.corrcoef(scores[:, 0], validation.target)[0, 1] > 0.7
    else:
        assert np.mean(scores.argmax(1).numpy() == validation.target) > 0.5 + 0.1 * (classes == 2)


@pytest.mark.parametrize(
    ("name", "parameters", "error", "words"),
    [
        ("sklearn.nothing.Here", {}, EnvironmentFault, "cannot be imported"),
        ("sklearn.svm.Nothing", {}, SpecError, "has no 'Nothing'"),
        ("sklearn.svm.SVR", {}, SpecError, "is not a classifier"),
        ("json.JSONDecoder", {}, SpecError, "is not a subclass of sklearn.base.BaseEstimator"),
        ("tests.support.estimators.called", {}, SpecError, "is not a subclass of sklearn.base.BaseEstimator"),
        ("tests.support.estimators.Inverted", {}, CheckFailed, "differs"),
        ("sklearn.linear_model.RidgeClassifier", {}, SpecError, "does not predict probabilities"),
        ("random_forest", {"trees": 7}, SpecError, "trees"),
        ("lightgbm", {"num_leaves": 1}, SpecError, "lightgbm refuses `estimator.parameters`"),
        ("lightgbm", {"num_iterations": 0}, SpecError, "lightgbm refuses `estimator.parameters`"),
        ("xgboost", {"max_depth": "deep"}, SpecError, "xgboost refuses `estimator.parameters`"),
        ("xgboost", {"booster": "gblinear"}, SpecError, "xgboost refuses `estimator.parameters`"),
        ("random_forest", {"max_depth": "deep"}, SpecError, "max_depth"),
        ("tests.support.estimators.Opaque", {}, CheckFailed, "cannot be converted to ONNX"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    name: str, parameters: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        fit_estimator(name, matrix(100, 2), matrix(50, 2), Options(objective(2), 0, parameters=parameters))


def test_a_subclass_is_converted_as_its_base_class() -> None:
    train, validation = matrix(400, 2), matrix(200, 2, 1)
    own, base = (
        fit_estimator(name, train, validation, Options(objective(2), 0)).estimator.scores(validation.values)
        for name in ("tests.support.estimators.OwnLogisticRegression", "sklearn.linear_model.LogisticRegression")
    )
    assert torch.equal(own, base)


def test_rows_are_weighed_or_the_estimator_is_refused() -> None:
    plain = matrix(400, 2)
    weights = np.where(plain.target == 1, 5.0, 0.1)
    weighted = Matrix(plain.values, plain.target, weights)
    means = []
    for train in (plain, weighted):
        estimator = fit_estimator(
            "random_forest", train, plain, Options(objective(2), 0, parameters={"n_estimators": 10})
        ).estimator
        means.append(float(estimator.scores(plain.values).softmax(1)[:, 1].mean()))
    assert means[1] > means[0] + 0.1
    with pytest.raises(SpecError, match="does not support weights"):
        fit_estimator("sklearn.neighbors.KNeighborsClassifier", weighted, plain, Options(objective(2), 0))


COUNTS = ["lightgbm", "xgboost", "random_forest", "histogram_boosting", "sklearn.linear_model.PoissonRegressor"]


@pytest.mark.parametrize("name", COUNTS)
def test_of_a_count_the_score_is_the_logarithm_of_the_rate(name: str) -> None:
    train, validation = (counted(1500, seed) for seed in (0, 1))
    estimator = fit_estimator(name, train, validation, Options({"objective": "poisson"}, 0)).estimator
    rate = estimator.scores(validation.values)[:, 0].exp().numpy()
    assert mean_poisson_deviance(validation.target, rate) < 0.8 * mean_poisson_deviance(
        validation.target, np.full(len(validation), train.target.mean())
    )
    assert rate.mean() == pytest.approx(validation.target.mean(), rel=0.25)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "histogram_boosting"])
def test_a_quantile_is_one(name: str) -> None:
    train, validation = matrix(1500, 1), matrix(1500, 1, 1)
    options = Options({"objective": "quantile", "alpha": 0.9}, 0)
    scores = fit_estimator(name, train, validation, options).estimator.scores(validation.values)[:, 0].numpy()
    trivial = np.full(len(validation), np.quantile(train.target, 0.9))
    losses = [mean_pinball_loss(validation.target, predictions, alpha=0.9) for predictions in (scores, trivial)]
    assert losses[0] < 0.8 * losses[1]


def test_who_cannot_learn_a_quantile_is_refused() -> None:
    with pytest.raises(SpecError, match="cannot predict a quantile"):
        fit_estimator(
            "random_forest", matrix(100, 1), matrix(50, 1), Options({"objective": "quantile", "alpha": 0.9}, 0)
        )


def counted(rows: int, seed: int) -> Matrix:
    """Return counts with a mean rate of 1, as ``transform_target`` of the head returns them."""
    plain = matrix(rows, 1, seed)
    rate = np.exp(plain.target / 2 - plain.target.mean() / 2)
    return Matrix(plain.values, np.random.default_rng(seed).poisson(rate / rate.mean()).astype(np.float64))


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "random_forest", "histogram_boosting"])
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    def fitted(seed: int) -> bytes:
        parameters = {"n_estimators": 5} if name == "random_forest" else {}
        options = Options(objective(2), seed, 2, parameters)
        return fit_estimator(name, matrix(300, 2), matrix(100, 2, 1), options).estimator.serialized

    assert fitted(0) == fitted(0)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_parameters_of_the_spec_are_not_drawn(name: str) -> None:
    options = Options(objective(2), 0, 3, {"max_depth": 1, "num_leaves": 2} if name == "lightgbm" else {"max_depth": 1})
    estimator = fit_estimator(name, matrix(300, 2), matrix(100, 2, 1), options).estimator
    (trees,) = estimator.model.graph.node
    attributes: dict[str, Any] = {attribute.name: attribute for attribute in trees.attribute}
    sizes = np.bincount(attributes["nodes_treeids"].ints)
    assert sizes.max() <= 3


def test_a_gap_is_a_column_of_its_own_for_those_that_know_none() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(500, 1)).astype(np.float32)
    target = random.integers(0, 2, 500)
    values[target == 1] = np.nan
    rows = Matrix(torch.from_numpy(values), target)
    estimator = fit_estimator("sklearn.linear_model.LogisticRegression", rows, rows, Options(objective(2), 0)).estimator
    assert (estimator.scores(rows.values).argmax(1).numpy() == target).all()
