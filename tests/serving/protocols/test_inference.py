"""The two ways in which a request of the Open Inference Protocol is read agree."""

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import RequestError
from model_deployer.serving.protocols.inference import Reader
from model_deployer.serving.rows.columns import ColumnBuilder, Columns, Table
from model_deployer.serving.rows.decoding import Decoder, Rows
from tests.support import tiny

READER = Reader(tiny.CONTRACT)
DECODER = Decoder(tiny.CONTRACT)
STACK = ColumnBuilder(tiny.FEATURES)
REQUIRED = [feature.name for feature in tiny.FEATURES if feature.required]
OPTIONAL = [feature.name for feature in tiny.FEATURES if not feature.required]
RIGHT = tiny.ROW | {"seats": 149, "booked": "2013-10-01T08:00:00+02:00", "remark": "ñ\n"}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 2.5, 1e9, "", "SFO", "2013-11-01T17:05:00", "2013-13-01", [1], {}, "x" * 300]
)


def inputs(rows: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Some fields, or all of them, or one twice; most values are right."""
    names = (
        st.just([*tiny.ROW])
        | st.lists(st.sampled_from(OPTIONAL), unique=True).map(lambda more: [*REQUIRED, *more])
        | st.lists(st.sampled_from([*tiny.ROW, "stranger"]), max_size=10)
    )
    return names.flatmap(lambda chosen: st.tuples(*(_input(name, rows) for name in chosen)).map(list))


def _input(name: str, rows: int) -> st.SearchStrategy[dict[str, Any]]:
    value = st.sampled_from([tiny.ROW.get(name), RIGHT.get(name)])
    values = st.lists(value, min_size=rows, max_size=rows) | st.lists(value | ODD, max_size=3)
    shape = st.sampled_from([[rows], [rows, 1]]) | st.sampled_from([[], [rows, 2], [1, 1, 1], [-1]])
    return st.fixed_dictionaries(
        {"name": st.just(name), "shape": shape, "datatype": st.just("FP64"), "data": values},
        optional={"parameters": st.sampled_from([None, {"binary_data_size": 8}])},
    )


def columns(rows: Rows) -> Columns:
    return rows.columns if isinstance(rows, Table) else STACK(rows)


@given(st.integers(1, 3).flatmap(inputs))
def test_what_the_fast_way_reads_the_slow_one_reads_alike(given_inputs: list[dict[str, Any]]) -> None:
    found = READER.fast(json.dumps({"inputs": given_inputs}).encode())
    if found is None:
        return
    asked = READER.slow(json.dumps({"inputs": given_inputs}).encode())
    data = {each.name: each.data for each in asked.inputs}
    assert len(data) == len(given_inputs)
    rows = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
    expected, (_, fast) = columns(DECODER.objects(rows)), found
    for name, array in columns(fast).items():
        np.testing.assert_array_equal(array, expected[name])  # NaN is NaN


@given(st.integers(1, 3).flatmap(inputs))
def test_what_is_right_is_read_the_fast_way(given_inputs: list[dict[str, Any]]) -> None:
    """Where shapes, data and names go together, it is the values alone that decide."""
    names = [each["name"] for each in given_inputs]
    sizes = {len(each["data"]) for each in given_inputs}
    shapes = [each["shape"] for each in given_inputs]
    if len(set(names)) < len(names) or len(sizes) != 1 or any(shape not in ([*sizes], [*sizes, 1]) for shape in shapes):
        return
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(each["data"] for each in given_inputs), strict=True)]
    try:
        DECODER.objects(rows)
    except RequestError:
        assert READER.fast(json.dumps({"inputs": given_inputs}).encode()) is None
    else:
        assert READER.fast(json.dumps({"inputs": given_inputs}).encode())


def test_a_name_that_json_has_to_escape_is_read_the_fast_way() -> None:
    quoted = tiny.FEATURES[0].model_copy(update={"name": 'the "distance"\n'})
    reader = Reader(tiny.CONTRACT.model_copy(update={"features": (quoted,)}))
    body = json.dumps({"inputs": [{"name": quoted.name, "shape": [1], "datatype": "FP64", "data": [7]}]})
    found = reader.fast(body.encode())
    assert found
    assert found[1] == [[7.0]]
