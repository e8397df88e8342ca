from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Integer, Numeric, Text
from model_deployer.training.data.columns import is_text
from model_deployer.training.data.features import conform, infer_features
from model_deployer.training.spec import Spec


def a_spec(**sections: Any) -> Spec:
    data = {"path": "t.csv", "target": "y", **sections.pop("data", {})}
    return Spec.model_validate({"name": "m", "data": data, **sections})


def infer(values: list[Any], dtype: Any = None, **overrides: Any) -> Feature:
    """Infer a feature from the values of one column and its overrides in model.yaml."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype, strict=False), "y": 0})
    return infer_features(frame, a_spec(features={"x": overrides}))[0]


def values_of(column: pl.Series, feature: Feature) -> list[Any]:
    return conform(pl.DataFrame({"x": column}), [feature])["x"].to_list()


def test_numbers() -> None:
    assert infer([0.5, 2.5, 1.5]) == Numeric(name="x", minimum=0.5, maximum=2.5, example=2.5)
    assert infer([3, 1, 2]) == Integer(name="x", minimum=1, maximum=3, example=1)
    assert infer([0, 1, 0]) == Integer(name="x", minimum=0, maximum=1, example=1)
    assert infer([Decimal("1.5"), Decimal("2.5")]).kind == "numeric"


def test_an_infinite_number_counts_as_missing() -> None:
    feature = infer([1.0, float("inf"), 2.0])
    assert feature == Numeric(name="x", minimum=1, maximum=2, example=2, missing="impute", required=False)
    conformed = values_of(pl.Series([float("-inf"), 1.0]), feature)
    assert np.isnan(conformed[0])
    assert conformed[1] == 1


def test_strings_booleans_and_times() -> None:
    assert infer(["b", "a", "b"]) == Categorical(name="x", categories=("a", "b"), example="a")
    assert infer(["b", "a", "b"], pl.Categorical).kind == "categorical"
    assert infer([True, False, True]) == Boolean(name="x", example=False)
    noons = [datetime(2013, 1, day, 12) for day in (1, 2, 3)]
    assert infer(noons) == Datetime(name="x", example="2013-01-02T12:00:00")
    assert infer([date(2013, 1, 1), date(2013, 1, 2)]).example in {"2013-01-01T00:00:00", "2013-01-02T00:00:00"}
    zoned = infer(noons, pl.Datetime("us", "UTC"))
    assert zoned == Datetime(name="x", zoned=True, example="2013-01-02T12:00:00Z")


def test_examples_stand_in_one_row_as_full_as_there_is() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3, None], "b": [None, "y", "z", "w"], "y": [0, 1, 0, 1]})
    features = infer_features(frame, Spec.model_validate({"name": "m", "data": {"path": "t", "target": "y"}}))
    assert [feature.example for feature in features] == [3, "z"]


def test_long_and_different_strings_are_text() -> None:
    assert infer([f"{number} " + "words " * 10 for number in range(9)]).kind == "text"
    feature = infer(["a" * 20_000, "b"])
    assert isinstance(feature, Text)
    assert feature.longest == 20_000


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([f"it is {number} pieces" for number in range(9)], "text"),
        ([f"{number} St" for number in range(9)], "categorical"),
        (["it is the same"] * 8 + ["it is not"], "categorical"),
        ([f"very good {number}" for number in range(3)] + [None] * 6, "text"),
        ([f"{number}很好吃" for number in range(9)], "text"),
        ([f"{number:064x}" for number in range(9)], "text"),
        ([f"{number:036x}" for number in range(9)], "categorical"),
    ],
)
def test_different_strings_of_several_words_are_text(values: list[str | None], kind: str) -> None:
    assert infer(values).kind == kind


def test_too_many_levels_are_not_listed() -> None:
    feature = infer([str(number) for number in range(201)])
    assert isinstance(feature, Categorical)
    assert feature.categories is None


@pytest.mark.parametrize("values", [[1.5, None, 2.5], [1.5, float("nan"), 2.5], ["a", "", "b"], [True, None, False]])
def test_a_value_that_was_missing_in_training_may_be_missing(values: list[Any]) -> None:
    feature = infer(values)
    assert (feature.missing, feature.required) == ("impute", False)


def test_what_is_said_overrules_the_data() -> None:
    overrides = {"minimum": -1, "out_of_range": "reject", "unit": "miles", "description": "How far."}
    expected = Numeric(name="x", minimum=-1, maximum=2, example=2, out_of_range="reject", unit="miles")
    assert infer([1.0, 2.0], **overrides) == expected.model_copy(update={"description": "How far."})
    assert infer([1.0, 2.0], required=False).missing == "impute"
    assert infer([1.0, 2.0], missing="impute").required is False
    assert infer([1.0, None, 2.0], missing="reject").required is True
    assert infer([datetime(2013, 1, 1), datetime(2013, 1, 2)], example=date(2014, 1, 1)).example == "2014-01-01"


def test_whole_numbers_as_categories_have_no_decimals() -> None:
    for column in (pl.Series([7, 10, 7]), pl.Series([7.0, 10.0, None])):
        feature = infer(column.to_list(), kind="categorical")
        assert isinstance(feature, Categorical)
        assert feature.categories == ("10", "7")
        assert values_of(column, feature)[:2] == ["7", "10"]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"unknown": "accept"}, "features.x.unknown: a feature of kind 'numeric' has no such field"),
        ({"minimum": 5}, "features.x: `minimum` is above `maximum`"),
        ({"required": False, "missing": "reject"}, "needs `missing: impute`"),
        ({"kind": "categorical", "categories": [], "unknown": "reject"}, "needs the list of `categories`"),
        ({"kind": "integer", "minimum": 0.5}, "features.x.minimum: expected a valid integer"),
    ],
)
def test_an_override_that_cannot_be(overrides: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        infer([1.5, 2.5], **overrides)
    assert complaint in str(caught.value)


def test_an_override_needs_its_column() -> None:
    frame = pl.DataFrame({"origin": ["a", "b"], "y": [0, 1]})
    with pytest.raises(SpecError) as caught:
        infer_features(frame, a_spec(features={"orign": {}, "y": {}}))
    assert str(caught.value).splitlines() == [
        "features.orign: the table has no column 'orign'; did you mean 'origin'?",
        "features.y: the column has another role under `data`; it is not a feature",
    ]


def test_role_and_constant_columns_are_not_features() -> None:
    """Columns with another role, and constant columns, are not features."""
    names = ("x", "y", "when", "who", "w")
    frame = pl.DataFrame({name: [1, 2] for name in names}).with_columns(same=pl.lit(3), empty=pl.lit(None))
    data = {"time": "when", "group": "who", "weight": "w"}
    assert [feature.name for feature in infer_features(frame, a_spec(data=data))] == ["x"]
    time_as_feature = a_spec(data=data, features={"when": {}})
    assert [feature.name for feature in infer_features(frame, time_as_feature)] == ["x", "when"]
    random_split = a_spec(data=data, split={"method": "random"})
    assert [feature.name for feature in infer_features(frame, random_split)] == ["x", "when"]
    with pytest.raises(DataError, match="no column is left to learn from"):
        infer_features(frame.select("y", "same", "empty"), a_spec())


@pytest.mark.parametrize(
    "values",
    [[[1], [2]], [{"a": 1}, {"a": 2}], [b"1", b"2"], [timedelta(1), timedelta(2)], [time(1), time(2)], [2**60, 1]],
)
def test_a_column_that_no_feature_can_be(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"column 'x' .*`data\.ignore`"):
        infer(values)


def test_a_kind_does_not_make_a_list_readable() -> None:
    with pytest.raises(DataError, match=r"column 'x' holds List"):
        infer([[1], [2]], kind="numeric")


@pytest.mark.parametrize(
    ("column", "feature", "expected"),
    [
        (pl.Series([1, None]), Integer(name="x"), [1.0, None]),
        (pl.Series(["2", "", None], dtype=pl.Categorical), Integer(name="x"), [2.0, None, None]),
        (pl.Series([time(17, 5), None]), Categorical(name="x"), ["17:05:00", ""]),
        (pl.Series(["1.5", " 2 ", ""]), Numeric(name="x"), [1.5, 2.0, None]),
        (pl.Series([True, False, None]), Boolean(name="x"), [1.0, 0.0, None]),
        (pl.Series(["True", "false", None]), Boolean(name="x"), [1.0, 0.0, None]),
        (pl.Series([True, False, None]), Categorical(name="x"), ["true", "false", ""]),
        (pl.Series([datetime(1970, 1, 2, 0, 0, 0, 250_000), None]), Datetime(name="x"), [86400.25, None]),
        (pl.Series([date(1970, 1, 2)]), Datetime(name="x"), [86400.0]),
        (pl.Series(["1970-01-02T01:00:00+01:00", ""]), Datetime(name="x", zoned=True), [86400.0, None]),
        (pl.Series(["a", None, ""]), Text(name="x"), ["a", "", ""]),
    ],
)
def test_values_as_the_graph_takes_them(column: pl.Series, feature: Feature, expected: list[Any]) -> None:
    values = values_of(column, feature)
    assert [None if isinstance(value, float) and np.isnan(value) else value for value in values] == expected


@pytest.mark.parametrize(
    ("column", "feature", "complaint"),
    [
        (pl.Series(["1", "secret"]), Numeric(name="x"), "column 'x', row 2: expected a number"),
        (pl.Series([1.0, 1.5]), Integer(name="x"), "column 'x', row 2: expected a whole number"),
        (pl.Series([0, 1, 2]), Boolean(name="x"), "column 'x', row 3: expected true or false"),
        (pl.Series(["secret"]), Datetime(name="x"), "column 'x', row 1: expected a local time"),
    ],
)
def test_a_value_that_cannot_be_read_is_placed_and_not_repeated(
    column: pl.Series, feature: Feature, complaint: str
) -> None:
    with pytest.raises(DataError) as caught:
        values_of(column, feature)
    assert str(caught.value).startswith(complaint)
    assert "secret" not in str(caught.value)


def differ(values: list[str | None]) -> bool:
    return len({value or "" for value in values}) > 1


@given(st.lists(st.sampled_from([None, "", "a", "\n", "é"]) | st.text(max_size=5), min_size=2).filter(differ))
def test_every_training_value_is_a_listed_category(values: list[str | None]) -> None:
    assume(not is_text(pl.Series(values, dtype=pl.String)))
    feature = infer(values, pl.String)
    assert isinstance(feature, Categorical)
    conformed = values_of(pl.Series(values, dtype=pl.String), feature)
    assert set(conformed) - {""} == set(feature.categories or ())
    assert ("" in conformed) == feature.nullable


@given(st.lists(st.integers(-(2**53), 2**53), min_size=2, unique=True))
def test_every_training_number_lies_in_range_unchanged(values: list[int]) -> None:
    feature = infer(values, pl.Int64)
    assert isinstance(feature, Integer)
    assert (feature.minimum, feature.maximum) == (min(values), max(values))
    assert feature.example in values
    assert values_of(pl.Series(values), feature) == values


def test_a_feature_needs_a_name() -> None:
    frame = pl.DataFrame({"": [1, 2], "y": [0, 1]})
    with pytest.raises(DataError, match=r'has no name; name it, or list "" under `data.ignore`'):
        infer_features(frame, a_spec())


@pytest.mark.parametrize("kind", ["datetime", "boolean"])
def test_column_of_another_kind_is_found_when_read(kind: str) -> None:
    """A column that is not of the kind that model.yaml says is found when it is read."""
    frame = pl.DataFrame({"x": [1.5, 2.5], "y": [0, 1]})
    (feature,) = infer_features(frame, a_spec(features={"x": {"kind": kind}}))
    with pytest.raises(DataError, match="column 'x', row 1: expected"):
        conform(frame, [feature])
