"""Features of every kind, and a strategy for conformed rows with any values for them."""

import math

from hypothesis import strategies as st

from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Integer, Numeric, Text

FEATURES: tuple[Feature, ...] = (
    Numeric(name="size", minimum=0, maximum=10, out_of_range="reject", example=2.5),
    Numeric(name="dial", missing="impute", minimum=-1, maximum=1),
    Integer(name="seats", missing="impute", minimum=1, maximum=9),
    Boolean(name="open", missing="impute", required=False),
    Categorical(name="colour", missing="impute"),
    Categorical(name="origin", categories=("EWR", "JFK"), unknown="reject", example="JFK"),
    Datetime(name="when", example="2013-11-01T17:05:00"),
    Datetime(name="booked", zoned=True, missing="impute"),
    Text(name="remark", missing="impute", longest=20),
)

#: A missing number is NaN, a missing text is "".
ROW = st.fixed_dictionaries(
    {
        "size": st.floats(-5, 15) | st.just(math.nan),
        "dial": st.floats(-5, 5) | st.just(math.nan),
        "seats": st.integers(-3, 12).map(float) | st.just(math.nan),
        "open": st.sampled_from([0.0, 1.0, math.nan]),
        "colour": st.sampled_from(["", "red", "réd"]),
        "origin": st.sampled_from(["", "EWR", "XXX"]),
        "when": st.integers(-(10**9), 4 * 10**9).map(float) | st.just(math.nan),
        "remark": st.text(max_size=25),
        "booked": st.floats(0, 2e9).map(lambda seconds: round(seconds, 6)) | st.just(math.nan),
    }
)
