"""Encoders of categories: unknown, missing and infrequent ones."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_transformer
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.equality import check_step
from tests.adoption.graph.sklearn.tables import ROWS, texts
from tests.adoption.graph.stored_models import stored
from tests.support.case_ids import case_id

ENCODERS = [
    OneHotEncoder(),
    OneHotEncoder(drop="first"),
    OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="ignore", drop="first"),
    OneHotEncoder(handle_unknown="ignore", min_frequency=25),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=25),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.2, drop="first"),
    OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2, drop="if_binary"),
    OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=1),
    OneHotEncoder(handle_unknown="warn", min_frequency=25),
    OrdinalEncoder(),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=25),
    OrdinalEncoder(max_categories=2, encoded_missing_value=99),
]


@pytest.mark.parametrize("missing", [np.nan, None, "", "none"], ids=case_id)
@pytest.mark.parametrize("encoder", ENCODERS, ids=case_id)
def test_encoders(encoder: Any, missing: Any) -> None:
    """Each encoder, with a category for None, for NaN, for a text without characters, and without one."""
    graph = check_step(encoder, texts(missing))
    fact = graph.facts["city"]
    assert list(fact.categories)[:3] == sorted(set(texts(missing)["city"]) - {None, ""}, key=str)[:3]
    assert (fact.accepted is not None) == (encoder.handle_unknown == "error")
    if encoder.handle_unknown == "error":
        assert fact.accepts_missing == (missing != "none")
        assert not graph.facts["size"].accepts_missing


@pytest.mark.parametrize("missing", [np.nan, None], ids=case_id)
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_target_encoder(classes: int, missing: Any) -> None:
    """Each category has the mean of the target: a number, the second of two classes, or one of each class."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, classes, ROWS) if classes else rng.normal(size=ROWS)
    check_step(TargetEncoder(random_state=0), texts(missing), target)


def test_two_kinds_of_missing_categories_are_refused() -> None:
    """A graph cannot tell None from NaN."""
    table = texts(None)
    table.loc[::10, "city"] = np.nan
    encoder = stored(OneHotEncoder().fit(table))
    with pytest.raises(UnsupportedModel, match="None and NaN"):
        write_transformer(encoder, Frame.of_fields(list(table)), GraphWriter())


@pytest.mark.parametrize(
    "values",
    [[1, 5, 9, 2**24 + 1], [0.1, -0.0, 2.5], [True, False], [1.5, np.nan, 3.0]],
    ids=case_id,
)
def test_categories_that_are_numbers(values: list[Any]) -> None:
    """Whole numbers, fractions and booleans are numbers in the graph."""
    table = pd.DataFrame({"code": pd.Series(values * 5, dtype=object if None in values else None)})
    graph = check_step(OneHotEncoder(handle_unknown="ignore"), table)
    assert graph.inputs == {"code": "number"}


@pytest.mark.parametrize("missing", [np.nan, None], ids=case_id)
@pytest.mark.parametrize(
    "imputer",
    [
        {"strategy": "most_frequent"},
        {"strategy": "constant", "fill_value": "unknown"},
        {"strategy": "most_frequent", "add_indicator": True},
        {"strategy": "constant"},
    ],
    ids=case_id,
)
def test_imputer_before_an_encoder(imputer: dict[str, Any], missing: Any) -> None:
    """The usual recipe for texts: fill, then encode. The contract accepts a missing text."""
    table = texts(missing)[["city", "size"]]
    step = make_pipeline(SimpleImputer(missing_values=missing, **imputer), OneHotEncoder(handle_unknown="ignore"))
    graph = check_step(step, table)
    fact = graph.facts["city"]
    assert fact.accepts_missing
    assert fact.missing_forms == {"NaN" if missing is not None else "None"}


def test_imputer_of_texts_and_numbers() -> None:
    """One imputer for a whole table fills each column with a value of its kind."""
    table = texts()
    step = make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder())
    graph = check_step(step, table)
    assert graph.inputs == {"city": "text", "size": "text", "floor": "number"}


def test_text_that_means_missing() -> None:
    """An imputer that replaces "?" does so, and leaves a missing text as it is."""
    table = texts("?")[["city"]]
    step = make_pipeline(
        SimpleImputer(missing_values="?", strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    graph = check_step(step, table)
    assert "?" in graph.critical["city"]


def test_missing_indicator_of_texts() -> None:
    """A column of zeros and ones for a missing text."""
    graph = check_step(MissingIndicator(missing_values=""), texts("")[["city"]])
    assert graph.inputs == {"city": "text"}
