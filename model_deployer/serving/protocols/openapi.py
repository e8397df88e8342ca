"""The OpenAPI 3.1 document of a model's service, with the model's fields, ranges, categories and examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.contract import errors, value_warnings
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import RequestError
from model_deployer.serving.http import problem_details
from model_deployer.serving.protocols import schemas
from model_deployer.serving.protocols.protocol import Protocol
from model_deployer.serving.rows import formats
from model_deployer.serving.rows.row_id import RowId

#: The paths of health checks, which need no API key.
HEALTH_PATHS = frozenset({"/livez", "/readyz", "/healthz"})

#: The paths that protocols must not have.
RESERVED_PATHS = HEALTH_PATHS | {"/predict", "/feedback", "/model", "/metrics", "/docs.json", "/schema.json"}

#: The folder of the files of the web page. Protocols must not have a path in it.
PAGE_FOLDER = "/page/"

#: The service's own paths that need no API key: the health checks, and the web page, which contains no model.
_PUBLIC_PATHS = HEALTH_PATHS | {"/"}

#: The errors of POST /predict, without those of API keys.
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

#: The errors of the query of POST /predict, which other routes do not have.
_QUERY_ERRORS: tuple[type[RequestError], ...] = (errors.InvalidParameter, errors.NotAcceptable)

#: The errors of any request that is refused before its path is known.
CONNECTION_ERRORS: tuple[type[RequestError], ...] = (errors.MalformedRequest, errors.HeadersTooLarge)


def answer_schema(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the response of POST /predict to rows.

    Args:
        prediction: The schema of a prediction, or a reference to it.
    """
    about = "One prediction per row, in the order of the rows."
    predictions = {"type": "array", "description": about, "items": prediction}
    return _record({"predictions": predictions, "model": _SERVED_MODEL})


def _answer_schema() -> dict[str, Any]:
    schema = answer_schema(schemas.PREDICTION)
    schema["properties"]["model"] = schemas.reference("ServedModel")
    schema["properties"] |= _WARNINGS
    return schema


def _table_schema(contract: Contract) -> dict[str, Any]:
    columns = {name: {"type": "array", "items": value} for name, value in contract.output.columns_schema().items()}
    table = _record(columns) | {
        "additionalProperties": False,
        "description": "One value per row in each list, in the order of the rows.",
    }
    schema = _record({"columns": table, "model": schemas.reference("ServedModel")})
    schema["properties"] |= _WARNINGS
    return schema


