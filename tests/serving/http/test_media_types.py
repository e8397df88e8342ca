import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.serving.http.media_types import negotiate, parse_media_type

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize(
    ("header", "name", "parameters"),
    [
        (b"application/json", JSON, {}),
        (b" Text/CSV ; charset = UTF-8", CSV, {"charset": "utf-8"}),
        (b'text/csv;charset="utf-8";header=present', CSV, {"charset": "utf-8", "header": "present"}),
        (b"", "", {}),
        (b";", "", {}),
        (b"\xff/\xfe", "ÿ/þ", {}),
    ],
)
def test_content_type_with_parameters(header: bytes, name: str, parameters: dict[str, str]) -> None:
    assert parse_media_type(header) == (name, parameters)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"*/*", JSON),
        (b"application/json", JSON),
        (b"text/csv", CSV),
        (b"text/csv, application/json", CSV),
        (b"application/json;q=0.5, text/csv", CSV),
        (b"text/csv;q=0.5, application/json;q=0.9", JSON),
        (b"text/*, application/*;q=0.1", CSV),
        (b"text/html, */*;q=0.1", JSON),
        (b"application/json;q=0, */*", CSV),
        (b"application/*", JSON),
        (b"text/html", None),
        (b"text/csv;q=0", None),
        (b"text/csv;q=much", CSV),
        (b"", None),
        (b",;,", None),
    ],
)
def test_accept_chooses_by_weight_then_by_order(accept: bytes, expected: str | None) -> None:
    assert negotiate(accept, (JSON, CSV, ARROW)) == expected


@given(st.binary(max_size=200))
def test_no_header_breaks_the_parser(header: bytes) -> None:
    assert negotiate(header, (JSON, CSV)) in (JSON, CSV, None)
    parse_media_type(header)


@given(
    st.lists(st.tuples(st.sampled_from([JSON, CSV, ARROW]), st.integers(1, 1000)), min_size=1, unique_by=lambda x: x[0])
)
def test_no_accepted_offer_weighs_more_than_the_chosen(ranges: list[tuple[str, int]]) -> None:
    accept = ", ".join(f"{name};q={weight / 1000}" for name, weight in ranges)
    weights = dict(ranges)
    chosen = negotiate(accept.encode(), (JSON, CSV, ARROW))
    assert chosen is not None
    assert weights[chosen] == max(weights.values())
