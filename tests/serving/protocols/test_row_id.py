"""The setting ``row_id``: a caller's id of a row, which comes back with the prediction of the row."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import UsageError
from model_deployer.serving.rows.formats import FILE, PARQUET, STREAM
from model_deployer.serving.rows.row_id import MAX_ID, MIN_ID, RowId
from tests.serving.protocols.bits import bits
from tests.serving.protocols.dialects import DIALECTS, SECRET, Dialect, ask, assert_refused
from tests.serving.protocols.served import PREDICT, Served, served
from tests.serving.protocols.speakers import NAMES, READERS, SPEAKERS, WRITERS, Speaker, columns, frame, post, to_lists
from tests.support import tiny
from tests.support.processes import run
from tests.support.servers import SharedServers

NAME = "order id"
IDS: Sequence[Any] = ["a-1", 17, MAX_ID, MIN_ID, "", "x" * 200, "Zürich 🚆 日本", None, 0]
ROWS = [tiny.ROW | {"distance": float(number)} for number in range(len(IDS))]
ROWS_WITH_IDS = [row | ({} if value is None else {NAME: value}) for row, value in zip(ROWS, IDS, strict=True)]

Predictions = list[dict[str, Any]]

#: Sends rows and returns their predictions.
Form = Callable[[Served, list[dict[str, Any]]], Predictions]


@pytest.fixture(scope="module")
def model(servers: SharedServers) -> Iterator[Served]:
    with served(servers, tiny.CONTRACT, DEPLOYER_ROW_ID=NAME) as running:
        yield running


def split(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"columns": [*NAMES, NAME], "data": [[*row, value] for row, value in zip(to_lists(rows), IDS, strict=True)]}


def tensor_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [value] for name, value in row.items()}


LINES = "application/jsonlines"


def form(path: str, body: Callable[[Any], Any], key: str | None = "predictions") -> Form:
    """Send rows in a body, and read the predictions of the answer, which may be under a key."""

    def send(model: Served, rows: list[dict[str, Any]]) -> Predictions:
        answer = post(model, path, body(rows)).json()
        predictions: Predictions = answer[key] if key else answer
        return predictions

    return send


def send_lines(model: Served, rows: list[dict[str, Any]]) -> Predictions:
    """Send and read JSON lines."""
    body = "\n".join(map(json.dumps, rows)).encode()
    return [json.loads(line) for line in post(model, "/invocations", body, LINES, accept=LINES).text.splitlines()]


#: The forms of all protocols that answer with the service's own predictions.
FORMS: Mapping[str, Form] = {
    "rows": form("/predict", lambda rows: {"rows": rows}),
    "MLflow records": form("/invocations", lambda rows: {"dataframe_records": rows}),
    "MLflow split": form("/invocations", lambda rows: {"dataframe_split": split(rows)}),
    "instances": form("/invocations", lambda rows: {"instances": rows}),
    "a list": form("/invocations", list),
    "lines": send_lines,
    "Vertex AI": form(PREDICT, lambda rows: {"instances": rows}),
    "Azure ML": form("/score", lambda rows: {"data": rows}, None),
    "Azure ML, split": form("/score", lambda rows: {"input_data": split(rows)}, None),
    "TorchServe": form("/predictions/served", list, None),
    "TorchServe, instances": form("/predictions/served", lambda rows: {"instances": rows}),
    "TorchServe, tensors": form("/predictions/served", lambda rows: [tensor_row(row) for row in rows], None),
}


@pytest.mark.parametrize("send", FORMS.values(), ids=FORMS.keys())
def test_each_prediction_has_the_id_of_its_row(labels: Served, model: Served, send: Form) -> None:
    expected = post(labels, "/predict", {"rows": ROWS}).json()["predictions"]
    predictions = send(model, ROWS_WITH_IDS)
    assert [prediction.pop(NAME, None) for prediction in predictions] == IDS
    assert predictions == expected


@pytest.mark.parametrize("rows", [1, len(IDS), 90])
def test_one_row_and_many_rows(model: Served, rows: int) -> None:
    """One row, rows, and enough rows to become columns in a thread."""
    body = [tiny.ROW | {NAME: f"{number}" + "x" * 190} for number in range(rows)]
    answers = [post(model, "/predict", {"rows": body}).json()["predictions"]]
    if rows == 1:
        answers += [post(model, "/predict", body[0]).json()["predictions"]]
        answers += [[post(model, "/predictions/served", body[0]).json()]]
    for predictions in answers:
        assert [prediction[NAME] for prediction in predictions] == [row[NAME] for row in body]


def test_columns_of_json_have_a_column_of_ids(model: Served) -> None:
    body = columns(ROWS) | {NAME: [1, None, 3, *["a"] * (len(IDS) - 3)]}
    answer = post(model, "/predict", {"columns": body}).json()["columns"]
    assert answer.pop(NAME) == ["1", None, "3", *["a"] * (len(IDS) - 3)]
    assert answer == post(model, "/predict", {"columns": columns(ROWS)}).json()["columns"]
    body[NAME] = [1, 2.0, *range(len(IDS) - 2)]  # a number with a decimal point is read on another path
    assert post(model, "/predict", {"columns": body}).json()["columns"][NAME] == [1, 2, *range(len(IDS) - 2)]
    body[NAME] = [None] * len(IDS)
    assert NAME not in post(model, "/predict", {"columns": body}).json()["columns"]


#: Columns of tables, and their ids.
SERIES = [
    (pl.Series(["a", None, "", "x" * 200, "日本"]), ["a", None, "", "x" * 200, "日本"]),
    (pl.Series(["a", "b", "a", None, "b"], dtype=pl.Categorical), ["a", "b", "a", None, "b"]),
    (pl.Series([MIN_ID, MAX_ID, None, 0, 5], dtype=pl.Int64), [MIN_ID, MAX_ID, None, 0, 5]),
    (pl.Series([1, 2, 3, 4, 255], dtype=pl.UInt8), [1, 2, 3, 4, 255]),
    (pl.Series([MAX_ID, 2, None, 4, 5], dtype=pl.UInt64), [MAX_ID, 2, None, 4, 5]),
    (pl.Series([1.0, float("nan"), None, 2.0**53, -3.0]), [1, None, None, 2**53, -3]),
    (pl.Series([None] * 5, dtype=pl.String), None),
    (pl.Series([None] * 5), None),
]


@pytest.mark.parametrize("media_type", [STREAM, FILE, PARQUET])
def test_tables_have_a_column_of_ids(model: Served, media_type: str) -> None:
    for series, ids in SERIES if media_type == STREAM else SERIES[:3]:
        file = io.BytesIO()
        WRITERS[media_type](frame(ROWS[:5]).with_columns(series.alias(NAME)), file)
        answer = post(model, "/predict", file.getvalue(), media_type, accept=media_type)
        table = READERS[media_type](io.BytesIO(answer.content)).to_dict(as_series=False)
        assert table.pop(NAME, None) == ids
        assert table == post(model, "/predict", {"columns": columns(ROWS[:5])}).json()["columns"] | table
        if media_type == PARQUET:
            rows = post(model, "/invocations", file.getvalue(), PARQUET, accept="application/json").json()
            assert [each.get(NAME) for each in rows["predictions"]] == (ids or [None] * 5)


def test_rows_are_answered_with_a_table_of_ids(model: Served) -> None:
    """A column has one type: texts and numbers together become texts."""
    answer = post(model, "/predict", {"rows": ROWS_WITH_IDS}, accept=STREAM)
    table = READERS[STREAM](io.BytesIO(answer.content))
    assert table[NAME].to_list() == [None if value is None else str(value) for value in IDS]
    numbers = post(model, "/predict", {"rows": [tiny.ROW | {NAME: 5}, tiny.ROW]}, accept=STREAM)
    assert READERS[STREAM](io.BytesIO(numbers.content))[NAME].to_list() == [5, None]


def test_ids_of_csv_are_texts(model: Served) -> None:
    file = io.StringIO()
    lines = [[*row, value] for row, value in zip(to_lists(ROWS), IDS, strict=True)]
    csv.writer(file).writerows([[*NAMES, NAME], *lines])
    answer = post(model, "/invocations", file.getvalue().encode(), "text/csv", accept="application/json")
    expected = [str(value) if value not in (None, "") else None for value in IDS]
    assert [prediction.get(NAME) for prediction in answer.json()["predictions"]] == expected


@pytest.mark.parametrize("speak", SPEAKERS.values(), ids=SPEAKERS.keys())
def test_rows_without_ids_are_answered_as_before(labels: Served, model: Served, speak: Speaker) -> None:
    assert bits(speak(model, ROWS)) == bits(speak(labels, ROWS))


@pytest.mark.parametrize("name", ["TensorFlow Serving, rows", "Open Inference, JSON", "Open Inference, gRPC"])
def test_other_protocols_accept_ids(monkeypatch: pytest.MonkeyPatch, model: Served, name: str) -> None:
    monkeypatch.setattr("tests.serving.protocols.speakers.NAMES", [*NAMES, NAME])
    rows = [row | {NAME: f"id {number}"} for number, row in enumerate(ROWS)]
    assert bits(SPEAKERS[name](model, rows)) == bits(SPEAKERS[name](model, ROWS))


INVALID: Sequence[tuple[Any, str]] = [
    (f"{SECRET}{'x' * 200}", "wrong_length"),
    (True, "wrong_type"),
    (0.5, "wrong_type"),
    ([1, 2], "wrong_type"),
    ({SECRET: 1}, "wrong_type"),
    (MAX_ID + 1, "out_of_range"),
    (MIN_ID - 1, "out_of_range"),
    (1e300, "out_of_range"),
    ("\ud800", "invalid_text"),
]


@pytest.mark.parametrize(("value", "code"), INVALID, ids=lambda part: ascii(part)[:20])
def test_wrong_ids_are_named(model: Served, value: Any, code: str) -> None:
    row = tiny.ROW | {NAME: value}
    for body in ({"rows": [row]}, {"columns": tensor_row(row)}):
        (problem,) = model.client.post("/predict", content=json.dumps(body).encode()).json()["errors"]
        assert (problem["row"], problem["field"], problem["code"]) == (0, NAME, code)
        assert SECRET not in problem["message"]


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (pl.Series([1.5]), "wrong_type"),
        (pl.Series([True]), "wrong_type"),
        (pl.Series(["x" * 201]), "wrong_length"),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), "out_of_range"),
        (pl.Series([float("inf")]), "wrong_type"),
    ],
)
def test_wrong_columns_of_ids_are_named(model: Served, series: pl.Series, code: str) -> None:
    file = io.BytesIO()
    frame(ROWS[:1]).with_columns(series.alias(NAME)).write_ipc_stream(file)
    headers = {"Content-Type": STREAM}
    (problem,) = model.client.post("/predict", content=file.getvalue(), headers=headers).json()["errors"]
    assert (problem["field"], problem["code"]) == (NAME, code)


@pytest.mark.parametrize("name", ["native", "invocations", "torchserve", "vertex", "azure"])
def test_other_problems_are_still_refused(model: Served, name: str) -> None:
    dialect: Dialect = DIALECTS[name]
    for row in (tiny.ROW | {NAME: 1, "seats": SECRET}, tiny.ROW | {NAME: 1, "other": SECRET}, {NAME: 1}):
        assert_refused(ask(model.client, dialect, {"rows": [row]}), dialect, 422)


def test_unknown_fields_may_be_ignored_next_to_ids(servers: SharedServers) -> None:
    optional = tuple(
        feature.model_copy(update={"required": False, "missing": "impute"}) for feature in tiny.CONTRACT.features
    )
    contract = tiny.CONTRACT.model_copy(update={"features": optional})
    with served(servers, contract, DEPLOYER_ROW_ID="index", DEPLOYER_UNKNOWN_FIELDS="ignore") as running:
        for body in ({"rows": [{"seats": 5, "index": 7, "other": 1}]}, {"seats": 5, "index": 7, "other": 1}):
            assert post(running, "/predict", body).json()["predictions"][0]["index"] == 7
        table = {"columns": {"seats": [5], "index": [7], "other": [1]}}
        assert post(running, "/predict", table).json()["columns"]["index"] == [7]
        records = {"dataframe_records": [{"seats": 5, "index": 7, "other": 1}]}
        assert post(running, "/invocations", records).json()["predictions"][0]["index"] == 7
        for row, status in (({"index": 7}, 200), ({"index": 7, "other": 1}, 422)):
            for rows in ({"rows": [row]}, {"columns": tensor_row(row)}):
                assert running.client.post("/predict", json=rows).status_code == status


def test_the_document_describes_it_if_it_is_set(labels: Served, model: Served) -> None:
    for running in (labels, model):
        schemas = running.client.get("/docs.json").json()["components"]["schemas"]
        table = schemas["TableAnswer"]["properties"]["columns"]
        objects = [schemas[name] for name in ("Row", "FrameRow", "TensorRow", "FieldColumns", "Prediction")]
        for schema in (*objects, table):
            assert (NAME in schema["properties"]) is (running is model)
            assert NAME not in schema["required"]
        assert ("RowId" in schemas) is (running is model)


@pytest.mark.parametrize("name", ["origin", "decision", "probabilities.late", "rows", "columns"])
def test_a_name_with_another_meaning_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"serving\.row_id \(DEPLOYER_ROW_ID\): '{name}' is .*; choose another name"):
        RowId.of_setting(name, tiny.CONTRACT)


@pytest.mark.slow
def test_such_a_name_ends_the_start(tmp_path: Path) -> None:
    completed = run(
        "bentoml", "serve", BENTOML_HOME=str(tiny.home(tmp_path / "home", "1.0.0")), DEPLOYER_ROW_ID="origin"
    )
    assert completed.returncode == 1
    assert "serving.row_id (DEPLOYER_ROW_ID): 'origin' is a field of the model; choose another name" in completed.stderr
