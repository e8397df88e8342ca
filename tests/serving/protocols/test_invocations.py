"""SageMaker and MLflow on one path, over a real socket, compared with the native route."""

import csv
import io
import json
from typing import Any

import arro3.core
import arro3.io
import httpx
import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from tests.serving.protocols.served import KEY, Served
from tests.support import tiny
from tests.support.processes import Server

REQUIRED_ONLY = {"departure": "2013-11-01T17:05:00", "distance": 12.25, "origin": "EWR", "seats": 3}
ROWS: list[dict[str, Any]] = [
    tiny.ROW,
    tiny.ROW | {"remark": 'a "quoted", long\nremark', "holiday": True, "temp": None},
    REQUIRED_ONLY,
]

#: One client for all tests: creating a client takes longer than a request.
CLIENT = httpx.Client(timeout=30, headers={"X-API-Key": KEY})


def ask(server: Server, body: bytes, content_type: str = "application/json", **headers: str) -> httpx.Response:
    all_headers = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return CLIENT.post(f"{server.url}/invocations", content=body, headers=all_headers)


def ask_json(server: Server, document: Any, **headers: str) -> httpx.Response:
    return ask(server, json.dumps(document).encode(), **headers)


def native(server: Server, rows: list[dict[str, Any]] = ROWS) -> list[dict[str, Any]]:
    answer = CLIENT.post(f"{server.url}/predict", json={"rows": rows}).raise_for_status()
    predictions: list[dict[str, Any]] = answer.json()["predictions"]
    return predictions


def split(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"columns": tiny.CONTRACT.names, "data": values(rows)}


def values(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row.get(name) for name in tiny.CONTRACT.names] for row in rows]


def indexed(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[index, *row] for index, row in enumerate(values(rows))]


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in tiny.CONTRACT.names}


def to_csv(rows: list[dict[str, Any]], has_header: bool) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([tiny.CONTRACT.names] * has_header + values(rows))
    return file.getvalue().encode()


def csv_cells(predictions: list[dict[str, Any]]) -> list[list[Any]]:
    """Return predictions as the cells of CSV lines."""
    return [[each["decision"], *each["probabilities"].values()] for each in predictions]


def lines(answer: httpx.Response) -> list[list[Any]]:
    return [[line[0], *map(float, line[1:])] for line in csv.reader(io.StringIO(answer.text))]


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": split(ROWS) | {"index": [0, 1, 2]}},
        {"dataframe_split": {"data": values(ROWS)}},
        {"dataframe_records": ROWS, "params": {"anything": 1}},
        {"instances": ROWS, "signature_name": "serving_default"},
        {"instances": values(ROWS)},
        {"inputs": ROWS},
        {"inputs": values(ROWS)},
        {"inputs": columns(ROWS)},
        {"rows": ROWS},
        {"columns": columns(ROWS)},
        ROWS,
        values(ROWS),
        {"instances": [{"features": row} for row in values(ROWS)]},
        {"instances": [{"data": {"features": {"values": row}}} for row in values(ROWS)]},
        {"dataframe_split": {"columns": list(range(9)), "data": values(ROWS)}},
        {"dataframe_records": [dict(zip("012345678", row, strict=True)) for row in values(ROWS)]},
        {"dataframe_split": split(ROWS) | {"columns": ["Unnamed: 0", *tiny.CONTRACT.names], "data": indexed(ROWS)}},
        {"dataframe_records": [{"index": 7} | row for row in ROWS]},
    ],
    ids=lambda document: next(iter(document)) if isinstance(document, dict) else "list",
)
def test_json_shapes_match_the_native_route(server: Server, document: Any) -> None:
    """Every shape of JSON is answered as by the native route."""
    answer = ask_json(server, document)
    assert answer.json() == {"predictions": native(server)}
    assert answer.headers["content-type"] == "application/json"


def test_nan_is_missing_as_pandas_writes_it(server: Server) -> None:
    rows = [tiny.ROW | {"temp": float("nan"), "remark": 'said "NaN" twice: NaN'}]
    assert b"NaN," in json.dumps(rows).encode()
    expected = native(server, [rows[0] | {"temp": None}])
    assert ask_json(server, {"dataframe_records": rows}).json() == {"predictions": expected}
    assert ask_json(server, {"instances": [tiny.ROW | {"distance": float("inf")}]}).status_code == 400


def test_one_flat_list_is_one_row(server: Server) -> None:
    assert ask_json(server, values(ROWS)[0]).json() == {"predictions": native(server, ROWS[:1])}
    line = json.dumps({"features": values(ROWS)[0]}).encode()
    answer = ask(server, line, "application/jsonlines", Accept="application/json")
    assert answer.json() == {"predictions": native(server, ROWS[:1])}


