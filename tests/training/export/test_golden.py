import json
import math
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Numeric
from model_deployer.contract.outputs import Arrays, Regression
from model_deployer.serving.rows.columns import ColumnBuilder
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.training.export.golden import lines, write_golden
from tests.support.feature_rows import FEATURES, ROW

CONTRACT = Contract(features=FEATURES, output=Regression(target="y"))


def total(frame: pl.DataFrame) -> Arrays:
    """Return the sum of the values of each row, so that a prediction identifies its row."""
    columns = [
        frame[name].fill_nan(7.0) if frame[name].dtype == pl.Float64 else frame[name].str.len_chars()
        for name in CONTRACT.names
    ]
    value = np.sum([column.to_numpy() / 1e9 for column in columns], axis=0).reshape(-1, 1)
    return {name: value.astype(np.float32) for name in ("value", "lower", "upper")}


@settings(max_examples=50)
@given(st.lists(ROW, min_size=1, max_size=30))
def test_every_golden_row_is_served_as_it_was_predicted(rows: list[dict[str, Any]]) -> None:
    schema = {feature.name: pl.String if feature.dtype == "string" else pl.Float64 for feature in FEATURES}
    golden = write_golden(CONTRACT, pl.DataFrame(rows, schema=schema), total)
    cases = [json.loads(line) for line in lines(golden).rstrip("\n").split("\n")]  # texts may have other line ends
    cases = [case for case in cases if case["case"] != "example"]
    decoded = Decoder(CONTRACT)(json.dumps({"rows": [case["row"] for case in cases]}).encode())
    assert isinstance(decoded, list)
    frame = pl.DataFrame(
        {name: column[:, 0] for name, column in ColumnBuilder(FEATURES)(decoded).items()}, schema=schema
    )
    for case, prediction in zip(cases, CONTRACT.output.predictions(total(frame)), strict=True):
        assert math.isclose(case["prediction"]["value"], prediction["value"], rel_tol=1e-6, abs_tol=1e-6)


def test_edge_cases_stand_beside_ordinary_rows() -> None:
    row = {
        "size": 1.0,
        "dial": 0.0,
        "seats": 2.0,
        "open": 1.0,
        "colour": "red",
        "origin": "JFK",
        "when": 0.0,
        "booked": 0.0,
        "remark": "fine",
    }
    golden = {case.case: case.row for case in write_golden(CONTRACT, pl.DataFrame([row] * 100), total)}
    assert len(golden) == 1 + 24 + 5
    assert golden["all nullable fields missing"]["dial"] is None
    assert golden["all nullable fields missing"]["size"] == 1.0
    assert golden["unknown categories"]["colour"] != "red"
    assert golden["unknown categories"]["origin"] == "JFK"
    assert golden["texts with unusual characters"]["remark"].startswith("Never SEEN,\tnever")
    assert len(golden["texts with unusual characters"]["remark"]) == 20
    assert golden["numbers below their range"]["dial"] < -1
    assert golden["numbers above their range"]["seats"] > 9
    assert golden["numbers above their range"]["size"] == 1.0


def test_there_is_nothing_beyond_the_largest_number() -> None:
    largest = float(np.finfo(np.float64).max)
    contract = Contract(features=(Numeric(name="x", minimum=-largest, maximum=largest),), output=Regression(target="y"))
    test = pl.DataFrame({"x": [1.0, 2.0]})
    cases = write_golden(
        contract, test, lambda rows: {name: np.zeros((len(rows), 1)) for name in contract.output.tensors}
    )
    assert [case.row["x"] for case in cases][-2:] == [1.0, 2.0]
