"""The JSON decoder: valid rows, every kind of problem, and the agreement of the fast and the slow path."""

import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import InvalidRows, MalformedBody, Problem, RequestError, TooManyRows
from model_deployer.contract.features import Categorical, Feature, Integer, Numeric
from model_deployer.serving.rows.columns import Values
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.serving.rows.validation import MAX_LISTED_PROBLEMS, Validator
from tests.support import tiny

DECODER = Decoder(tiny.CONTRACT)
VALIDATOR = Validator(tiny.CONTRACT)
SCHEMA = jsonschema.Draft202012Validator(tiny.CONTRACT.row_schema(), format_checker=jsonschema.FormatChecker())


def decoded(body: bytes) -> list[Values]:
    rows = DECODER(body)
    assert isinstance(rows, list)
    return rows


def problems(row: dict[str, Any]) -> list[Problem]:
    with pytest.raises(InvalidRows) as caught:
        DECODER(json.dumps({"rows": [row]}).encode())
    return list(caught.value.problems)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in tiny.ROW.items() if key != name}


def test_keys_may_come_in_any_order() -> None:
    """Rows come in the contract's order, whatever the order of the keys."""
    shuffled = dict(reversed(tiny.ROW.items()))
    first, second = decoded(json.dumps({"rows": [tiny.ROW, shuffled]}).encode())
    assert first == second
    assert first[0] == tiny.ROW["distance"]


def test_a_bare_row_is_one_row() -> None:
    body = json.dumps(tiny.ROW).encode()
    assert DECODER(body) == DECODER(b'{"rows":[' + body + b"]}")


def test_what_may_be_left_out_is_none() -> None:
    (row,) = decoded(json.dumps(without("temp")).encode())
    assert row[1] is None


def test_a_whole_number_may_be_written_with_a_decimal_point() -> None:
    (row,) = decoded(json.dumps(tiny.ROW | {"seats": 149.0}).encode())
    assert row[2] == 149
    assert isinstance(row[2], int)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"distance": "733"}, "wrong_type"),
        ({"distance": True}, "wrong_type"),
        ({"distance": [1]}, "wrong_type"),
        ({"distance": None}, "not_nullable"),
        ({"distance": math.nan}, "not_finite"),
        ({"distance": math.inf}, "not_finite"),
        ({"distance": -math.inf}, "not_finite"),
        ({"distance": 10**350}, "not_finite"),
        ({"distance": 10**600}, "not_finite"),
        ({"distance": -1}, "out_of_range"),
        ({"distance": 5000.5}, "out_of_range"),
        ({"seats": 2.5}, "not_an_integer"),
        ({"seats": 501}, "out_of_range"),
        ({"seats": "97531"}, "wrong_type"),
        ({"holiday": 1}, "wrong_type"),
        ({"holiday": "yes, it is"}, "wrong_type"),
        ({"origin": "XXX"}, "unknown_category"),
        ({"origin": 5}, "wrong_type"),
        ({"carrier": ""}, "wrong_length"),
        ({"carrier": "x" * 1001}, "wrong_length"),
        ({"departure": "yesterday"}, "invalid_datetime"),
        ({"departure": "2013-11-01T17:05:00Z"}, "invalid_datetime"),
        ({"departure": "2013-02-30T17:05:00"}, "invalid_datetime"),
        ({"departure": 1383325500}, "wrong_type"),
        ({"booked": "2014-12-31T17:05:00"}, "invalid_datetime"),
        ({"remark": "x" * 201}, "wrong_length"),
        ({"remark": "\ud800"}, "invalid_text"),
        ({"remark": {}}, "wrong_type"),
    ],
)
def test_wrong_value_is_named_and_never_repeated(change: dict[str, Any], code: str) -> None:
    """A wrong value is named by its field, and never repeated."""
    (problem,) = problems(tiny.ROW | change)
    (name, value) = next(iter(change.items()))
    assert (problem.row, problem.field, problem.code) == (0, name, code)
    if isinstance(value, str) and value:
        assert value not in problem.message


def test_a_missing_field_is_told_from_null() -> None:
    (problem,) = problems(without("distance"))
    assert (problem.field, problem.code) == ("distance", "missing_field")


def test_an_unknown_field_is_answered_with_the_nearest_one() -> None:
    (problem,) = problems(tiny.ROW | {"distanse": 1})
    assert problem.code == "unknown_field"
    assert "'distance'" in problem.message


def test_every_problem_of_every_row_is_listed() -> None:
    invalid = tiny.ROW | {"distance": "far", "origin": "XXX", "stranger": 1}
    with pytest.raises(InvalidRows) as caught:
        DECODER(json.dumps({"rows": [invalid, tiny.ROW, 7, invalid]}).encode())
    listed = [(problem.row, problem.field) for problem in caught.value.problems]
    expected = [("stranger"), ("distance"), ("origin")]
    assert listed == [(0, name) for name in expected] + [(2, None)] + [(3, name) for name in expected]


