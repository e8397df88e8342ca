"""What translators of protocols with JSON bodies share: reading, the words of a refusal, and descriptions of both.

The type that a body is announced as is not looked at: the servers that these protocols come from do not either, and
their callers send none, or that of a form.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from model_deployer.contract import errors
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import InvalidRows, MalformedBody, RequestError
from model_deployer.serving.http import problem_details
from model_deployer.serving.protocols import openapi
from model_deployer.serving.rows import validation

#: Bytes of a body that is read in about the time that the way to a thread and back takes.
_SHORT = 16_384

#: Problems that a refusal in one text names; the others are counted.
_NAMED = 5

_read = msgspec.json.Decoder().decode

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}


async def parsed(body: bytes) -> Any:
    """The JSON that a body holds; NaN in it is read, so that its field can be named.

    Raises:
        MalformedBody: It is no JSON.
    """
    return _parsed(body) if len(body) <= _SHORT else await asyncio.to_thread(_parsed, body)


async def document(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds.

    Raises:
        MalformedBody: It is no JSON object.
    """
    found = await parsed(body)
    if not isinstance(found, dict):
        raise MalformedBody("expected a JSON object")
    return found


def _parsed(body: bytes) -> Any:
    if not body:
        raise MalformedBody("the body is empty; send JSON")
    try:
        return _read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return validation.parse(body)


def rows(given: Any, key: str, names: Sequence[str]) -> list[Any]:
    """The rows under ``key``: objects by field, or lists of values in the order of ``names``.

    Raises:
        MalformedBody: They are no list.
    """
    if not isinstance(given, list):
        raise MalformedBody(f"expected `{key}` to be a list of rows")
    # A list of another length names no fields, and is refused as the row that it is not.
    return [
        dict(zip(names, row, strict=True)) if isinstance(row, list) and len(row) == len(names) else row for row in given
    ]


def words(error: RequestError) -> str:
    """What was wrong in one text, for envelopes that have no place for a list."""
    if not isinstance(error, InvalidRows):
        return str(error)
    said = [
        f"row {each.row}{f', {each.field}' if each.field else ''}: {each.message}" for each in error.problems[:_NAMED]
    ]
    more = error.total - len(said)
    return "; ".join(said) + (f"; and {more:,} more" if more else "")


def rows_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what :func:`rows` reads."""
    values = list(contract.row_schema()["properties"].values())
    listed = {"type": "array", "prefixItems": values, "minItems": len(values), "maxItems": len(values)}
    row = {"anyOf": [{"$ref": "#/components/schemas/Row"}, listed | {"description": "The values, in order."}]}
    return {"type": "array", "minItems": 1, "maxItems": contract.limits.rows, "items": row}


def record(properties: Schema) -> dict[str, Any]:
    """The JSON Schema of an object that has to have these properties, and may have others."""
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def array(items: Schema) -> dict[str, Any]:
    """The JSON Schema of a list."""
    return {"type": "array", "items": items}


def operation(name: str, summary: str, answer: Schema, tag: str, refusal: str, **said: Any) -> dict[str, Any]:
    """An OpenAPI operation that answers JSON.

    Args:
        name: Its operationId.
        summary: What it is for.
        answer: The schema of its answer.
        tag: Which protocol it belongs to.
        refusal: The name of the schema of a refusal.
        **said: ``parameters`` and ``requestBody``.
    """
    refusals = (
        openapi.PREDICT_ERRORS if "requestBody" in said else (*openapi.CONNECTION_ERRORS, errors.MethodNotAllowed)
    )
    if said.get("parameters"):
        refusals = (*refusals, errors.NotFound)
    responses = {"200": {"description": summary, "content": _json(answer)}} | _refusals(refusals, refusal)
    return {"operationId": name, "summary": summary, "tags": [tag], "responses": responses} | said


def request(schema: Schema) -> dict[str, Any]:
    """The OpenAPI description of a body."""
    return {"required": True, "content": _json(schema)}


def _refusals(refusals: Sequence[type[RequestError]], schema: str) -> dict[str, Any]:
    titles: dict[str, list[str]] = {}
    for error in refusals:
        titles.setdefault(str(error.status), []).append(error.title)
    content = _json({"$ref": f"#/components/schemas/{schema}"})
    found: dict[str, Any] = {
        status: {"description": "; ".join(each), "content": content} for status, each in sorted(titles.items())
    }
    if "404" in found:  # a name with a slash or a colon in it makes a path that is none of the protocol's
        found["404"]["content"] = content | {
            problem_details.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
    return found


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
