"""The requests and the errors of each protocol, and the invalid requests that all protocols refuse."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.serving.protocols.served import PREDICT
from tests.serving.protocols.speakers import tensors
from tests.support import tiny

SECRET = "s3cr3t-of-a-caller"
PROBLEM = {"type", "title", "status", "detail", "code", "retry", "request_id"}


@dataclass(frozen=True)
class Dialect:
    """The form of a protocol's requests and errors.

    Attributes:
        path: The path of predictions, as in the OpenAPI document.
        body: Returns a request with these rows.
        keys: The required keys of its errors, which may also have the keys of the service's own errors.
        media_type: The media type of its errors.
    """

    path: str
    body: Callable[[list[dict[str, Any]]], Any]
    keys: set[str]
    media_type: str = "application/json"

    @property
    def real_path(self) -> str:
        """The path with the names of the served model."""
        return self.path.replace("{model}", "served").replace("{version}", "1.0.0")


DIALECTS: Mapping[str, Dialect] = {
    "native": Dialect("/predict", lambda rows: {"rows": rows}, PROBLEM, "application/problem+json"),
    "open_inference": Dialect(
        "/v2/models/{model}/infer", lambda rows: {"inputs": tensors(rows)}, {"error", "code", "request_id"}
    ),
    "invocations": Dialect(
        "/invocations", lambda rows: {"dataframe_records": rows}, {"error_code", "message", "code", "request_id"}
    ),
    "tensorflow_serving": Dialect("/v1/models/{model}:predict", lambda rows: {"instances": rows}, {"error"}),
    "torchserve": Dialect("/predictions/{model}/{version}", lambda rows: rows, {"code", "type", "message"}),
    "vertex": Dialect(PREDICT, lambda rows: {"instances": rows}, {"error"}),
    "azure": Dialect("/score", lambda rows: {"data": rows}, {"message"}),
}

#: Invalid requests: the status of the error, and the parts that differ from a valid request.
INVALID: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "no JSON": (400, {"content": f'{{"{SECRET}'.encode()}),
    "not UTF-8": (400, {"content": b"\xff"}),
    "nested too deeply": (400, {"content": b"[" * 50_000}),
    "no rows": (400, {"rows": []}),
    "a header that cannot be read": (400, {"headers": {"X-Request-Timeout-Ms": SECRET}}),
    "no key": (401, {"headers": {"X-API-Key": ""}}),
    "a wrong key": (401, {"headers": {"X-API-Key": SECRET}}),
    "another method": (405, {"method": "DELETE"}),
    "too many bytes": (413, {"content": b"x" * 200_000}),
    "too many rows": (413, {"rows": [tiny.ROW] * 101}),
    "an unknown encoding": (415, {"headers": {"Content-Encoding": SECRET}}),
    "a wrong value": (422, {"rows": [tiny.ROW | {"origin": SECRET, "departure": SECRET}]}),
    "a wrong type": (422, {"rows": [tiny.ROW | {"seats": SECRET, "remark": {SECRET: SECRET}}]}),
}


def ask(client: httpx.Client, dialect: Dialect, changes: Mapping[str, Any]) -> httpx.Response:
    """Send a request that is valid except for the changes."""
    content = changes.get("content", json.dumps(dialect.body(changes.get("rows", [tiny.ROW]))))
    headers = {"Content-Type": "application/json", "X-Request-ID": "mine"} | changes.get("headers", {})
    return client.request(changes.get("method", "POST"), dialect.real_path, content=content, headers=headers)


def assert_refused(answer: httpx.Response, dialect: Dialect, status: int) -> None:
    """Check an error: in the format of the protocol, with the request id, without values that were sent."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, dialect.media_type)
    document = answer.json()
    assert dialect.keys <= document.keys() <= dialect.keys | {"errors", "error_count"}
    assert answer.headers["x-request-id"] == document.get("request_id", "mine") == "mine"
    assert SECRET not in answer.text + str(answer.headers)
