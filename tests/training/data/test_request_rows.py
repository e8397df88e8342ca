import math
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.features import Categorical, Datetime, Numeric, Text
from model_deployer.training.data.request_rows import frame_of_requests, frame_value, legal, request
from tests.support.feature_rows import FEATURES, ROW


@given(st.lists(ROW, min_size=1, max_size=10))
def test_a_request_leads_back_to_its_row(rows: list[dict[str, Any]]) -> None:
    schema = {feature.name: pl.String if feature.dtype == "string" else pl.Float64 for feature in FEATURES}
    frame = pl.DataFrame(rows, schema=schema)
    sent = frame.filter(legal(FEATURES, frame))
    received = frame_of_requests(FEATURES, [request(FEATURES, row) for row in sent.iter_rows(named=True)])
    assert received.equals(sent)


def test_absent_fields_are_missing_and_unknown_ones_dropped() -> None:
    """What a request leaves out is missing, and what the features do not have is left out."""
    features = (Numeric(name="size"), Categorical(name="colour"))
    (row,) = frame_of_requests(features, [{"wings": 2}]).iter_rows(named=True)
    assert row["colour"] == ""
    assert math.isnan(row["size"])
    assert row.keys() == {"size", "colour"}


def test_a_time_with_an_offset_is_the_same_instant_in_utc() -> None:
    booked = Datetime(name="booked", zoned=True)
    assert frame_value(booked, "1970-01-01T02:00:00+02:00") == frame_value(booked, "1970-01-01T00:00:00Z") == 0


def test_a_text_longer_than_accepted_is_not_legal() -> None:
    features = (Text(name="remark", longest=3), Categorical(name="colour"))
    frame = pl.DataFrame({"remark": ["abc", "abcd", "abc"], "colour": ["red", "red", "r" * 1001]})
    assert legal(features, frame).to_list() == [True, False, False]