def _record(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


#: The properties of an answer in JSON with the query ``warnings=true``.
_WARNINGS: dict[str, Any] = {
    "warnings": {
        "type": "array",
        "maxItems": value_warnings.MAX_LISTED_WARNINGS,
        "items": schemas.reference("Warning"),
        "description": "With `warnings=true`: the values that the reference rows do not have, by row.",
    },
    "warning_count": {
        "type": "integer",
        "minimum": 0,
        "description": "With `warnings=true`: the number of such values, including those that are not listed.",
    },
}


def servers(prefix: str) -> list[dict[str, Any]]:
    """Return the servers of the document: the one that sent it, under the path prefix of its proxy."""
    return [{"url": prefix, "description": "The server that sent this document."}]


def document(
    artifact: Artifact,
    needs_key: bool = False,
    protocols: Sequence[Protocol] = (),
    ignores_unknown_fields: bool = False,
    row_id: RowId | None = None,
) -> dict[str, Any]:
    """Return the OpenAPI document as JSON values.

    Args:
        artifact: The model.
        needs_key: Whether the service requires an API key.
        protocols: The protocols in addition to the native one.
        ignores_unknown_fields: Whether the service leaves fields out that the model does not have.
        row_id: The field with a caller's id of a row; None if rows have no id.
    """
    manifest, contract = artifact.manifest, artifact.contract
    paragraphs = [manifest.description, manifest.business_context]
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": manifest.name,
            "version": manifest.version,
            "description": "\n\n".join(text for text in paragraphs if text),
        }
        | ({"license": {"name": manifest.license}} if manifest.license else {}),
        "servers": servers("/"),
        "security": [],
        "paths": {
            "/predict": {"post": _predict(artifact)},
            "/model": {"get": _get("model", "The model and its contract", "application/json", _MODEL)},
            "/livez": {"get": _get("livez", "Alive: restart the process if this fails", "text/plain", _TEXT)},
            "/readyz": {"get": _ready()},
            "/": {
                "get": _get(
                    "page",
                    "The model as a web page: its figures, a form for requests, and this document",
                    "text/html",
                    _TEXT,
                )
            },
            "/metrics": {"get": _get("metrics", "Metrics in Prometheus' text format", "text/plain", _TEXT)},
        },
        "components": {
            "schemas": {
                **schemas.components(contract),
                "Rows": _rows_schema(contract),
                "Columns": _record({"columns": schemas.FIELD_COLUMNS}) | {"additionalProperties": False},
                "ServedModel": _SERVED_MODEL,
                "Answer": _answer_schema(),
                "TableAnswer": _table_schema(contract),
                "Warning": value_warnings.json_schema(),
                "Problem": problem_details.json_schema(),
            },
        },
    }
    routes = [(path, operations, path in _PUBLIC_PATHS, _PROBLEM) for path, operations in document["paths"].items()]
    for protocol in protocols:
        protocol_schemas = protocol.schemas()
        document["components"]["schemas"] |= protocol_schemas
        error_schema = next(name for name in protocol_schemas if name.endswith("Error"))
        protocol_error = _error_content(error_schema, protocol.error_media_type)
        for route in protocol.routes:
            # A name with a slash or a colon makes a path that does not belong to the protocol.
            error = protocol_error | (_PROBLEM if "{" in route.path else {})
            routes.append((route.path, route.operations, route.is_public, error))
    if ignores_unknown_fields:
        _allow_unknown_fields(document["components"]["schemas"], set(contract.names))
    if row_id:
        schemas.add_row_id(document["components"]["schemas"], row_id)
    paths = document["paths"] = {}
    for path, operations, is_public, error in routes:
        paths.setdefault(path, {}).update(
            {
                method: _with_security(operation, is_public, error) if needs_key else operation
                for method, operation in operations.items()
            }
        )
    return document | _security(document["components"]) if needs_key else document


def _allow_unknown_fields(schema: Any, names: set[str]) -> None:
    """Allow other properties in every schema of an object whose properties are the fields of the model."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema["properties"].keys() == names:
            schema["additionalProperties"] = True
        for value in schema.values():
            _allow_unknown_fields(value, names)
    elif isinstance(schema, list):
        for value in schema:
            _allow_unknown_fields(value, names)


def _error_content(schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": schemas.reference(schema)}}


#: The content of an error of the service's own paths.
_PROBLEM = _error_content("Problem", problem_details.MEDIA_TYPE)


def _with_security(operation: Mapping[str, Any], is_public: bool, error: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation of a service that requires an API key; a public one needs none."""
    if is_public:
        return {**operation, "security": []}
    unauthorized = {"401": {"description": errors.Unauthorized.title, "content": error}}
    return {**operation, "responses": operation["responses"] | unauthorized}


