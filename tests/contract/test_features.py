import re
from datetime import date

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import MAX_EXACT_INTEGER, Categorical, Datetime, Feature, Integer, Numeric
from tests.support import tiny

FEATURES: TypeAdapter[Feature] = TypeAdapter(Feature)


@pytest.mark.parametrize("feature", tiny.FEATURES, ids=lambda feature: feature.name)
def test_a_feature_survives_its_json(feature: Feature) -> None:
    assert FEATURES.validate_json(FEATURES.dump_json(feature)) == feature


@pytest.mark.parametrize("feature", tiny.FEATURES, ids=lambda feature: feature.name)
def test_the_schema_is_valid_and_accepts_the_example(feature: Feature) -> None:
    schema = feature.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(feature.example, schema)


@pytest.mark.parametrize("feature", tiny.FEATURES, ids=lambda feature: feature.name)
def test_null_is_in_the_schema_exactly_where_it_is_accepted(feature: Feature) -> None:
    validator = jsonschema.Draft202012Validator(feature.json_schema())
    assert validator.is_valid(None) == feature.nullable


def test_what_may_be_left_out_needs_a_policy_for_missing_values() -> None:
    with pytest.raises(ValidationError, match="missing: impute"):
        Numeric(name="x", required=False)


def test_refusing_unknown_categories_needs_a_list() -> None:
    """Unknown categories can only be refused where the known ones are listed."""
    with pytest.raises(ValidationError, match="categories"):
        Categorical(name="x", unknown="reject")


def test_bounds_are_in_order() -> None:
    with pytest.raises(ValidationError, match="above"):
        Numeric(name="x", minimum=2, maximum=1)


def test_a_range_is_a_constraint_only_where_it_refuses() -> None:
    assert Integer(name="x", minimum=1, maximum=9, out_of_range="reject").json_schema()["maximum"] == 9
    clamped = Integer(name="x", minimum=1, maximum=9).json_schema()
    assert clamped["maximum"] == MAX_EXACT_INTEGER
    assert "maximum" not in Numeric(name="x", minimum=1, maximum=9).json_schema()
    assert "counts as that bound" in clamped["description"]


@pytest.mark.parametrize(
    ("feature", "phrase"),
    [
        (Numeric(name="x", minimum=0, maximum=1_234_567, out_of_range="reject"), "a number from 0 to 1234567"),
        (Numeric(name="x", minimum=0.1, out_of_range="reject"), "a number of at least 0.1"),
        (Integer(name="x", maximum=10**7, out_of_range="reject"), "a whole number of at most 10000000"),
        (Numeric(name="x", out_of_range="reject"), "a number"),
        (Integer(name="x", minimum=3), "a whole number"),
    ],
)
def test_what_is_expected_is_said_to_the_last_digit(feature: Feature, phrase: str) -> None:
    assert feature.expected() == phrase


@pytest.mark.parametrize(
    "text", ["0000-01-01T00:00:00", "2013-13-01T00:00:00", "2013-01-32T00:00:00", "2013-01-01T24:00:00"]
)
def test_the_schema_of_a_local_time_knows_the_calendar(text: str) -> None:
    assert not jsonschema.Draft202012Validator(Datetime(name="t").json_schema()).is_valid(text)


def test_local_times_carry_no_offset_and_zoned_ones_do() -> None:
    local = jsonschema.Draft202012Validator(Datetime(name="t").json_schema())
    assert local.is_valid("2013-11-01T17:05:00")
    assert not local.is_valid("2013-11-01T17:05:00Z")
    assert Datetime(name="t", zoned=True).json_schema()["format"] == "date-time"


def test_feature_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="same name"):
        Contract(features=(Numeric(name="x"), Integer(name="x")), output=tiny.CONTRACT.output)


def test_the_row_schema_accepts_the_example_and_no_stranger() -> None:
    validator = jsonschema.Draft202012Validator(tiny.CONTRACT.row_schema())
    assert validator.is_valid(tiny.ROW)
    assert not validator.is_valid(tiny.ROW | {"stranger": 1})


def is_a_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


@settings(max_examples=500)
@given(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
@example(2000, 2, 29)
@example(1900, 2, 29)
@example(2024, 2, 29)
@example(2023, 2, 29)
def test_the_pattern_of_a_day_is_the_calendar(year: int, month: int, day: int) -> None:
    pattern = Datetime(name="t").json_schema()["pattern"]
    assert bool(re.search(pattern, f"{year:04}-{month:02}-{day:02}T00:00:00")) == is_a_day(year, month, day)
