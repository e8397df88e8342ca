"""Fields with ``normalize``: each spelling of a category is that category, in every form of every protocol."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_deployer.contract.category_spelling import NormalizationStep
from model_deployer.contract.contract import Contract
from tests.serving.protocols.bits import bits
from tests.serving.protocols.served import Served, served
from tests.serving.protocols.speakers import SPEAKERS, Speaker
from tests.support import tiny
from tests.support.servers import SharedServers
from tests.support.spellings import variant_of

STEPS: tuple[NormalizationStep, ...] = ("trim", "case", "unicode")
CITY = "Zürich 🚆 日本"
CATEGORIES = {"origin": ("EWR", "JFK", "LGA", CITY), "carrier": ("AA", "UA", CITY)}
CONTRACT = Contract(
    features=tuple(
        feature.model_copy(update={"categories": CATEGORIES[feature.name], "normalize": STEPS})
        if feature.name in CATEGORIES
        else feature
        for feature in tiny.FEATURES
    ),
    output=tiny.CONTRACT.output,
    limits=tiny.CONTRACT.limits,
)

ROW = st.fixed_dictionaries({name: st.sampled_from(names) for name, names in CATEGORIES.items()})
VARIANTS = ROW.flatmap(
    lambda row: st.tuples(
        st.just(row), st.fixed_dictionaries({name: variant_of(text, STEPS) for name, text in row.items()})
    )
)
ROWS = st.lists(VARIANTS, min_size=1, max_size=20)


@pytest.fixture(scope="module")
def model(servers: SharedServers) -> Iterator[Served]:
    with served(servers, CONTRACT) as running:
        yield running


@pytest.mark.parametrize("speak", SPEAKERS.values(), ids=SPEAKERS.keys())
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(rows=ROWS)
def test_every_spelling_has_the_same_prediction(
    model: Served, speak: Speaker, rows: list[tuple[dict[str, str], dict[str, str]]]
) -> None:
    categories = [tiny.ROW | row for row, _ in rows]
    variants = [tiny.ROW | variant for _, variant in rows]
    assert bits(speak(model, variants)) == bits(speak(model, categories))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"origin": "XXX"}, "unknown_category"),
        ({"origin": "  "}, "unknown_category"),
        ({"origin": 5}, "wrong_type"),
        ({"origin": None}, "not_nullable"),
        ({"carrier": ""}, "wrong_length"),
        ({"carrier": " \t"}, "wrong_length"),
        ({"carrier": "x" * 1001}, "wrong_length"),
        ({"carrier": 5}, "wrong_type"),
    ],
)
def test_other_texts_are_refused_as_before(model: Served, change: dict[str, Any], code: str) -> None:
    for body in ({"rows": [tiny.ROW | change]}, {"columns": {key: [x] for key, x in (tiny.ROW | change).items()}}):
        (problem,) = model.client.post("/predict", json=body).json()["errors"]
        assert (problem["field"], problem["code"]) == (next(iter(change)), code)


def test_half_of_a_surrogate_pair_is_refused(model: Served) -> None:
    body = b'{"distance": 1, "seats": 1, "origin": "JFK", "carrier": "\\ud800", "departure": "2013-11-01T17:05:00"}'
    (problem,) = model.client.post("/predict", content=body).json()["errors"]
    assert (problem["field"], problem["code"]) == ("carrier", "invalid_text")


def test_unknown_categories_stay_unknown(model: Served) -> None:
    answers = [
        model.client.post("/predict", json=tiny.ROW | {"carrier": text}).json()["predictions"]
        for text in ("another", "ANOTHER", "x" * 1000)
    ]
    assert answers[0] == answers[1] == answers[2]


def test_the_service_describes_it(model: Served) -> None:
    features = {each["name"]: each for each in model.client.get("/model").json()["contract"]["features"]}
    assert features["origin"]["normalize"] == features["carrier"]["normalize"] == list(STEPS)
    schemas = model.client.get("/docs.json").json()["components"]["schemas"]
    sentence = (
        "A value that differs from a known value only by spaces at its ends, upper and lower case or Unicode form "
        "(NFKC) counts as that value."
    )
    assert sentence in schemas["FieldOrigin"]["description"]
    assert sentence in schemas["FieldCarrier"]["description"]
