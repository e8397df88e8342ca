"""Models that hold other models: calibration, votes, stacks, searches, thresholds, several labels."""

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from tests.adoption.graph.equality import check_model
from tests.adoption.graph.sklearn.tables import score, standardized
from tests.adoption.graph.sklearn.test_models import labels_of_three, labels_of_two
from tests.adoption.graph.stored_models import stored
from tests.support.case_ids import case_id

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

MEMBERS = [("logistic", LogisticRegression()), ("bayes", GaussianNB()), ("vectors", LinearSVC(random_state=0))]

FOREST = RandomForestClassifier(5, max_depth=3, random_state=0)

CLASSIFIERS = [
    *(
        CalibratedClassifierCV(model, method=method, ensemble=ensemble, cv=3)
        for model in (LinearSVC(random_state=0), GaussianNB(), SVC())
        for method in ("sigmoid", "isotonic", "temperature")
        for ensemble in (True, False)
        if method != "temperature"
    ),
    CalibratedClassifierCV(LinearSVC(random_state=0), method="temperature", cv=3, ensemble=False),
    # The minimum that scipy finds for logits of pure leaves is nan on some processors: leaves are large here.
    CalibratedClassifierCV(
        RandomForestClassifier(5, max_depth=2, min_samples_leaf=20, random_state=0), method="temperature", cv=3
    ),
    CalibratedClassifierCV(FOREST, method="isotonic", cv=3),
    VotingClassifier([*MEMBERS, ("forest", FOREST)]),
    StackingClassifier([*MEMBERS, ("forest", FOREST)], cv=3),
    OneVsRestClassifier(FOREST),
    VotingClassifier(MEMBERS, weights=[1, 2, 3.5]),
    VotingClassifier(MEMBERS[:2], voting="soft", weights=[1, 3]),
    VotingClassifier([*MEMBERS, ("dropped", "drop")], weights=[1, 2, 2, 9]),
    StackingClassifier(MEMBERS, cv=3),
    StackingClassifier(MEMBERS[:2], cv=3, passthrough=True, final_estimator=GaussianNB()),
    StackingClassifier(MEMBERS[:2], cv=3, stack_method="predict"),
    OneVsRestClassifier(LogisticRegression()),
    OneVsRestClassifier(LinearSVC(random_state=0)),
    OneVsRestClassifier(GaussianNB()),
    OneVsOneClassifier(LogisticRegression()),
    OneVsOneClassifier(GaussianNB()),
    GridSearchCV(LogisticRegression(), {"C": [0.1, 10.0]}, cv=2),
    RandomizedSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 10.0]}, n_iter=2, cv=2),
    FrozenEstimator(LogisticRegression().fit(standardized(), labels_of_three())),
]

THRESHOLDS = [
    FixedThresholdClassifier(LogisticRegression(), threshold=0.3),
    FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label="no"),
    FixedThresholdClassifier(LogisticRegression(), threshold=-0.4, response_method="decision_function"),
    FixedThresholdClassifier(LinearSVC(random_state=0), threshold=0.2, pos_label="no"),
    FixedThresholdClassifier(LinearSVC(random_state=0)),
    TunedThresholdClassifierCV(GaussianNB()),
    TunedThresholdClassifierCV(LogisticRegression(), store_cv_results=True, cv=2),
]

REGRESSIONS = [
    VotingRegressor([("ridge", Ridge()), ("vectors", SVR())], weights=[1, 2]),
    StackingRegressor([("ridge", Ridge()), ("vectors", SVR())], passthrough=True, cv=3),
    GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=2),
    TransformedTargetRegressor(Ridge()),
    *(
        TransformedTargetRegressor(Ridge(), transformer=transformer)
        for transformer in (
            StandardScaler(),
            MinMaxScaler(),
            MaxAbsScaler(),
            RobustScaler(),
            PowerTransformer(),
            QuantileTransformer(n_quantiles=50),
            QuantileTransformer(n_quantiles=50, output_distribution="normal"),
            make_pipeline(StandardScaler(), PowerTransformer(standardize=False)),
        )
    ),
]

POSITIVE_REGRESSIONS = [
    TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
    TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.square),
    TransformedTargetRegressor(Ridge(), transformer=PowerTransformer("box-cox")),
    TransformedTargetRegressor(Ridge(), transformer=FunctionTransformer(np.log2, np.exp2)),
]


@pytest.mark.parametrize("target", [labels_of_two, labels_of_three], ids=["two", "three"])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=case_id)
def test_classifiers(model: Any, target: Any) -> None:
    """Probabilities or scores, and the label that the source decides for."""
    if isinstance(model, FrozenEstimator):
        target = labels_of_three
    check_model(model, standardized(), target())


@pytest.mark.parametrize("model", THRESHOLDS, ids=case_id)
def test_thresholds(model: Any) -> None:
    """The threshold is part of the model, for either label."""
    check_model(model, standardized(), labels_of_two())


@pytest.mark.parametrize("model", REGRESSIONS, ids=case_id)
def test_regressions(model: Any) -> None:
    """The value of each row, in the unit of the target; of a power, where it does not overflow."""
    check_model(model, standardized(), score(standardized()), limit=1e3)


@pytest.mark.parametrize("model", POSITIVE_REGRESSIONS, ids=case_id)
def test_regressions_of_positive_targets(model: Any) -> None:
    """A logarithm, a root or a power of the target is undone."""
    check_model(model, standardized(), np.exp(score(standardized()) * 0.3), limit=10.0)


def test_part_without_writer_is_named() -> None:
    """The message names the class of the part that has no writer."""

    model = VotingClassifier([("gaussian", GaussianProcessClassifier()), ("bayes", GaussianNB())], voting="soft")
    with pytest.raises(UnsupportedModel, match="GaussianProcessClassifier has no graph writer"):
        write_model(stored(model.fit(standardized(), labels_of_two())))


def test_search_without_refit_is_refused() -> None:
    """Such a search holds no model."""
    search = GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-3, 1e-2]}, refit=False, cv=2)
    with pytest.raises(UnsupportedModel, match="refit=False"):
        write_model(stored(search.fit(standardized(), labels_of_two())), ["a", "b", "c"])