def _security(components: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a document that describe API keys."""
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return {"components": components | {"securitySchemes": schemes}, "security": [{name: []} for name in schemes]}


_TEXT = {"type": "string"}
_SERVED_MODEL = _record({"name": _TEXT, "version": _TEXT}) | {"description": "The model that made the predictions."}
_OBJECT = {"type": "object"}

#: The schema of GET /model; the schemas of rows and answers describe the contract in detail.
_MODEL = {
    "type": "object",
    "required": ["name", "version", "created", "origin", "contract", "evaluation"],
    "properties": {
        "name": _TEXT,
        "version": _TEXT
        | {"description": "The semantic version: a new major version may refuse requests that this one accepts."},
        "created": _TEXT | {"format": "date-time"},
        "description": {"type": ["string", "null"]},
        "business_context": {"type": ["string", "null"]},
        "owner": {"type": ["string", "null"]},
        "license": {"type": ["string", "null"]},
        "tolerance": {"type": "number", "description": "How far a prediction may differ between machines."},
        "origin": _OBJECT
        | {"description": "The table's version, the seed and the versions of libraries that the model was made with."},
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
                            "required": {"type": "boolean", "description": "Whether the key must be in every row."},
                            "nullable": {"type": "boolean", "description": "Whether null is accepted."},
                        },
                    },
                },
                "output": _OBJECT,
                "limits": _OBJECT | {"description": "Rows, bytes and seconds of one request."},
            },
        },
        "evaluation": _OBJECT | {"description": "The quality of its predictions on the test rows of its table."},
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
        "description": f"At most {contract.limits.rows:,} rows and {contract.limits.body_bytes:,} bytes per request, "
        "as JSON, Arrow or Parquet. The body may be compressed with gzip, deflate, br or zstd.",
        "parameters": [_WITH_WARNINGS, _REQUEST_ID, _REQUEST_TIMEOUT],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _answer(artifact)} | problems((*PREDICT_ERRORS, *_QUERY_ERRORS)),
    }


def _answer(artifact: Artifact) -> dict[str, Any]:
    """Return the response of a prediction, with the model's real answer to the example row from its golden cases."""
    example = artifact.contract.example()
    answers = [
        {
            "predictions": [golden.prediction],
            "model": {"name": artifact.manifest.name, "version": artifact.manifest.version},
        }
        for golden in artifact.golden()
        if {name: value for name, value in golden.row.items() if value is not None} == example
    ]
    schemas = [{"$ref": "#/components/schemas/Answer"}, {"$ref": "#/components/schemas/TableAnswer"}]
    content = {"schema": {"anyOf": schemas}} | ({"example": answers[0]} if answers else {})
    description = (
        "One prediction per row, in order. Columns are answered with columns. The header Accept selects the format."
    )
    return {"description": description, "content": {"application/json": content} | _TABLES}


#: The table formats.
_TABLES: dict[str, Any] = {
    media_type: {"schema": schemas.BINARY} for media_type in (formats.STREAM, formats.FILE, formats.PARQUET)
}


_WITH_WARNINGS = {
    "name": "warnings",
    "in": "query",
    "description": "Whether the answer has warnings about values that the reference rows do not have: unknown "
    "categories, and numbers outside the range. For answers in JSON.",
    "schema": {"type": "boolean", "default": False},
}


_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Your own id, at most 128 printable ASCII characters. It is returned with the response, and is in "
    "the log if the request fails. Without a valid id the service creates one.",
    "schema": {"type": "string"},
}


_REQUEST_TIMEOUT = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "How long you wait for the response, in milliseconds. The service starts no work that would end "
    "too late. The model's own limit always applies.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def problems(refusals: tuple[type[RequestError], ...] = PREDICT_ERRORS) -> dict[str, Any]:
    """Return one response per status of these errors; errors with the same status differ by ``code``."""
    titles_by_status: dict[str, list[str]] = {}
    for error in refusals:
        titles_by_status.setdefault(str(error.status), []).append(f"{error.title} (`{error.code}`)")
    return {
        status: {"description": "; ".join(titles), "content": _PROBLEM} for status, titles in titles_by_status.items()
    }


def _ready() -> dict[str, Any]:
    operation = _get("readyz", "Ready: files verified, golden predictions reproduced", "text/plain", _TEXT)
    operation["responses"]["503"] = {"description": "Not ready: send no requests"}
    return operation


def _get(name: str, summary: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    response = {"description": summary, "content": {media_type: {"schema": schema}}}
    responses = {"200": response} | problems(CONNECTION_ERRORS)
    return {"operationId": name, "summary": summary, "tags": ["Operation"], "responses": responses}
