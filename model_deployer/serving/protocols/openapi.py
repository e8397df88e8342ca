"""The OpenAPI 3.1 document of one model's service: its own fields, ranges, categories and examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.contract import errors
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import RequestError
from model_deployer.serving.http import problem_details
from model_deployer.serving.protocols.protocol import Protocol
from model_deployer.serving.rows import formats

#: What an orchestrator asks without an API key.
HEALTH_PATHS = frozenset({"/livez", "/readyz", "/healthz"})

#: Paths that no protocol can have.
RESERVED_PATHS = HEALTH_PATHS | {"/predict", "/model", "/metrics", "/docs.json", "/schema.json"}

#: What POST /predict may refuse a request with.
PREDICT_ERRORS: tuple[type[RequestError], ...] = (
    errors.MalformedBody,
    errors.MalformedRequest,
    errors.InvalidHeader,
    errors.MethodNotAllowed,
    errors.RequestTimeout,
    errors.BodyTooLarge,
    errors.TooManyRows,
    errors.UnsupportedMediaType,
    errors.InvalidRows,
    errors.HeadersTooLarge,
    errors.PredictionFailed,
    errors.Overloaded,
    errors.DeadlineExceeded,
)


#: What any request may be refused with before it is known what it asks for.
CONNECTION_ERRORS: tuple[type[RequestError], ...] = (errors.MalformedRequest, errors.HeadersTooLarge)


def answer_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the answer to POST /predict."""
    model = {"type": "object", "required": ["name", "version"], "properties": {"name": _TEXT, "version": _TEXT}}
    return {
        "type": "object",
        "required": ["predictions", "model"],
        "properties": {
            "predictions": {
                "type": "array",
                "description": "One prediction a row, in the order of the rows.",
                "items": contract.output.json_schema(),
            },
            "model": model | {"description": "The model that answered."},
        },
    }


