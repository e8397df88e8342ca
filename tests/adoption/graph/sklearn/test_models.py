"""Models of scikit-learn without trees give the library's values, probabilities, scores and decisions."""

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PassiveAggressiveClassifier,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeRegressor

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from tests.adoption.graph.equality import check_model
from tests.adoption.graph.sklearn.tables import numbers, score, standardized
from tests.adoption.graph.stored_models import stored
from tests.support.case_ids import case_id

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

REGRESSIONS = [
    LinearRegression(),
    LinearRegression(fit_intercept=False),
    Ridge(),
    RidgeCV(),
    Lasso(0.1),
    LassoCV(),
    ElasticNet(0.1),
    SGDRegressor(random_state=0),
    HuberRegressor(),
    QuantileRegressor(),
    BayesianRidge(),
    ARDRegression(),
    RANSACRegressor(random_state=0),
    LinearSVR(random_state=0),
    SVR(),
    SVR(kernel="linear"),
    SVR(kernel="poly", coef0=1.0),
    NuSVR(kernel="sigmoid"),
    MLPRegressor(hidden_layer_sizes=(8, 4), max_iter=40, random_state=0),
    MLPRegressor(hidden_layer_sizes=(5,), activation="logistic", max_iter=40, random_state=0),
    KNeighborsRegressor(),
    KNeighborsRegressor(weights="distance", p=1),
    DummyRegressor(strategy="median"),
]

POSITIVE_REGRESSIONS = [
    PoissonRegressor(),
    GammaRegressor(),
    TweedieRegressor(power=1.5),
    TweedieRegressor(power=0),
    TweedieRegressor(power=0, link="log"),
]

CLASSIFIERS = [
    LogisticRegression(),
    LogisticRegression(C=100.0, l1_ratio=1.0, solver="saga", max_iter=50),
    LogisticRegressionCV(use_legacy_attributes=False),
    SGDClassifier(random_state=0),
    SGDClassifier(loss="log_loss", random_state=0),
    SGDClassifier(loss="modified_huber", random_state=0),
    Perceptron(random_state=0),
    PassiveAggressiveClassifier(random_state=0),
    LinearSVC(random_state=0),
    RidgeClassifier(),
    RidgeClassifierCV(),
    LinearDiscriminantAnalysis(),
    LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
    QuadraticDiscriminantAnalysis(),
    GaussianNB(),
    BernoulliNB(binarize=0.5),
    MLPClassifier((8,), max_iter=40, random_state=0),
    MLPClassifier((8, 4), activation="tanh", max_iter=40, random_state=0),
    SVC(),
    SVC(kernel="linear"),
    SVC(break_ties=True),
    SVC(probability=True, random_state=0),
    NuSVC(kernel="poly", degree=2, probability=True, random_state=0),
    KNeighborsClassifier(),
    KNeighborsClassifier(weights="distance", metric="manhattan"),
    DummyClassifier(),
    DummyClassifier(strategy="most_frequent"),
]


def labels_of_two() -> np.ndarray[tuple[int], np.dtype[Any]]:
    return np.where(score(standardized()) > 0.4, "yes", "no")


def labels_of_three() -> np.ndarray[tuple[int], np.dtype[Any]]:
    return np.digitize(score(standardized()), [0.0, 0.8]) * 10


@pytest.mark.parametrize("model", REGRESSIONS, ids=case_id)
def test_regressions(model: Any) -> None:
    """The value of each row."""
    written = check_model(model, standardized(), score(standardized()))
    assert written.outputs == ("value",)
    assert written.labels is None


@pytest.mark.parametrize("model", POSITIVE_REGRESSIONS, ids=case_id)
def test_regressions_of_positive_targets(model: Any) -> None:
    """The exponential of a linear function, where it does not overflow."""
    check_model(model, standardized(), np.exp(score(standardized()) * 0.3), limit=1e3)