def test_times_of_pandas_are_milliseconds(server: Server) -> None:
    """`to_json()` writes times so, with and without a time zone."""
    epoch = {"departure": 1_383_325_500_000, "booked": 1_380_614_400_000}
    texts = {"departure": "2013-11-01T17:05:00", "booked": "2013-10-01T08:00:00Z"}
    expected = {"predictions": native(server, [tiny.ROW | texts])}
    rows = [tiny.ROW | epoch]
    for document in ({"dataframe_records": rows}, {"dataframe_split": split(rows)}):
        assert ask_json(server, document).json() == expected
    for wrong in (True, 1e300, -(10**18)):
        refusal = ask_json(server, {"dataframe_records": [tiny.ROW | {"departure": wrong}]}).json()
        assert [problem["field"] for problem in refusal["errors"]] == ["departure"]
    assert ask_json(server, {"instances": rows}).status_code == 422  # not pandas


def test_index_column_of_csv_is_left_out(server: Server) -> None:
    lines = to_csv([tiny.ROW], has_header=True).decode().splitlines(keepends=True)
    for name in ("", "Unnamed: 0", "index"):
        body = f"{name},{lines[0]}0,{lines[1]}".encode()
        assert ask(server, body, "text/csv").json() == {"predictions": native(server, [tiny.ROW])}
    unknown = f"number,{lines[0]}0,{lines[1]}".encode()
    assert {each["code"] for each in ask(server, unknown, "text/csv").json()["errors"]} == {"unknown_field"}


def test_csv_header_decides_the_answer_type(server: Server) -> None:
    """CSV without a header is answered with CSV, and CSV with one with JSON."""
    expected = native(server)
    assert ask(server, to_csv(ROWS, has_header=True), "text/csv").json() == {"predictions": expected}
    answer = ask(server, to_csv(ROWS, has_header=False), "text/csv; charset=utf-8")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert lines(answer) == csv_cells(expected)
    with_byte_order_mark = b"\xef\xbb\xbf" + to_csv(ROWS, has_header=True)
    assert ask(server, with_byte_order_mark, "text/csv").json() == {"predictions": expected}


def test_csv_header_may_be_partial_or_declared_absent(server: Server) -> None:
    """A header may have fewer names, in another order; the media type may say that there is none."""
    text = b"seats,origin,distance,departure\n3,EWR,+12.250,2013-11-01T17:05:00\n"
    assert ask(server, text, "text/csv").json() == {"predictions": native(server, [REQUIRED_ONLY])}
    assert ask(server, text, "text/csv; header=absent").status_code == 400
    misspelt = ask(server, text.replace(b"seats", b"seat"), "text/csv")
    assert misspelt.status_code == 422
    assert {each["code"] for each in misspelt.json()["errors"]} == {"missing_field", "unknown_field"}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("temp", "", None),
        ("temp", "NaN", None),
        ("temp", " -1.5e1 ", -15.0),
        ("temp", ".5", 0.5),
        ("seats", "7.0", 7),
        ("seats", "007", 7),
        ("holiday", "True", True),
        ("holiday", "false", False),
        ("holiday", "", None),
        ("carrier", "", None),
        ("remark", "true", "true"),
        ("remark", "1", "1"),
    ],
)
def test_a_field_of_csv_is_read_by_its_kind(server: Server, field: str, text: str, value: Any) -> None:
    body = to_csv([tiny.ROW | {field: text}], has_header=True)
    assert ask(server, body, "text/csv").json() == {"predictions": native(server, [tiny.ROW | {field: value}])}


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("temp", "warm", "wrong_type"),
        ("temp", "inf", "wrong_type"),
        ("temp", "1e999", "wrong_type"),
        ("temp", "1_0", "wrong_type"),
        ("seats", "7.5", "not_an_integer"),
        ("seats", "", "not_nullable"),
        ("holiday", "1", "wrong_type"),
        ("origin", "XYZ", "unknown_category"),
    ],
)
def test_what_is_no_value_of_that_kind_is_refused_by_name(server: Server, field: str, text: str, code: str) -> None:
    answer = ask(server, to_csv([tiny.ROW, tiny.ROW | {field: text}], has_header=False), "text/csv")
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["row"], problem["field"], problem["code"]) == (1, field, code)


def test_a_batch_transform_gets_a_line_for_each_line_in_order(server: Server) -> None:
    rows = [tiny.ROW | {"distance": 40.0 * index} for index in range(100)]
    expected = native(server, rows)
    assert lines(ask(server, to_csv(rows, has_header=False), "text/csv", Accept="text/csv")) == csv_cells(expected)
    body = "\n".join(map(json.dumps, rows)).encode()
    answer = ask(server, body, "application/jsonlines")
    assert answer.headers["content-type"] == "application/jsonlines"
    assert [json.loads(line) for line in answer.text.splitlines()] == expected


