"""The setting ``unknown_fields: ignore``, in every form of every protocol."""

from typing import Any

import pytest

from tests.serving.protocols import speakers
from tests.serving.protocols.bits import bits
from tests.serving.protocols.dialects import DIALECTS, assert_refused
from tests.serving.protocols.served import Served, served
from tests.serving.protocols.speakers import SPEAKERS, Speaker
from tests.support import tiny
from tests.support.servers import SharedServers

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "distance": 12.25, "seats": 3}]
UNKNOWN = {"number": "7", "distanze": "x"}


@pytest.fixture(scope="module")
def tolerant(servers: SharedServers) -> Any:
    with served(servers, tiny.CONTRACT, DEPLOYER_UNKNOWN_FIELDS="ignore") as running:
        yield running


@pytest.mark.parametrize("speaker", SPEAKERS.values(), ids=SPEAKERS.keys())
def test_unknown_fields_are_left_out(
    tolerant: Served, labels: Served, monkeypatch: pytest.MonkeyPatch, speaker: Speaker, request: pytest.FixtureRequest
) -> None:
    expected = speaker(labels, ROWS)
    is_by_name = not any(form in request.node.name for form in ("SageMaker JSON", "SageMaker CSV", "KServe"))
    if is_by_name:  # the others send values in the order of the fields
        monkeypatch.setattr(speakers, "NAMES", [*tiny.CONTRACT.names, *UNKNOWN])
    assert bits(speaker(tolerant, [row | UNKNOWN for row in ROWS])) == bits(expected)


def test_the_document_allows_them(tolerant: Served, labels: Served) -> None:
    for served_model, is_allowed in ((tolerant, True), (labels, False)):
        schemas = served_model.client.get("/docs.json").json()["components"]["schemas"]
        assert schemas["Row"]["additionalProperties"] is is_allowed
        assert schemas["FieldColumns"]["additionalProperties"] is is_allowed


def test_other_problems_are_still_listed(tolerant: Served) -> None:
    for row in (UNKNOWN | tiny.ROW | {"seats": 0.5}, UNKNOWN | {n: v for n, v in tiny.ROW.items() if n != "seats"}):
        (problem,) = tolerant.client.post("/predict", json={"rows": [row]}).json()["errors"]
        assert problem["field"] == "seats"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_rows_of_unknown_fields_only_are_refused(servers: SharedServers, dialect: Any) -> None:
    """Such a row is probably not one: without this, a model without required fields would answer it."""
    optional = tuple(
        feature.model_copy(update={"required": False, "missing": "impute"}) for feature in tiny.CONTRACT.features
    )
    contract = tiny.CONTRACT.model_copy(update={"features": optional})
    with served(servers, contract, DEPLOYER_UNKNOWN_FIELDS="ignore") as running:
        unknown = [dict(UNKNOWN)]
        answer = running.client.post(dialect.real_path, json=dialect.body(unknown), headers={"X-Request-ID": "mine"})
        if answer.request.url.path.startswith("/v2"):
            return  # the inputs of that body have no unknown names
        assert_refused(answer, dialect, 422)
        for body in ({"rows": [{"seats": "x"}]}, {"columns": {"seats": ["x"]}}, UNKNOWN, {"rows": [UNKNOWN]}):
            assert running.client.post("/predict", json=body).status_code == 422
        assert running.client.post("/predict", json={"instances": [tiny.ROW]}).status_code == 422
        for row in ({}, {"seats": None}, {"seats": None, **UNKNOWN}):
            assert running.client.post("/predict", json=row).status_code == 200
