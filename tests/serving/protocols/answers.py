"""Helpers of the tests of protocols: the native predictions, unusual bodies, and the documented schemas."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import jsonschema
from hypothesis import strategies as st

from tests.support import tiny


def native(client: httpx.Client, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the predictions of the service's own route."""
    predictions: list[dict[str, Any]] = client.post("/predict", json={"rows": rows}).json()["predictions"]
    return predictions


def ask(client: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    """Send a request: bytes unchanged, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.request(method, path, content=content)


def bodies(*keys: str) -> st.SearchStrategy[bytes]:
    """Bytes, JSON, and JSON that resembles a request with these keys."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))
    rows = st.dictionaries(st.sampled_from(tiny.CONTRACT.names), values) | st.just(tiny.ROW) | values
    requests = st.dictionaries(st.sampled_from(keys), rows | st.lists(rows, max_size=3), max_size=2)
    return st.binary(max_size=50) | (values | requests).map(lambda document: json.dumps(document).encode())


def assert_described(client: httpx.Client, path: str, answer: httpx.Response, method: str = "post") -> None:
    """Validate a response against the schema that the OpenAPI document has for its status and media type."""
    document = client.get("/docs.json").json()
    content = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]
    schema = content[answer.headers["content-type"]]["schema"]
    jsonschema.validate(answer.json(), schema | {"components": document["components"]})
