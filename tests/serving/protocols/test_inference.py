"""The fast and the slow path of reading a request of the Open Inference Protocol agree."""

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import RequestError
from model_deployer.serving.protocols.inference import RequestReader
from model_deployer.serving.rows.columns import ColumnBuilder, Columns, Table
from model_deployer.serving.rows.decoding import Decoder, Rows
from tests.support import tiny

READER = RequestReader(tiny.CONTRACT)
DECODER = Decoder(tiny.CONTRACT)
BUILD_COLUMNS = ColumnBuilder(tiny.FEATURES)
REQUIRED = [feature.name for feature in tiny.FEATURES if feature.required]
OPTIONAL = [feature.name for feature in tiny.FEATURES if not feature.required]
VALID = tiny.ROW | {"seats": 149, "booked": "2013-10-01T08:00:00+02:00", "remark": "ñ\n"}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 2.5, 1e9, "", "SFO", "2013-11-01T17:05:00", "2013-13-01", [1], {}, "x" * 300]
)


def inputs(rows: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Some fields, or all of them, or one twice; most values are valid."""
    names = (
        st.just([*tiny.ROW])
        | st.lists(st.sampled_from(OPTIONAL), unique=True).map(lambda optional: [*REQUIRED, *optional])
        | st.lists(st.sampled_from([*tiny.ROW, "stranger"]), max_size=10)
    )
    return names.flatmap(lambda fields: st.tuples(*(_input(name, rows) for name in fields)).map(list))


def _input(name: str, rows: int) -> st.SearchStrategy[dict[str, Any]]:
    value = st.sampled_from([tiny.ROW.get(name), VALID.get(name)])
    values = st.lists(value, min_size=rows, max_size=rows) | st.lists(value | ODD, max_size=3)
    shape = st.sampled_from([[rows], [rows, 1]]) | st.sampled_from([[], [rows, 2], [1, 1, 1], [-1]])
    return st.fixed_dictionaries(
        {"name": st.just(name), "shape": shape, "datatype": st.just("FP64"), "data": values},
        optional={"parameters": st.sampled_from([None, {"binary_data_size": 8}])},
    )


def columns(rows: Rows) -> Columns:
    return rows.columns if isinstance(rows, Table) else BUILD_COLUMNS(rows)


@given(st.integers(1, 3).flatmap(inputs))
def test_what_the_fast_way_reads_the_slow_one_reads_alike(tensors: list[dict[str, Any]]) -> None:
    decoded = READER.fast(json.dumps({"inputs": tensors}).encode())
    if decoded is None:
        return
    request = READER.slow(json.dumps({"inputs": tensors}).encode())
    data = {tensor.name: tensor.data for tensor in request.inputs}
    assert len(data) == len(tensors)
    rows = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
    expected, (_, fast_rows) = columns(DECODER.objects(rows)), decoded
    for name, array in columns(fast_rows).items():
        np.testing.assert_array_equal(array, expected[name])  # NaN equals NaN here


@given(st.integers(1, 3).flatmap(inputs))
def test_what_is_right_is_read_the_fast_way(tensors: list[dict[str, Any]]) -> None:
    """If shapes, data and names match, only the values decide."""
    names = [tensor["name"] for tensor in tensors]
    sizes = {len(tensor["data"]) for tensor in tensors}
    shapes = [tensor["shape"] for tensor in tensors]
    if len(set(names)) < len(names) or len(sizes) != 1 or any(shape not in ([*sizes], [*sizes, 1]) for shape in shapes):
        return
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(tensor["data"] for tensor in tensors), strict=True)]
    try:
        DECODER.objects(rows)
    except RequestError:
        assert READER.fast(json.dumps({"inputs": tensors}).encode()) is None
    else:
        assert READER.fast(json.dumps({"inputs": tensors}).encode())


def test_a_name_that_json_has_to_escape_is_read_the_fast_way() -> None:
    quoted = tiny.FEATURES[0].model_copy(update={"name": 'the "distance"\n'})
    reader = RequestReader(tiny.CONTRACT.model_copy(update={"features": (quoted,)}))
    body = json.dumps({"inputs": [{"name": quoted.name, "shape": [1], "datatype": "FP64", "data": [7]}]})
    decoded = reader.fast(body.encode())
    assert decoded
    assert decoded[1] == [[7.0]]
