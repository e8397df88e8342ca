"""The OpenAPI document has the forms that generators of clients can read; tests/acceptance runs the generators."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Numeric
from model_deployer.serving.protocols import schemas
from tests.serving.protocols.served import Served
from tests.support import tiny


@pytest.fixture(scope="module")
def document(any_output: Served) -> dict[str, Any]:
    document: dict[str, Any] = any_output.client.get("/docs.json").json()
    return document


def walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return every value of a document with its path, except those inside examples."""
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if key not in ("example", "examples"):
            yield from walk(child, (*path, str(key)))


def test_it_has_no_form_that_generators_cannot_read(document: dict[str, Any]) -> None:
    validate(document)
    for path, value in walk(document):
        if not isinstance(value, dict):
            continue
        constants = [value.get("const"), *(value["enum"] if isinstance(value.get("enum"), list) else [])]
        assert not any(isinstance(constant, list | dict) for constant in constants), path
        assert "prefixItems" not in value or "items" in value, path
        assert path[-1:] != ("schema",) or value, path
        assert value or path[-2:-1] not in (("anyOf",), ("items",)), path
        if "$ref" in value:
            name = value["$ref"].removeprefix("#/components/schemas/")
            assert name in document["components"]["schemas"], path


def test_operations_have_different_names(document: dict[str, Any]) -> None:
    names = Counter(
        value["operationId"] for _, value in walk(document) if isinstance(value, dict) and "operationId" in value
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_fields_and_predictions_are_described_once(document: dict[str, Any], any_output: Served) -> None:
    copies = Counter(json.dumps(value, sort_keys=True) for _, value in walk(document) if isinstance(value, dict))
    contract = any_output.contract
    for schema in (*(feature.json_schema() for feature in contract.features), contract.output.json_schema()):
        example_free = {key: value for key, value in schema.items() if key != "examples"}
        assert copies[json.dumps(schema, sort_keys=True)] == 1, example_free


def test_the_forms_of_rows_are_described(document: dict[str, Any]) -> None:
    values = list(tiny.ROW.values())
    for name, valid in (("RowList", [tiny.ROW, values]), ("FieldColumns", {name: [v] for name, v in tiny.ROW.items()})):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(valid, schema)
        for invalid in ([{"seats": 1}], [values[:-1]], [[*values[:-1], 7]], {"seats": [0.5]}):
            assert not jsonschema.Draft202012Validator(schema).is_valid(invalid)


def test_names_of_components_are_different_and_plain() -> None:
    fields = ("a b", "a-b", "A B", "ab", "é", "ö", "columns", "1")
    contract = Contract(features=tuple(Numeric(name=name) for name in fields), output=tiny.CONTRACT.output)
    names = list(schemas.field_names(contract).values())
    assert len({name.lower() for name in names}) == len(fields)
    assert all(name.isalnum() and name.isascii() for name in names)
