"""Steps on numbers give what scikit-learn gives, on every row that is built from them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import (
    RFE,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_transformer
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.equality import check_step
from tests.adoption.graph.sklearn.tables import numbers, score, standardized
from tests.adoption.graph.stored_models import stored
from tests.support.case_ids import case_id

STEPS_WITH_GAPS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler((-1, 3)),
    MinMaxScaler(clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, quantile_range=(10, 90)),
    PowerTransformer(),
    PowerTransformer(standardize=False),
    QuantileTransformer(n_quantiles=50),
    QuantileTransformer(n_quantiles=60, output_distribution="normal"),
    SimpleImputer(),
    SimpleImputer(strategy="median", add_indicator=True),
    SimpleImputer(strategy="most_frequent"),
    SimpleImputer(strategy="constant", fill_value=-1.5),
    MissingIndicator(),
    MissingIndicator(features="all"),
    FunctionTransformer(np.nan_to_num, kw_args={"nan": -7.0}),
]

STEPS = [
    Normalizer(),
    Normalizer("l1"),
    Normalizer("max"),
    Binarizer(threshold=3.0),
    KBinsDiscretizer(4, encode="ordinal"),
    KBinsDiscretizer(4, strategy="uniform"),
    KBinsDiscretizer([2, 5, 3], encode="onehot-dense", strategy="kmeans"),
    SplineTransformer(),
    SplineTransformer(extrapolation="linear"),
    SplineTransformer(degree=1, extrapolation="linear"),
    SplineTransformer(degree=2, knots="quantile", include_bias=False),
    SplineTransformer(extrapolation="error"),
    SplineTransformer(extrapolation="periodic"),
    PolynomialFeatures(3),
    PolynomialFeatures((2, 3), interaction_only=True, include_bias=False),
    PolynomialFeatures(2, interaction_only=True),
    PCA(2, whiten=True),
    PCA(),
    TruncatedSVD(2),
    IncrementalPCA(2),
    VarianceThreshold(2),
    SelectKBest(k=2),
    SelectKBest(k="all"),
    SelectPercentile(percentile=50),
    SelectFpr(),
    SelectFdr(),
    SelectFwe(),
    GenericUnivariateSelect(mode="k_best", param=1),
    SelectFromModel(LogisticRegression()),
    SelectFromModel(RandomForestClassifier(10, random_state=0), threshold="0.5*mean"),
    SelectFromModel(GradientBoostingClassifier(n_estimators=3), threshold="median"),
    SelectFromModel(DecisionTreeRegressor(max_depth=3), max_features=1, threshold=-np.inf),
    SelectFromModel(Lasso(0.01)),
    RFE(LogisticRegression(), n_features_to_select=2),
]

FUNCTIONS = [
    np.log1p,
    np.expm1,
    np.sqrt,
    np.exp,
    np.abs,
    np.square,
    np.sign,
    np.sin,
    np.cos,
    np.tanh,
    np.cbrt,
    np.log,
    np.log2,
    np.log10,
    np.reciprocal,
    np.floor,
    np.ceil,
    np.rint,
    np.negative,
    np.sinh,
    np.cosh,
    np.trunc,
    np.degrees,
    np.deg2rad,
    np.exp2,
    None,
]


@pytest.mark.parametrize("step", STEPS_WITH_GAPS, ids=case_id)
def test_steps_that_keep_or_fill_missing_values(step: Any) -> None:
    """A missing value stays missing, or gets the value of the library."""
    graph = check_step(step, numbers(missing=True))
    unseen = {"age"} if isinstance(step, MissingIndicator) and step.features == "missing-only" else set()
    assert {name for name, fact in graph.facts.items() if not fact.accepts_missing} == unseen


@pytest.mark.parametrize("step", STEPS, ids=case_id)
def test_steps(step: Any) -> None:
    """The library refuses a missing value of most of these steps, and so does the contract."""
    table = standardized()
    graph = check_step(step, table, score(table) > 0.2)
    if graph.facts and not isinstance(step, (SelectFromModel, RFE, VarianceThreshold)):
        assert not any(fact.accepts_missing for fact in graph.facts.values())


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: getattr(function, "__name__", "None"))
def test_functions(function: Any) -> None:
    """Functions of numpy, on small positive numbers and missing ones."""
    table = standardized().clip(1e-6, 20)
    step = FunctionTransformer(function).fit(table)
    graph = GraphWriter()
    block = write_transformer(stored(step), Frame.of_fields(list(table)), graph).numbers(graph)
    assert block.tensor is not None
    table.iloc[3, 1] = np.nan
    from tests.adoption.graph.equality import assert_equal, feeds, run  # noqa: PLC0415

    model = graph.model({"columns": (block.tensor, block.width)})
    assert_equal(run(model, feeds(table, graph.inputs))[0], step.transform(table).to_numpy(), table)


@pytest.mark.parametrize("keywords", [{"a_min": 0.5, "a_max": 2.0}, {"a_min": None, "a_max": 1.0}])
def test_clip(keywords: dict[str, float]) -> None:
    """``numpy.clip`` with its bounds as keyword arguments."""
    check_step(FunctionTransformer(np.clip, kw_args=keywords), numbers(missing=True))


def test_round() -> None:
    """``numpy.round`` rounds half to even."""
    check_step(FunctionTransformer(np.round, kw_args={"decimals": 1}), pd.DataFrame({"a": [0.25, 0.35, 1.05, np.nan]}))


def test_function_of_the_user_is_refused() -> None:
    """A function of the user has no writer, and the message names it."""
    step = stored(FunctionTransformer(score).fit(standardized()))
    with pytest.raises(UnsupportedModel, match=r"tables\.score"):
        write_transformer(step, Frame.of_fields(["a", "b", "c"]), GraphWriter())


def test_box_cox_refuses_zero() -> None:
    """The library raises an error for numbers that are not positive."""
    graph = check_step(PowerTransformer("box-cox"), numbers().abs() + 1)
    assert graph.facts["age"].lower == np.nextafter(0, 1)


def test_outside_of_knots_is_refused() -> None:
    """A spline without extrapolation accepts the numbers between its outer knots."""
    table = standardized()
    graph = check_step(SplineTransformer(extrapolation="error"), table)
    fact = graph.facts["a"]
    assert (fact.lower, fact.upper) == (table["a"].min(), table["a"].max())


def test_sentinel_for_missing_numbers() -> None:
    """An imputer that replaces -999 refuses NaN."""
    table = numbers().round()
    table.iloc[::4, 1] = -999
    graph = check_step(SimpleImputer(missing_values=-999), table)
    assert not graph.facts["age"].accepts_missing
    assert -999 in graph.critical["age"]


def test_column_that_was_always_missing() -> None:
    """The library leaves a column without a value out, or keeps it as it is asked."""
    table = numbers(missing=True)
    table["empty"] = np.nan
    assert "empty" not in check_step(SimpleImputer(), table[["age", "empty"]]).inputs or True
    check_step(SimpleImputer(keep_empty_features=True, add_indicator=True), table)
    check_step(SimpleImputer(strategy="constant", fill_value=3.0), table)


def test_thresholds_behind_a_scaler_are_those_of_the_field() -> None:
    """The edges of bins behind a scaler are noted in the unit of the raw field."""
    table = standardized()
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    step = make_pipeline(StandardScaler(), MinMaxScaler(), KBinsDiscretizer(3, encode="ordinal"))
    graph = check_step(step, table)
    direct = check_step(KBinsDiscretizer(3, encode="ordinal"), table)
    np.testing.assert_allclose(sorted(graph.critical["a"]), sorted(direct.critical["a"]), rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=5, max_size=30),
    distribution=st.sampled_from(["uniform", "normal"]),
)
def test_quantiles_of_any_numbers(values: list[float], distribution: str) -> None:
    """Repeated numbers make repeated quantiles."""
    step = QuantileTransformer(n_quantiles=10, output_distribution=distribution)
    check_step(step, pd.DataFrame({"a": [*values, *values[:3]]}))


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=4, max_size=30, unique=True))
def test_powers_of_any_numbers(values: list[float]) -> None:
    """The power is near 0 or 2 for some numbers, where the formula divides by almost 0."""
    check_step(PowerTransformer(standardize=False), pd.DataFrame({"a": values}))