def test_accept_names_the_type_of_the_answer(server: Server) -> None:
    expected, document = native(server), {"instances": ROWS}
    assert lines(ask_json(server, document, Accept="text/csv;q=0.9, application/json;q=0.5")) == csv_cells(expected)
    assert ask_json(server, document, Accept="text/html, */*").json() == {"predictions": expected}
    answer = ask_json(server, document, Accept="application/jsonlines")
    assert [json.loads(line) for line in answer.text.splitlines()] == expected
    refusal = ask_json(server, document, Accept="application/x-recordio-protobuf")
    assert (refusal.status_code, refusal.json()["code"]) == (406, "not_acceptable")


def test_parquet_is_read_for_mlflow(server: Server) -> None:
    table = arro3.core.Table.from_pydict(
        {
            "distance": arro3.core.Array.from_numpy(np.array([12.25, 30.0])),
            "seats": arro3.core.Array.from_numpy(np.array([3, 3])),
            "origin": arro3.core.Array(["EWR", "JFK"], type=arro3.core.DataType.utf8()),
            "departure": arro3.core.Array([REQUIRED_ONLY["departure"]] * 2, type=arro3.core.DataType.utf8()),
        }
    )
    file = io.BytesIO()
    arro3.io.write_parquet(table, file)
    expected = native(server, [REQUIRED_ONLY, REQUIRED_ONLY | {"distance": 30.0, "origin": "JFK"}])
    parquet = "application/vnd.apache.parquet"
    assert ask(server, file.getvalue(), parquet).json() == {"predictions": expected}
    assert ask(server, b"PAR1", parquet).json()["code"] == "malformed_body"


NPY = "application/x-npy"


def to_npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def test_texts_are_read_from_an_array(server: Server) -> None:
    """An array of texts has no numbers, so it is refused by field; a structured one has a type for each column."""
    refusal = ask(server, to_npy(np.array(values([tiny.ROW]), dtype=str)), NPY).json()
    assert {problem["field"] for problem in refusal["errors"]} == {"distance", "temp", "seats", "holiday"}
    types = {float: "f4", int: ">i2", bool: "?", str: "U40"}
    dtype = [("index", "i8"), *((name, types[type(value)]) for name, value in tiny.ROW.items())]
    for rows in (1, 40):
        array = np.array([(7, *tiny.ROW.values())] * rows, dtype)
        expected = native(server, [tiny.ROW | {"temp": float(np.float32(tiny.ROW["temp"]))}] * rows)
        assert ask(server, to_npy(array), NPY).json() == {"predictions": expected}


def test_arrays_are_answered_with_arrays(server: Server, number: Served) -> None:
    answer = ask_json(server, {"instances": ROWS}, Accept=NPY)
    assert answer.headers["content-type"] == NPY
    array = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert array.dtype == np.float32
    assert array.tolist() == [list(each["probabilities"].values()) for each in native(server)]
    array = np.load(io.BytesIO(ask_json(number.server, {"instances": ROWS}, Accept=NPY).content), allow_pickle=False)
    assert array.tolist() == [list(each.values()) for each in native(number.server)]


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "body",
    [
        to_npy(np.array([[object()]], dtype=object), allow_pickle=True),
        to_npy(np.zeros((2, 8))),
        to_npy(np.zeros(8)),
        to_npy(np.zeros((1, 9, 1))),
        to_npy(np.zeros((0, 9))),
        to_npy(np.float64(1)),
        to_npy(np.zeros((1, 9), complex)),
        to_npy(np.zeros((1, 9), "S3")),
        to_npy(np.zeros((1, 9), "M8[s]")),
        to_npy(np.zeros((2, 9)))[:-1],
        to_npy(np.zeros((2, 9))) + b"x",
        to_npy(np.full((1, 9), 0x110000, "<u4").view("<U1")),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -9)}") + bytes(72),
        header("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000, 9)}"),
        header("{'descr': [('a', '<f8', (1000,))], 'fortran_order': False, 'shape': (1,)}") + bytes(8_000),
        header("__import__('os').abort()"),
        header("(" * 3_000),
        b"\x93NUMPY",
        b"PK\x03\x04",
    ],
)
def test_what_is_no_array_of_values_is_refused(server: Server, body: bytes) -> None:
    answer = ask(server, body, NPY)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


def test_rows_of_arrays_are_limited(server: Server) -> None:
    assert ask(server, to_npy(np.zeros((101, 9))), NPY).json()["code"] == "too_many_rows"


def test_regression_is_exact_and_default_type_configurable(number: Served) -> None:
    """A regression is answered to the last bit, in the type that the operator made the default."""
    regression = number.server
    expected = native(regression)
    answer = ask_json(regression, {"instances": ROWS})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    numbers = [list(map(float, line)) for line in csv.reader(io.StringIO(answer.text))]
    assert numbers == [[each["value"], each["lower"], each["upper"]] for each in expected]
    assert all(number == np.float32(number) for line in numbers for number in line)
    assert ask_json(regression, {"instances": ROWS}, Accept="application/json").json() == {"predictions": expected}


