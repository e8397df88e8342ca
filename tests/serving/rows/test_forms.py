"""Text in the form of the table, sent to a server: it means the same as the value of JSON."""

from typing import Any

import httpx
import polars as pl
import pytest

from model_deployer.serving.rows.formats import STREAM
from tests.support import tiny
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers

FORMS = {"distance": "$1,234.5", "seats": "1.234,5 kg", "holiday": "ja/nein", "departure": "%m/%d/%Y %H:%M"}
CONTRACT = tiny.CONTRACT.model_copy(
    update={
        "features": tuple(
            feature.model_copy(update={"format": FORMS[feature.name]}) if feature.name in FORMS else feature
            for feature in tiny.FEATURES
        )
    }
)
USUAL: dict[str, Any] = tiny.ROW | {
    "distance": 1234.5,
    "seats": 149,
    "holiday": True,
    "departure": "2013-11-01T17:05:00",
}
TEXTS: dict[str, Any] = {"distance": "$1,234.50", "seats": "149 kg", "holiday": "Ja", "departure": "11/1/2013 17:05"}


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile(CONTRACT))


def predictions(server: Server, path: str, body: Any) -> list[Any]:
    answer = httpx.post(f"{server.url}{path}", json=body).raise_for_status().json()
    rows: list[Any] = answer["predictions"]
    return rows


@pytest.mark.parametrize("changes", [TEXTS, *({name: text} for name, text in TEXTS.items())])
def test_text_means_the_same(server: Server, changes: dict[str, Any]) -> None:
    expected = predictions(server, "/predict", {"rows": [USUAL]})
    assert predictions(server, "/predict", {"rows": [USUAL | changes]}) == expected
    assert predictions(server, "/invocations", {"dataframe_records": [USUAL | changes]}) == expected
    assert predictions(server, "/v1/models/served:predict", {"instances": [USUAL | changes]})
    columns = {name: [value] for name, value in (USUAL | changes).items()}
    as_columns = httpx.post(f"{server.url}/predict", json={"columns": columns}).raise_for_status().json()["columns"]
    assert as_columns["decision"] == [expected[0]["decision"]]


def test_text_in_a_table_means_the_same(server: Server) -> None:
    decisions = []
    for row in (USUAL, USUAL | TEXTS):
        stream = pl.DataFrame([row]).write_ipc_stream(None).getvalue()
        answer = httpx.post(f"{server.url}/predict", content=stream, headers={"content-type": STREAM})
        decisions.append(answer.raise_for_status().json())
    assert decisions[0] == decisions[1]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"distance": "1.234,5"}, "wrong_type"),
        ({"distance": "$9,999"}, "out_of_range"),
        ({"distance": "€5"}, "wrong_type"),
        ({"seats": "1,5 kg"}, "not_an_integer"),
        ({"holiday": "yes"}, "wrong_type"),
        ({"departure": "13/13/2013 17:05"}, "invalid_datetime"),
        ({"temp": "51.1"}, "wrong_type"),
    ],
)
def test_other_text_is_refused(server: Server, changes: dict[str, Any], code: str) -> None:
    answer = httpx.post(f"{server.url}/predict", json={"rows": [USUAL | changes]})
    assert (answer.status_code, [problem["code"] for problem in answer.json()["errors"]]) == (422, [code])
    assert next(iter(changes.values())) not in answer.text


def test_the_description_of_a_field_has_its_form(server: Server) -> None:
    document = httpx.get(f"{server.url}/docs.json").text
    assert all(f"Text in the form {form} of the table is accepted, too." in document for form in FORMS.values())
    features = {feature["name"]: feature for feature in httpx.get(f"{server.url}/model").json()["contract"]["features"]}
    assert {name: feature["format"] for name, feature in features.items() if "format" in feature} == FORMS
