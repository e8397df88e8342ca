"""What translators of protocols with JSON bodies share: reading bodies, error texts, and OpenAPI descriptions.

The Content-Type of a body is ignored: the original servers of these protocols ignore it too, and their clients send
none, or that of a form.
"""

from collections.abc import Sequence
from typing import Any

from model_deployer.contract import errors
from model_deployer.contract.errors import InvalidRows, MalformedBody, RequestError
from model_deployer.serving.http import problem_details
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.schemas import Schema, reference
from model_deployer.serving.rows import validation

#: The maximum number of problems that an error text names; it counts the others.
_MAX_NAMED_PROBLEMS = 5


def parse(body: bytes) -> Any:
    """Parse a JSON body. NaN is accepted here, so that validation can name its field.

    Raises:
        MalformedBody: if the body is not JSON.
    """
    if not body:
        raise MalformedBody("the body is empty; send JSON")
    return validation.parse(body)


def document(body: bytes) -> dict[str, Any]:
    """Parse a body that is a JSON object.

    Raises:
        MalformedBody: if the body is not a JSON object.
    """
    value = parse(body)
    if not isinstance(value, dict):
        raise MalformedBody("expected a JSON object")
    return value


def error_text(error: RequestError) -> str:
    """Return an error and its first problems as one text, for protocols whose errors have no list of problems."""
    if not isinstance(error, InvalidRows):
        return str(error)
    texts = [
        f"row {problem.row}{f', {problem.field}' if problem.field else ''}: {problem.message}"
        for problem in error.problems[:_MAX_NAMED_PROBLEMS]
    ]
    others = error.total - len(texts)
    return "; ".join(texts) + (f"; and {others:,} more" if others else "")


def record(properties: Schema) -> dict[str, Any]:
    """Return the JSON Schema of an object that must have these properties, and may have others."""
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def array(items: Schema) -> dict[str, Any]:
    """Return the JSON Schema of a list."""
    return {"type": "array", "items": items}


def operation(name: str, summary: str, answer: Schema, tag: str, refusal: str, **options: Any) -> dict[str, Any]:
    """Return an OpenAPI operation that answers with JSON.

    Args:
        name: Its operationId.
        summary: Its summary, which also describes the response.
        answer: The schema of its response.
        tag: The name of its protocol.
        refusal: The name of the schema of an error.
        **options: Other keys of the operation: ``parameters`` and ``requestBody``.
    """
    refusals = (
        openapi.PREDICT_ERRORS if "requestBody" in options else (*openapi.CONNECTION_ERRORS, errors.MethodNotAllowed)
    )
    if options.get("parameters"):
        refusals = (*refusals, errors.NotFound)
    responses = {"200": {"description": summary, "content": _json(answer)}} | _error_responses(refusals, refusal)
    return {"operationId": name, "summary": summary, "tags": [tag], "responses": responses} | options


def request(schema: Schema) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body."""
    return {"required": True, "content": _json(schema)}


def _error_responses(refusals: Sequence[type[RequestError]], schema: str) -> dict[str, Any]:
    titles_by_status: dict[str, list[str]] = {}
    for error in refusals:
        titles_by_status.setdefault(str(error.status), []).append(error.title)
    content = _json(reference(schema))
    responses: dict[str, Any] = {
        status: {"description": "; ".join(titles), "content": content}
        for status, titles in sorted(titles_by_status.items())
    }
    if "404" in responses:  # a name with a slash or a colon makes a path that does not belong to the protocol
        responses["404"]["content"] = content | {problem_details.MEDIA_TYPE: {"schema": reference("Problem")}}
    return responses


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