def test_no_body_is_no_content(server: Server) -> None:
    answer = ask(server, b"", "text/csv")
    assert (answer.status_code, answer.content, "content-length" in answer.headers) == (204, b"", False)


def test_headers_of_sagemaker_come_back(server: Server) -> None:
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1", "X-Amzn-SageMaker-Inference-Id": "id-7"}
    answer = ask_json(server, {"instances": ROWS}, **headers)
    assert {name: answer.headers[name] for name in headers} == headers


MALFORMED = [
    b"{", b"[]", b"{}", b'"x"', b"\xff", b"[" * 20_000, b'{"instances": 1}', b'{"instances": []}', b'{"rows": []}',
    b'{"instances": [], "inputs": []}', b'{"instances": [], "other": 1}', b'{"instances": [[1, 2]]}',
    b'{"dataframe_split": []}', b'{"dataframe_split": {"data": [1]}}', b'{"inputs": {}}', b'{"columns": {"a": 1}}',
    b'{"dataframe_split": {"columns": [1], "data": [[1]]}}', b'{"inputs": {"a": [1], "b": []}}', b'{"inputs": "x"}',
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: body[:40].decode("latin-1"))
def test_unreadable_body_is_refused_as_mlflow_does(server: Server, body: bytes) -> None:
    """What cannot be read is refused in the envelope of MLflow."""
    answer = ask(server, body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert answer.json()["code"] == "malformed_body"


@pytest.mark.parametrize("body", [b"1,2\n", b"a" * 99_000, b'"', b"\xff\xfe", b"distance,distance\n1,2\n", b"\n\n"])
def test_csv_that_cannot_be_read_is_refused(server: Server, body: bytes) -> None:
    assert ask(server, body, "text/csv").json()["code"] == "malformed_body"


def test_a_type_that_is_not_read_is_refused(server: Server) -> None:
    schema = CLIENT.get(f"{server.url}/docs.json").json()["components"]["schemas"]["InvocationsError"]
    for content_type in ("text/html", "text/csv; charset=latin-1"):
        answer = ask(server, b"x", content_type)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        jsonschema.validate(answer.json(), schema)


def test_all_that_is_wrong_is_listed(server: Server) -> None:
    answer = ask_json(server, {"instances": [1, tiny.ROW | {"seats": 0.5}]})
    assert (answer.status_code, answer.json()["error_count"]) == (422, 2)


def test_health_version_and_limits_are_told(server: Server) -> None:
    for path in ("/ping", "/health"):
        assert CLIENT.get(server.url + path).json() == {"status": "Healthy"}
    assert CLIENT.get(f"{server.url}/version").text == "1.0.0"
    limits = CLIENT.get(f"{server.url}/execution-parameters").json()
    assert (limits["BatchStrategy"], limits["MaxPayloadInMB"]) == ("SINGLE_RECORD", 1)


def test_the_openapi_document_describes_it(server: Server) -> None:
    document = CLIENT.get(f"{server.url}/docs.json").json()
    validate(document)
    schema = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for body in ({"instances": ROWS}, {"dataframe_split": split(ROWS)}, {"inputs": columns(ROWS)}):
        jsonschema.validate(body, schema | document)
    answer = ask_json(server, {"instances": ROWS}).json()
    jsonschema.validate(answer, {"$ref": "#/components/schemas/InvocationsAnswer"} | document)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(tiny.ROW),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["columns", "data", "x"]), inner),
    max_leaves=8,
)
ARRAY = to_npy(np.zeros((2, 9)))
KEYS = st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "rows", "columns"])
BODIES = (
    st.dictionaries(KEYS, JSONS, min_size=1, max_size=1).map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=200)
    | st.tuples(st.integers(6, 128), st.binary(max_size=4)).map(
        lambda damage: ARRAY[: damage[0]] + damage[1] + ARRAY[damage[0] + len(damage[1]) :]
    )
    | st.lists(st.text(max_size=8), min_size=9, max_size=9).map(
        lambda row: to_csv([tiny.ROW], has_header=True) + _line(row)
    )
)


def _line(row: list[str]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerow(row)
    return file.getvalue().encode("utf-8", "surrogatepass")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, content_type=st.sampled_from(["application/json", "text/csv", "application/jsonlines", NPY]))
def test_no_body_makes_it_fail(server: Server, body: bytes, content_type: str) -> None:
    answer = ask(server, body, content_type)
    assert answer.status_code in (200, 204, 400, 413, 422)
    assert answer.status_code in (200, 204) or answer.json()["error_code"] == "BAD_REQUEST"
