"""Errors as ``application/problem+json`` (RFC 9457)."""

from typing import Any

import msgspec

from model_deployer.contract.errors import InvalidRows, MethodNotAllowed, RequestError

MEDIA_TYPE = "application/problem+json"


def encode_problem(error: RequestError, request_id: str) -> bytes:
    """Return the body of the response to a refused or failed request.

    ``code`` is the stable name of the error; ``errors`` lists the problems by row and field.
    """
    document: dict[str, Any] = {
        "type": f"urn:problem-type:model-deployer:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "code": error.code,
        "retry": error.retry,
        "request_id": request_id,
    }
    if isinstance(error, InvalidRows):
        document["errors"] = error.problems
        document["error_count"] = error.total
    return msgspec.json.encode(document)


def headers(error: RequestError) -> list[tuple[bytes, bytes]]:
    """Return the headers that HTTP requires for the status of an error (RFC 9110)."""
    match error.status:
        case 401:
            return [(b"www-authenticate", b"Bearer")]
        case 405 if isinstance(error, MethodNotAllowed):
            return [(b"allow", error.allow.encode())]
        case 408:
            return [(b"connection", b"close")]
        case 503:
            return [(b"retry-after", b"1")]
    return []


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the body."""
    text, number = {"type": "string"}, {"type": "integer"}
    entry = {
        "type": "object",
        "required": ["row", "field", "code", "message"],
        "properties": {
            "row": number | {"minimum": 0, "description": "The row, counted from 0."},
            "field": {"type": ["string", "null"], "description": "The field; null if the row as a whole is wrong."},
            "code": text | {"description": "The stable name of the problem."},
            "message": text | {"description": "What was expected, and what to do."},
        },
    }
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "retry", "request_id"],
        "properties": {
            "type": text,
            "title": text,
            "status": number,
            "detail": text,
            "code": text | {"description": "The stable name of the error."},
            "retry": {"type": "boolean", "description": "Whether the same request may succeed later."},
            "request_id": text | {"description": "Quote it when you report this response."},
            "errors": {"type": "array", "items": entry},
            "error_count": number | {"description": "The number of problems; at most the first 1,000 are listed."},
        },
    }