def table_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the answer to columns."""
    schema = answer_schema(contract)
    columns = {name: {"type": "array", "items": each} for name, each in contract.output.columns_schema().items()}
    answer = schema["properties"].pop("predictions")
    table = {"type": "object", "required": list(columns), "additionalProperties": False, "properties": columns}
    return schema | {
        "required": ["columns", "model"],
        "properties": {"columns": table | {"description": answer["description"]}} | schema["properties"],
    }


def document(artifact: Artifact, needs_key: bool = False, protocols: Sequence[Protocol] = ()) -> dict[str, Any]:
    """The whole document, ready to be written as JSON.

    Args:
        artifact: The model.
        needs_key: Whether callers have to send an API key.
        protocols: Those that the service speaks beside its own.
    """
    manifest, contract = artifact.manifest, artifact.contract
    paragraphs = [manifest.description, manifest.business_context]
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": manifest.name,
            "version": manifest.version,
            "description": "\n\n".join(text for text in paragraphs if text),
        }
        | ({"license": {"name": manifest.license}} if manifest.license else {}),
        "servers": [{"url": "/", "description": "Wherever this document was got from."}],
        "security": [],
        "paths": {
            "/predict": {"post": _predict(artifact)},
            "/model": {"get": _get("model", "The model and its contract", "application/json", _MODEL)},
            "/livez": {"get": _get("livez", "Alive: restart the process when this fails", "text/plain", _TEXT)},
            "/readyz": {"get": _ready()},
            "/": {"get": _get("page", "This document as a page to read and to try", "text/html", _TEXT)},
            "/metrics": {"get": _get("metrics", "Counters in Prometheus' text format", "text/plain", _TEXT)},
        },
        "components": {
            "schemas": {
                "Row": contract.row_schema(),
                "Rows": _rows_schema(contract),
                "Columns": _columns_schema(contract),
                "Answer": answer_schema(contract),
                "TableAnswer": table_schema(contract),
                "Problem": problem_details.json_schema(),
            },
        },
    }
    operations = [(path, methods, path in HEALTH_PATHS, _PROBLEM) for path, methods in described["paths"].items()]
    for protocol in protocols:
        schemas = protocol.schemas()
        described["components"]["schemas"] |= schemas
        refusal = _refusal(next(name for name in schemas if name.endswith("Error")))
        for route in protocol.routes:
            # A name with a slash or a colon in it makes a path that is none of the protocol's.
            refused = refusal | (_PROBLEM if "{" in route.path else {})
            operations.append((route.path, route.operations, route.is_open, refused))
    paths = described["paths"] = {}
    for path, methods, is_open, refusal in operations:
        locked = {method: _locked(each, is_open, refusal) if needs_key else each for method, each in methods.items()}
        paths.setdefault(path, {}).update(locked)
    return described | _security(described["components"]) if needs_key else described


def _refusal(schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


#: What the service's own paths refuse with.
_PROBLEM = _refusal("Problem", problem_details.MEDIA_TYPE)


def _locked(operation: Mapping[str, Any], is_open: bool, refusal: Mapping[str, Any]) -> dict[str, Any]:
    """An operation of a service that wants an API key, be it answered without one or not."""
    if is_open:
        return {**operation, "security": []}
    unauthorized = {"401": {"description": errors.Unauthorized.title, "content": refusal}}
    return {**operation, "responses": operation["responses"] | unauthorized}


def _security(components: dict[str, Any]) -> dict[str, Any]:
    """What a document says of API keys as a whole."""
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return {"components": components | {"securitySchemes": schemes}, "security": [{name: []} for name in schemes]}


_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}

#: What GET /model answers; the contract's own words are in the schemas of the rows and the answer.
_MODEL = {
    "type": "object",
    "required": ["name", "version", "created", "origin", "contract", "evaluation"],
    "properties": {
        "name": _TEXT,
        "version": _TEXT | {"description": "Semantic: a new major version may refuse what this one takes."},
        "created": _TEXT | {"format": "date-time"},
        "description": {"type": ["string", "null"]},
        "business_context": {"type": ["string", "null"]},
        "owner": {"type": ["string", "null"]},
        "license": {"type": ["string", "null"]},
        "tolerance": {"type": "number", "description": "How far a prediction may differ from machine to machine."},
        "origin": _OBJECT
        | {"description": "Data version, seed and library versions: what it takes to train it again."},
        "contract": {
            "type": "object",
            "description": "What callers may rely on.",
            "required": ["features", "output", "limits"],
            "properties": {
                "features": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "kind", "required", "nullable"],
                        "properties": {
                            "name": _TEXT,
                            "kind": _TEXT,
                            "required": {"type": "boolean", "description": "Whether the key has to be in every row."},
                            "nullable": {"type": "boolean", "description": "Whether null is accepted."},
                        },
                    },
                },
                "output": _OBJECT,
                "limits": _OBJECT | {"description": "Rows, bytes and seconds of one request."},
            },
        },
        "evaluation": _OBJECT | {"description": "How good it was on rows that it never saw."},
    },
}


def _rows_schema(contract: Contract) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {
                "type": "array",
                "minItems": 1,
                "maxItems": contract.limits.rows,
                "items": {"$ref": "#/components/schemas/Row"},
            }
        },
    }


def _columns_schema(contract: Contract) -> dict[str, Any]:
    row = contract.row_schema()
    columns = {
        name: {"type": "array", "minItems": 1, "maxItems": contract.limits.rows, "items": value}
        for name, value in row["properties"].items()
    }
    table = {"type": "object", "required": row["required"], "additionalProperties": False, "properties": columns}
    return {
        "type": "object",
        "required": ["columns"],
        "additionalProperties": False,
        "properties": {"columns": table | {"description": "Lists of the same length: the first row, the second..."}},
    }


def _predict(artifact: Artifact) -> dict[str, Any]:
    contract = artifact.contract
    examples = {
        "one row": {"summary": "One row", "value": contract.example()},
        "several rows": {"summary": "Several rows", "value": {"rows": [contract.example()] * 2}},
        "columns": {
            "summary": "Columns",
            "value": {"columns": {name: [value] * 2 for name, value in contract.example().items()}},
        },
    }
    body = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Rows", "Row", "Columns")]}
    content = {"application/json": {"schema": body, "examples": examples}} | _TABLES
    return {
        "operationId": "predict",
        "tags": ["Predictions"],
        "summary": "Predict",
        "description": f"At most {contract.limits.rows:,} rows and {contract.limits.body_bytes:,} bytes a request, as "
        "JSON, Arrow or Parquet; gzip and deflate are taken.",
        "parameters": [_REQUEST_ID, _REQUEST_TIMEOUT],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _answer(artifact)} | problems(),
    }


def _answer(artifact: Artifact) -> dict[str, Any]:
    """With the model's real answer to the example row, which stands among the golden predictions."""
    example = artifact.contract.example()
    answers = [
        {
            "predictions": [golden.prediction],
            "model": {"name": artifact.manifest.name, "version": artifact.manifest.version},
        }
        for golden in artifact.golden()
        if {name: value for name, value in golden.row.items() if value is not None} == example
    ]
    either = [{"$ref": "#/components/schemas/Answer"}, {"$ref": "#/components/schemas/TableAnswer"}]
    content = {"schema": {"anyOf": either}} | ({"example": answers[0]} if answers else {})
    description = "One prediction a row, in order; columns are answered with columns, and Accept names another format."
    return {"description": description, "content": {"application/json": content} | _TABLES}


#: Formats that OpenAPI has no schema for; their columns are those of JSON.
_TABLES: dict[str, Any] = {media_type: {"schema": {}} for media_type in (formats.STREAM, formats.FILE, formats.PARQUET)}


_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Your own id, at most 128 printable ASCII characters: it comes back in the answer and "
    "stands in the log if the request fails. In place of any other the service makes one.",
    "schema": {"type": "string"},
}


_REQUEST_TIMEOUT = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "How long you wait, in milliseconds: no work is begun that would come too late. "
    "The model's own limit holds in any case.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def problems(refusals: tuple[type[RequestError], ...] = PREDICT_ERRORS) -> dict[str, Any]:
    """One response a status; errors that share one are told apart by ``code``."""
    found: dict[str, list[str]] = {}
    for error in refusals:
        found.setdefault(str(error.status), []).append(f"{error.title} (`{error.code}`)")
    return {status: {"description": "; ".join(titles), "content": _PROBLEM} for status, titles in found.items()}


def _ready() -> dict[str, Any]:
    operation = _get("readyz", "Ready: files verified, golden predictions reproduced", "text/plain", _TEXT)
    operation["responses"]["503"] = {"description": "Not ready: send no requests"}
    return operation


def _get(name: str, summary: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    response = {"description": summary, "content": {media_type: {"schema": schema}}}
    responses = {"200": response} | problems(CONNECTION_ERRORS)
    return {"operationId": name, "summary": summary, "tags": ["Operation"], "responses": responses}
