"""Whole pipelines on tables of numbers and texts, as data scientists write them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from tests.adoption.graph.equality import check_model
from tests.adoption.graph.sklearn.tables import ROWS, numbers, score, standardized, texts
from tests.adoption.graph.stored_models import stored

NUMBERS = ["income", "age", "children", "floor"]
TEXTS = ["city", "size"]


def mixed() -> pd.DataFrame:
    """Numbers and texts, both with missing values."""
    return pd.concat([numbers(missing=True), texts()], axis=1)


def labels() -> np.ndarray[tuple[int], np.dtype[Any]]:
    return np.asarray(mixed()["age"] + (mixed()["city"] == "Rome") * 10 + np.arange(ROWS) % 7 > 45, bool)


def recipe(**options: Any) -> ColumnTransformer:
    """The preprocessing of scikit-learn's user guide."""
    number = Pipeline([("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler())])
    text = Pipeline(
        [
            ("imputer", SimpleImputer(strategy="constant", fill_value="missing")),
            ("encoder", OneHotEncoder(handle_unknown="ignore")),
        ]
    )
    return ColumnTransformer([("number", number, NUMBERS), ("text", text, TEXTS)], **options)


COLUMNS = [
    recipe(),
    recipe(transformer_weights={"number": 0.5, "text": 2.0}),
    ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), [3, 4])], remainder=SimpleImputer()),
    ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), [False, False, False, True, True, False]),
            ("number", SimpleImputer(), slice(0, 3)),
        ]
    ),
    ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), slice("city", "size")),
            ("number", "drop", ["income", "age"]),
            ("other", SimpleImputer(), ["children"]),
        ],
        remainder="passthrough",
    ),
    ColumnTransformer(
        [("text", TargetEncoder(random_state=0), make_column_selector(dtype_include=object))], remainder=SimpleImputer()
    ),
    make_column_transformer(
        (make_union(SimpleImputer(), MissingIndicator(features="all")), NUMBERS),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), TEXTS),
    ),
    recipe(sparse_threshold=0).set_output(transform="default"),
    make_column_transformer(
        (make_pipeline(SimpleImputer(), KBinsDiscretizer(3)), ["age"]),
        (make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p), MinMaxScaler()), ["income"]),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20, drop="first"), ["city"]),
    ),
]


@pytest.mark.parametrize("number", range(len(COLUMNS)))
def test_columns(number: int) -> None:
    """Columns as names, positions, masks, slices and selectors; the rest dropped, kept or filled."""
    written = check_model(make_pipeline(COLUMNS[number], LogisticRegression(max_iter=500)), mixed(), labels())
    kinds = {field.name: field.kind for field in written.fields}
    assert list(kinds) == list(mixed())
    assert kinds["city"] == "text"
    assert written.labels == (False, True)


@pytest.mark.parametrize("nested", [True, False])
def test_names_after_set_output(nested: bool) -> None:
    """A second column transformer selects columns that the first one has renamed."""
    first = ColumnTransformer(
        [("number", SimpleImputer(), ["age", "income"]), ("text", OneHotEncoder(sparse_output=False), ["size"])],
        verbose_feature_names_out=nested,
    ).set_output(transform="pandas")
    name = "number__age" if nested else "age"
    second = ColumnTransformer([("square", PolynomialFeatures(2), [name])], remainder="passthrough")
    check_model(make_pipeline(first, second, Ridge()), mixed(), numbers()["children"])


def test_steps_that_change_nothing() -> None:
    """ "passthrough" and None, in a pipeline and in a union."""
    union = FeatureUnion(
        [("same", "passthrough"), ("scaled", StandardScaler()), ("dropped", "drop")],
        transformer_weights={"scaled": 3.0},
    )
    model = Pipeline([("first", None), ("union", union), ("second", "passthrough"), ("model", Ridge())])
    check_model(model, standardized(), score(standardized()))


def test_selection_and_projection() -> None:
    """Steps that mix or leave out columns."""
    union = make_union(make_pipeline(StandardScaler(), PCA(2)), SelectKBest(k=1))
    check_model(make_pipeline(union, LogisticRegression()), standardized(), score(standardized()) > 0.2)


def test_target_and_columns_together() -> None:
    """A regression of a logarithm behind the usual preprocessing."""
    model = TransformedTargetRegressor(make_pipeline(recipe(), Ridge()), func=np.log1p, inverse_func=np.expm1)
    check_model(model, mixed(), np.abs(numbers()["children"]) + 1, limit=1e4)


def test_vote_of_pipelines_on_different_columns() -> None:
    """Two models read a column, each with a preprocessing of its own."""
    one = make_pipeline(recipe(), LogisticRegression(max_iter=500))
    other = make_pipeline(make_column_transformer((OneHotEncoder(), ["city"])), LogisticRegression())
    written = check_model(VotingClassifier([("one", one), ("other", other)], voting="soft"), mixed(), labels())
    fact = {field.name: field.fact for field in written.fields}["city"]
    assert fact.accepted == {"Bern", "Rome", "Oslo", "Basel"}


def test_column_that_no_step_reads() -> None:
    """A column that the model drops is a field without a kind, and not an input of the graph."""
    model = make_pipeline(make_column_transformer(("passthrough", ["a"])), Ridge())
    written = check_model(model, standardized(), score(standardized()))
    assert [field.kind for field in written.fields] == ["number", None, None]
    assert [each.name for each in written.onnx.graph.input] == ["a"]


def test_names_of_a_model_without_names() -> None:
    """A model that was fitted to an array takes the names that are stated, or gets numbered ones."""
    model = stored(make_pipeline(StandardScaler(), Ridge()).fit(standardized().to_numpy(), score(standardized())))
    assert [field.name for field in write_model(model).fields] == ["x0", "x1", "x2"]
    assert [field.name for field in write_model(model, ["p", "q", "r"]).fields] == ["p", "q", "r"]
    with pytest.raises(UnsupportedModel, match="reads 3 columns, but 2 names"):
        write_model(model, ["p", "q"])


def test_field_that_is_number_and_text() -> None:
    """One part of a model cannot read a column as a text that another part calculates with."""
    table = standardized()
    union = make_union(OneHotEncoder(handle_unknown="ignore"), StandardScaler())
    model = make_pipeline(union, Ridge()).fit(table[["c"]], score(table))
    assert write_model(stored(model)).fields[0].kind == "number"
    model.steps[0][1].transformer_list[0][1].categories_ = [np.array(["a", "b"], object)]
    with pytest.raises(UnsupportedModel, match="'c' is used as a number and as a text"):
        write_model(stored(model))


def test_interface() -> None:
    """A contract learns the categories, and what the library refuses."""
    encoder = make_column_transformer((OneHotEncoder(), ["size"]), (OneHotEncoder(handle_unknown="ignore"), ["city"]))
    model = make_pipeline(encoder, LogisticRegression()).fit(texts(), labels())
    interface = write_model(stored(model)).interface
    city, size, floor = interface.fields
    assert (size.categories, size.refuses_unknown, size.refuses_missing) == (("L", "M", "S"), True, True)
    assert (city.categories, city.refuses_unknown, city.refuses_missing) == (
        ("Basel", "Bern", "Oslo", "Rome"),
        False,
        False,
    )
    assert (floor.kind, floor.categories) == (None, None)
    assert interface.labels == ("false", "true")
