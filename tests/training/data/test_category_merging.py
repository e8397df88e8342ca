"""One spelling for each category of a table, with ``normalize`` in model.yaml."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.category_spelling import NormalizationStep
from model_deployer.contract.errors import SpecError
from model_deployer.contract.features import Categorical
from model_deployer.training.data.category_merging import MAX_NORMALIZED_CATEGORIES, merge_categories
from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.data.features import conform, infer_features
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import Spec
from tests.support.spellings import TEXTS, variant_of

ALL: tuple[NormalizationStep, ...] = ("trim", "case", "unicode")


def a_spec(**override: Any) -> Spec:
    data = {"path": "t.csv", "target": "y"}
    return Spec.model_validate({"name": "m", "data": data, "features": {"x": {"normalize": ALL} | override}})


def merged(values: list[str | None], known_rows: int | None = None, **override: Any) -> list[str | None]:
    rows = np.arange(len(values) if known_rows is None else known_rows)
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.String)})
    return merge_categories(frame, rows, a_spec(**override))["x"].to_list()


def test_the_most_frequent_spelling_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    values = ["jfk", "JFK", " JFK", "JFK", "\uff2a\uff26\uff2b", "EWR", None, "", "  "]
    assert merged(values) == ["JFK"] * 5 + ["EWR", None, None, None]
    assert capsys.readouterr().out.strip() == "merge  x: 5 spellings of 2 categories"


def test_nothing_is_printed_if_nothing_is_merged(capsys: pytest.CaptureFixture[str]) -> None:
    assert merged(["JFK", "EWR", "JFK"]) == ["JFK", "EWR", "JFK"]
    assert not capsys.readouterr().out


def test_spellings_of_other_rows_count_as_known_ones() -> None:
    """A test row has a category of the other rows, or is unknown with the spelling that it has."""
    assert merged(["jfk", "EWR", "JFK", "JFK", "Lga", "LGA"], known_rows=2) == [
        "jfk",
        "EWR",
        "jfk",
        "jfk",
        "Lga",
        "LGA",
    ]


def test_categories_of_the_file_are_kept() -> None:
    assert merged(["jfk", "jfk", "ewr", "Ewr"], categories=["JFK"]) == ["JFK", "JFK", "ewr", "Ewr"]
    with pytest.raises(SpecError, match=r"features\.x\.categories: the categories 'a' and 'A' are the same"):
        merged(["a"], categories=["a", "A"])


@given(st.lists(TEXTS.flatmap(lambda text: st.lists(variant_of(text, ALL), max_size=3)), max_size=5))
def test_merging_twice_changes_nothing_more(groups: list[list[str]]) -> None:
    values: list[str | None] = [text for group in groups for text in group]
    once = merged(values)
    assert merged(once) == once
    assert len(set(once)) <= len(groups)


@given(st.lists(variant_of("Zürich", ALL), min_size=1, max_size=5))
def test_the_contract_maps_as_the_training_does(values: list[str]) -> None:
    """Rows that are not in memory are read with the contract alone."""
    raw = pl.DataFrame({"x": [*values, "Basel"], "y": 0})
    spec = a_spec()
    frame = merge_categories(raw, np.arange(raw.height), spec)
    features = infer_features(frame, spec)
    assert conform(frame, features).equals(conform(raw, features))


def test_the_contract_lists_one_spelling_of_each_category() -> None:
    frame = pl.DataFrame({"x": ["yes", "Yes", "no ", "no", "no"], "y": 0})
    (feature,) = infer_features(merge_categories(frame, np.arange(5), a_spec()), a_spec())
    assert isinstance(feature, Categorical)
    assert (feature.categories, feature.normalize) == (("Yes", "no"), ALL)


def test_all_categories_are_listed_up_to_a_limit() -> None:
    """The service has to know all categories, not only the first 200."""
    texts = [f"street {number}" for number in range(MAX_NORMALIZED_CATEGORIES + 1)]
    frame = pl.DataFrame({"x": texts, "y": 0})
    (feature,) = infer_features(frame[:-1], a_spec())
    assert isinstance(feature, Categorical)
    assert feature.categories == tuple(sorted(texts[:-1]))
    with pytest.raises(SpecError, match=r"features\.x\.normalize: the column has 10,001 categories, and"):
        merge_categories(frame, np.arange(frame.height), a_spec())


def test_booleans_as_text_are_categories(tmp_path: Path) -> None:
    """Without the option, a column of true and false in a CSV file is a boolean."""
    (tmp_path / "t.csv").write_text("x,y\nTRUE,1\ntrue,2\n false,3\ntrue,4\n")
    spec = a_spec()
    frame = merge_categories(read_table(spec, tmp_path).frame, np.arange(4), spec)
    assert frame["x"].to_list() == ["true", "true", " false", "true"]
    assert infer_features(frame, spec)[0].kind == "categorical"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"kind": "text"}, "a feature of kind 'text' has no such field"),
        ({"normalize": ["lower"]}, "expected 'trim', 'case' or 'unicode'"),
        ({"normalize": "trim"}, "expected a list"),
    ],
)
def test_other_uses_are_refused(override: dict[str, Any], message: str, tmp_path: Path) -> None:
    keys = "".join(f"    {key}: {value}\n" for key, value in ({"normalize": ["trim"]} | override).items())
    (tmp_path / "t.csv").write_text("x,y\n" + "a,1\nb,2\n" * 20)
    (tmp_path / "model.yaml").write_text(
        f"name: m\ndata: {{path: t.csv, target: y}}\nfeatures:\n  x:\n{keys}", encoding="utf-8"
    )
    with pytest.raises(SpecError, match=message):
        read_dataset(tmp_path / "model.yaml")
