"""Warnings about values that the reference rows do not have, for callers that ask for them."""

import io
from typing import Any

import httpx
import pytest

from model_deployer.contract.value_warnings import MAX_LISTED_WARNINGS, WARNING_CODES
from model_deployer.serving.rows.formats import FILE, PARQUET, STREAM
from tests.serving.protocols.speakers import WRITERS, columns, frame
from tests.support import tiny
from tests.support.processes import Server

#: The numbers of training are from 0 to 1,000 and from 30 to 60; the categories are AA and UA.
ROWS = [
    tiny.ROW,
    tiny.ROW | {"distance": 1000.5, "carrier": "ZZ"},
    tiny.ROW | {"distance": 0, "temp": 30, "carrier": None},
    tiny.ROW | {"distance": 1000, "temp": None, "remark": "never seen"},
    tiny.ROW | {"temp": 29.9, "seats": 500},
]
WARNINGS = [
    {"row": 1, "field": "distance", "code": "outside_training_range"},
    {"row": 1, "field": "carrier", "code": "unknown_category"},
    {"row": 4, "field": "temp", "code": "outside_training_range"},
]


def ask(server: Server, body: Any, query: str = "?warnings=true", **headers: str) -> httpx.Response:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx.post(f"{server.url}/predict{query}", headers=headers, **content)


def test_warnings_are_next_to_the_predictions(server: Server) -> None:
    answer = ask(server, {"rows": ROWS}).json()
    assert list(answer) == ["predictions", "warnings", "warning_count", "model"]
    assert (answer.pop("warnings"), answer.pop("warning_count")) == (WARNINGS, len(WARNINGS))
    assert answer == ask(server, {"rows": ROWS}, "").json()
    bare = ask(server, ROWS[1]).json()
    assert bare["warnings"] == [warning | {"row": 0} for warning in WARNINGS[:2]]


def test_other_queries_change_nothing(server: Server) -> None:
    plain = ask(server, {"rows": ROWS}, "")
    for query in ("?", "?warnings=false", "?other=true"):
        assert ask(server, {"rows": ROWS}, query).content == plain.content


@pytest.mark.parametrize("copies", [1, 20])
def test_tables_have_the_same_warnings(server: Server, copies: int) -> None:
    """Rows, columns of JSON, and tables; few rows stay rows, many become columns."""
    rows = ROWS * copies
    expected = ask(server, {"rows": rows}).json()
    assert expected["warning_count"] == copies * len(WARNINGS)
    by_columns = ask(server, {"columns": columns(rows)}).json()
    assert list(by_columns) == ["columns", "warnings", "warning_count", "model"]
    for media_type in (STREAM, FILE, PARQUET):
        file = io.BytesIO()
        WRITERS[media_type](frame(rows), file)
        answer = ask(server, file.getvalue(), **{"content-type": media_type}).json()
        assert answer["columns"] == by_columns["columns"]
        assert answer["warnings"] == by_columns["warnings"] == expected["warnings"]
        assert answer["warning_count"] == by_columns["warning_count"] == expected["warning_count"]


def test_the_list_is_bounded_and_all_are_counted(server: Server) -> None:
    answer = ask(server, {"rows": [ROWS[1]] * 100}).json()
    assert answer["warning_count"] == 200
    assert len(answer["warnings"]) == MAX_LISTED_WARNINGS
    assert answer["warnings"] == [warning | {"row": row} for row in range(50) for warning in WARNINGS[:2]]


@pytest.mark.parametrize("media_type", [STREAM, FILE, PARQUET])
def test_a_table_has_no_place_for_warnings(server: Server, media_type: str) -> None:
    answer = ask(server, {"rows": ROWS}, accept=media_type)
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert "accept application/json" in answer.json()["detail"]
    assert ask(server, {"rows": ROWS}, "?warnings=false", accept=media_type).status_code == 200


@pytest.mark.parametrize("query", ["?warnings=1", "?warnings=", "?warnings=True", "?warnings=true&warnings=true"])
def test_other_values_are_refused(server: Server, query: str) -> None:
    answer = ask(server, {"rows": ROWS}, query)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert answer.json()["detail"].startswith("warnings: expected")


def test_refusals_have_no_warnings(server: Server) -> None:
    answer = ask(server, {"rows": [ROWS[1] | {"seats": 0}]})
    assert answer.status_code == 422
    assert "warnings" not in answer.json()


def test_the_document_describes_them(server: Server) -> None:
    document = httpx.get(f"{server.url}/docs.json").json()
    operation = document["paths"]["/predict"]["post"]
    assert operation["parameters"][0]["name"] == "warnings"
    assert {"400", "406"} <= operation["responses"].keys()
    schemas = document["components"]["schemas"]
    assert schemas["Warning"]["properties"]["code"]["enum"] == list(WARNING_CODES)
    for name in ("Answer", "TableAnswer"):
        assert schemas[name]["properties"]["warnings"]["items"] == {"$ref": "#/components/schemas/Warning"}
        assert "warnings" not in schemas[name]["required"]