@pytest.mark.parametrize("target", [labels_of_two, labels_of_three], ids=["two", "three"])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=case_id)
def test_classifiers(model: Any, target: Any) -> None:
    """Probabilities or scores, and the label that the source decides for."""
    written = check_model(model, standardized(), target())
    assert written.labels == tuple(np.unique(target()).tolist())
    if not isinstance(model, DummyClassifier):
        assert not any(field.fact.accepts_missing for field in written.fields)


def test_logistic_regression_of_liblinear() -> None:
    """The solver liblinear separates two labels."""
    check_model(LogisticRegression(solver="liblinear"), standardized(), labels_of_two())


@pytest.mark.parametrize("target", [labels_of_two, labels_of_three], ids=["two", "three"])
@pytest.mark.parametrize("model", [MultinomialNB(), ComplementNB(), ComplementNB(norm=True)], ids=case_id)
def test_naive_bayes_of_counts(model: Any, target: Any) -> None:
    """Naive Bayes classifiers of numbers that are not negative."""
    check_model(model, standardized().abs(), target())


@pytest.mark.parametrize("target", [labels_of_two, labels_of_three], ids=["two", "three"])
def test_naive_bayes_of_categories(target: Any) -> None:
    """The contract accepts the numbers of the categories only."""
    table = numbers()[["children"]].assign(age=numbers()["age"] // 10 - numbers()["age"].min() // 10)
    written = check_model(CategoricalNB(), table, target())
    fact = written.fields[0].fact
    assert fact.lower == 0
    assert fact.upper == np.nextafter(5.0, 0.0)


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("out_of_bounds", ["clip", "nan", "raise"])
def test_isotonic_regression(increasing: bool, out_of_bounds: str) -> None:
    """Straight lines between points; outside of them constant, NaN, or refused."""
    model = IsotonicRegression(out_of_bounds=out_of_bounds, increasing=increasing)
    check_model(model, standardized()[["a"]], score(standardized()))


SEVERAL_TARGETS = [
    LinearRegression(),
    MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0),
    KNeighborsRegressor(3),
    DummyRegressor(),
    MultiOutputRegressor(Ridge()),
    MultiOutputRegressor(DecisionTreeRegressor(max_depth=3)),
    RegressorChain(Ridge(), order=[1, 2, 0]),
    make_pipeline(StandardScaler(), Ridge()),
]


@pytest.mark.parametrize("model", SEVERAL_TARGETS, ids=case_id)
def test_several_targets(model: Any) -> None:
    """Each target has a column, in the order of the model."""
    table = standardized()
    target = np.column_stack([score(table), table["a"] ** 2, -score(table) + table["b"]])
    written = check_model(model, table, target, limit=1e6)
    assert (written.outputs, written.targets, written.interface.numbers) == (("values",), 3, 3)


def test_several_targets_in_a_part_of_a_model_are_refused() -> None:
    target = np.stack([score(standardized())] * 2, axis=1)
    model = BaggingRegressor(Ridge(), n_estimators=2).fit(standardized(), target)
    with pytest.raises(UnsupportedModel, match="a part of the model has several targets"):
        write_model(stored(model))


def test_several_decisions_are_refused() -> None:
    target = np.stack([score(standardized()) > 0] * 2, axis=1)
    with pytest.raises(UnsupportedModel, match="several decisions"):
        write_model(stored(MultiOutputClassifier(LogisticRegression()).fit(standardized(), target)))


def test_neighbours_on_a_grid_are_refused() -> None:
    """Where neighbours are equally distant, the library takes any of them."""
    table = standardized().round(0)
    with pytest.raises(UnsupportedModel, match="equally distant"):
        write_model(stored(KNeighborsClassifier().fit(table, labels_of_two())))


def test_random_answers_are_refused() -> None:
    """A model that answers at random cannot be equal to anything."""
    with pytest.raises(UnsupportedModel, match="at random"):
        write_model(stored(DummyClassifier(strategy="stratified").fit(standardized(), labels_of_two())))