def test_unknown_fields_are_listed_in_their_order() -> None:
    """Unknown fields are listed in the order that they came in."""
    names = [f"stranger {number}" for number in range(2_000)]
    with pytest.raises(InvalidRows) as caught:
        DECODER(json.dumps(tiny.ROW | dict.fromkeys(names, 1)).encode())
    assert [problem.field for problem in caught.value.problems] == names[:MAX_LISTED_PROBLEMS]
    assert caught.value.total == 2_000


def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(MalformedBody, match="byte order mark"):
        DECODER(b"\xef\xbb\xbf" + json.dumps(tiny.ROW).encode())


def test_a_number_without_bounds_is_still_held_to_what_is_exact() -> None:
    decoder = Decoder(Contract(features=(Integer(name="id"),), output=tiny.CONTRACT.output))
    with pytest.raises(InvalidRows) as caught:
        decoder(b'{"id": 9007199254740993}')
    assert caught.value.problems[0].message.endswith("to 9,007,199,254,740,992")


def test_the_list_of_problems_is_bounded_and_counted() -> None:
    contract = tiny.CONTRACT.model_copy(update={"limits": tiny.CONTRACT.limits.model_copy(update={"rows": 10_000})})
    with pytest.raises(InvalidRows) as caught:
        Decoder(contract)(json.dumps({"rows": [{}] * 1_000}).encode())
    assert len(caught.value.problems) == MAX_LISTED_PROBLEMS
    assert caught.value.total == 1_000 * sum(feature.required for feature in tiny.FEATURES)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"rows"',
        b'{"rows": []}',
        b'{"rows": {}}',
        b'{"rows": null}',
        b'{"rows": [{}], "more": 1}',
        b'{"rows": [{}]} x',
        b"\xff\xfe",
        b'{"distance": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"'single'",
    ],
)
def test_what_is_no_such_document_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        DECODER(body)


def test_too_many_rows_are_refused_with_the_limit() -> None:
    with pytest.raises(TooManyRows, match="at most 100"):
        DECODER(json.dumps({"rows": [tiny.ROW] * 101}).encode())
    assert len(DECODER(json.dumps({"rows": [tiny.ROW] * 100}).encode())) == 100


def test_names_that_json_has_to_escape_are_served_too() -> None:
    features: tuple[Feature, ...] = (Numeric(name='a "b"\n'), Categorical(name="ü\\"), Integer(name="rows"))
    decoder = Decoder(Contract(features=features, output=tiny.CONTRACT.output))
    row = {'a "b"\n': 1.5, "ü\\": "x", "rows": 3}
    assert decoder(json.dumps(row).encode()) == [(1.5, "x", 3)]
    assert decoder(json.dumps({"rows": [row]}).encode()) == [(1.5, "x", 3)]


def test_spellings_are_decoded_on_the_fast_path() -> None:
    features = (
        Categorical(name="a", categories=("JFK",), unknown="reject", normalize=("case",)),
        Categorical(name="b", categories=("AA",), missing="impute", required=False, normalize=("trim", "case")),
    )
    contract = Contract(features=features, output=tiny.CONTRACT.output)
    decoder, validator = Decoder(contract), Validator(contract)
    rows = [{"a": "jfk", "b": " aa\n"}, {"a": "JFK", "b": "other "}, {"a": "Jfk", "b": None}, {"a": "jfk"}]
    expected = [("JFK", "AA"), ("JFK", "other "), ("JFK", None), ("JFK", None)]
    body = json.dumps({"rows": rows}).encode()
    assert decoder._fast(body) == decoder(body) == decoder.objects(rows) == validator.rows(body) == expected


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["JFK", "EWR", "AA", "2013-11-01T17:05:00", "2013-11-01T17:05:00Z", "2013-11-01 17:05:00.5"])
)
ROWS = st.fixed_dictionaries({}, optional={feature.name: SCALARS for feature in tiny.FEATURES})
ODD_ROWS = st.builds(
    lambda valid, odd, keys: {**valid, **{key: odd[key] for key in keys if key in odd}},
    st.just(tiny.ROW),
    ROWS,
    st.lists(st.sampled_from([feature.name for feature in tiny.FEATURES]), max_size=3),
)


@settings(max_examples=150)
@given(st.lists(ROWS | ODD_ROWS, min_size=1, max_size=4))
def test_the_fast_and_the_slow_reading_agree(rows: list[dict[str, Any]]) -> None:
    body = json.dumps({"rows": rows}).encode()
    try:
        slow = VALIDATOR.rows(body)
    except InvalidRows:
        with pytest.raises(InvalidRows):
            DECODER(body)
        return
    assert [list(row) for row in decoded(body)] == [list(row) for row in slow]


@settings(max_examples=150)
@given(ODD_ROWS)
def test_schema_accepts_what_the_service_accepts(row: dict[str, Any]) -> None:
    """The published schema accepts whatever the service accepts.

    The converse is not true for times, which JSON Schema cannot validate, and for numbers above 2**53.
    """
    try:
        DECODER(json.dumps(row).encode())
    except InvalidRows:
        return
    assert SCHEMA.is_valid(row)


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_answered_with_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(RequestError):
        DECODER(body)
