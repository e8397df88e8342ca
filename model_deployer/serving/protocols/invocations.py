"""SageMaker's containers and MLflow's scoring server, which share the path ``/invocations``.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

import asyncio
import csv
import io
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from typing_extensions import override

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import (
    InvalidRows,
    MalformedBody,
    NotAcceptable,
    RequestError,
    UnsupportedMediaType,
    UsageError,
)
from model_deployer.contract.features import Boolean, Feature, Integer, Numeric
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.http import problem_details
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.http.media_types import negotiate, parse_media_type
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import ping
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route
from model_deployer.serving.rows import formats

JSON = formats.JSON
CSV = "text/csv"
LINES = "application/jsonlines"

#: What each type, of a body or in Accept, is read or written as.
_TYPES = {JSON: JSON, CSV: CSV, LINES: LINES, "application/jsonl": LINES, "application/x-ndjson": LINES}

#: Clients that were not told a type send this one, and mean JSON: it is curl's.
_UNSAID = "application/x-www-form-urlencoded"

#: The variable in which operators of SageMaker's containers name the type of an answer whose client names none.
_DEFAULT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"

#: Bytes of a body that is read in about the time that the way to a thread and back takes.
_SHORT = 16_384

_MEBIBYTE = 1024**2

#: What SageMaker's clients send to have it back.
_RETURNED = (b"x-amzn-sagemaker-custom-attributes", b"x-amzn-sagemaker-inference-id")
_LONGEST_RETURNED = 1_024

#: The words of MLflow's ErrorCode; those that are not here are the client's fault.
_ERROR_CODES = {
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,300}")
_BOOLEANS = {"true": True, "false": False}

#: A string of JSON, or the NaN that Python's json module writes for a missing number.
_STRING_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|\bNaN\b', re.DOTALL)

#: What stands beside the rows and is passed over, as MLflow does where a model takes no parameters.
_BESIDE = frozenset({"params", "signature_name"})

Rows = Sequence[Any]


class Invocations(Protocol):
    """``POST /invocations`` as a SageMaker endpoint, a batch transform or a client of MLflow asks it."""

    name = "invocations"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        contract = predictor.artifact.contract
        self._read: Mapping[str, Callable[[bytes, Mapping[str, str]], tuple[Rows, str]]] = {
            JSON: JSONReader(contract.names).document,
            LINES: JSONReader(contract.names).lines,
            CSV: CSVReader(contract.features),
        }
        self._default = _default()
        self._encoder = msgspec.json.Encoder()
        self._output = contract.output
        self._parameters = Reply(msgspec.json.encode(_execution_parameters(contract)))
        self._version = Reply(predictor.artifact.manifest.version.encode(), media_type=b"text/plain; charset=utf-8")

    @property
    @override
    def routes(self) -> Sequence[Route]:
        parameters = _said("What a batch transform may send.", _PARAMETERS)
        version = {"description": "The version of the model.", "content": {"text/plain": {"schema": _TEXT}}}
        return [
            Route("/invocations", self._invoke, {"post": _invoke_operation(self.predictor.artifact.contract)}),
            ping.route(self.predictor),
            ping.route(self.predictor, "/health"),
            Route("/version", self._tell_version, {"get": _get("version", "Version", {"200": version})}),
            Route(
                "/execution-parameters",
                self._tell_parameters,
                {"get": _get("executionParameters", "Limits of a batch transform", {"200": parameters})},
            ),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        """MLflow's envelope; SageMaker prescribes none and hands it on as it is."""
        said: dict[str, Any] = {
            "error_code": _ERROR_CODES.get(error.status, "BAD_REQUEST"),
            "message": str(error),
            "code": error.code,
            "request_id": request_id,
        }
        if isinstance(error, InvalidRows):
            said |= {"errors": error.problems, "error_count": error.total}
        return Reply(msgspec.json.encode(said), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return _schemas(self.predictor.artifact.contract)

    async def _invoke(self, request: Request) -> Reply:
        returned = [(name, request.headers[name]) for name in _RETURNED if _is_short(request.headers.get(name))]
        if not request.body:
            return Reply(b"", 204, headers=returned)
        _accepted(request.headers)  # refused before any work
        outputs, natural = await self._predict(request)
        return self._answer(outputs, _accepted(request.headers, self._default or natural), returned)

    async def _predict(self, request: Request) -> tuple[Arrays, str]:
        """The outputs, and the type of the answer where nobody asks for another."""
        media_type, parameters = _media_type(request.headers)
        if media_type == formats.PARQUET:
            return await self.predictor.predict_file(request.body, media_type), JSON
        read, body = self._read[media_type], request.body
        is_short = len(body) <= _SHORT
        rows, natural = read(body, parameters) if is_short else await asyncio.to_thread(read, body, parameters)
        return await self.predictor.predict(rows), natural

    def _answer(self, outputs: Arrays, wanted: str, headers: Sequence[tuple[bytes, bytes]]) -> Reply:
        if wanted == CSV:
            return Reply(_csv(self._output.columns(outputs)), media_type=b"text/csv; charset=utf-8", headers=headers)
        predictions = self._output.predictions(outputs)
        if wanted == LINES:
            return Reply(self._encoder.encode_lines(predictions), media_type=LINES.encode(), headers=headers)
        return Reply(self._encoder.encode({"predictions": predictions}), headers=headers)

    async def _tell_version(self, request: Request) -> Reply:
        return self._version

    async def _tell_parameters(self, request: Request) -> Reply:
        return self._parameters


class JSONReader:
    """Rows of a JSON document, by its one key, or of a document a line.

    Args:
        names: Of the features: what the values of a row without names are.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._readers: Mapping[str, Callable[[Any], Rows]] = {
            "dataframe_split": self._split,
            "dataframe_records": self._list,
            "instances": self._list,
            "inputs": lambda given: _transposed(given) if isinstance(given, dict) else self._list(given),
            "rows": self._list,
            "columns": _transposed,
        }

    def document(self, body: bytes, parameters: Mapping[str, str]) -> tuple[Rows, str]:
        """The rows of one document."""
        document = _decoded(body, msgspec.json.decode)
        found = document.keys() - _BESIDE if isinstance(document, dict) else set()
        if len(found) != 1 or not found <= self._readers.keys():
            raise MalformedBody(f"expected a JSON object with one of {', '.join(self._readers)}")
        (key,) = found
        return self._readers[key](document[key]), JSON

    def lines(self, body: bytes, parameters: Mapping[str, str]) -> tuple[Rows, str]:
        """A row a line."""
        return self._list(_decoded(body, msgspec.json.Decoder().decode_lines)), LINES

    def _list(self, given: Any) -> Rows:
        if not isinstance(given, list):
            raise MalformedBody("expected a list of rows")
        return [_named(self._names, row) if isinstance(row, list) else row for row in given]

    def _split(self, given: Any) -> Rows:
        if not isinstance(given, dict) or not isinstance(given.get("data"), list):
            raise MalformedBody("expected `dataframe_split` to have `columns` and `data`")
        columns = given.get("columns", self._names)
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise MalformedBody("expected `columns` to be a list of names")
        if not all(isinstance(row, list) for row in given["data"]):
            raise MalformedBody("expected `data` to be a list of lists of values")
        return [_named(columns, row) for row in given["data"]]


class CSVReader:
    """Rows of CSV (RFC 4180), with the names in its first line or in the contract's order.

    Types are not written in CSV: a text is read as the kind of its feature says.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._readers = {feature.name: _reader(feature) for feature in features}

    def __call__(self, body: bytes, parameters: Mapping[str, str]) -> tuple[Rows, str]:
        """The rows, and how they are answered.

        MLflow sends a header and expects JSON, SageMaker sends none and expects CSV.
        """
        lines = _csv_lines(body)
        header = parameters.get("header") or ("present" if lines and self._is_header(lines[0]) else "absent")
        names = lines.pop(0) if header == "present" and lines else list(self._readers)
        if len(set(names)) < len(names):
            raise MalformedBody("two columns have the same name")
        if any(len(line) != len(names) for line in lines):
            raise MalformedBody(f"expected {len(names)} values in every line")
        readers = [self._readers.get(name, str) for name in names]
        columns = [map(read, column) for read, column in zip(readers, zip(*lines, strict=True), strict=False)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return rows, JSON if header == "present" else CSV

    def _is_header(self, line: Sequence[str]) -> bool:
        """Whether most of it are names: a name may be misspelt, and a value may be a name by chance."""
        return 2 * sum(cell in self._readers for cell in line) > len(line)


def _reader(feature: Feature) -> Callable[[str], Any]:
    """What turns the text of a field into a value; a text that is none is left for the contract to refuse."""
    if isinstance(feature, Numeric | Integer):
        return _number
    if isinstance(feature, Boolean):
        return lambda text: _BOOLEANS.get(text.strip().lower(), text or None)
    return lambda text: text or None


def _number(text: str) -> float | str | None:
    text = text.strip()
    if not text or text.lower() == "nan":  # numpy and pandas write a missing number as one or the other
        return None
    if not _NUMBER.fullmatch(text):
        return text
    number = int(text) if _WHOLE.fullmatch(text) else float(text)
    return number if math.isfinite(number) else text


def _csv_lines(body: bytes) -> list[list[str]]:
    """The values of every line that has some."""
    try:
        text = io.StringIO(body.decode("utf-8-sig"), newline="")
        return [line for line in csv.reader(text, strict=True) if line]
    except (csv.Error, UnicodeDecodeError):
        raise MalformedBody("the body cannot be read as CSV in UTF-8") from None


def _decoded(body: bytes, decode: Callable[[bytes], Any]) -> Any:
    """JSON; a bare NaN, which MLflow's own client writes for what is missing in a DataFrame, is null."""
    try:
        try:
            return decode(body)
        except msgspec.DecodeError:
            if b"NaN" not in body:
                raise
            return decode(_STRING_OR_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("the body cannot be read as JSON in UTF-8") from None


def _named(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    if len(row) != len(names):
        raise MalformedBody(f"expected {len(names)} values in every row without names")
    return dict(zip(names, row, strict=True))


def _transposed(given: Any) -> Rows:
    """The rows of ``{"name": [...], ...}``."""
    if not isinstance(given, dict) or not all(isinstance(column, list) for column in given.values()):
        raise MalformedBody("expected every column to be a list of values")
    if len({len(column) for column in given.values()}) > 1:
        raise MalformedBody("expected all columns to have the same number of values")
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


def _csv(columns: Mapping[str, Any]) -> bytes:
    """A line a row, without a header; numbers to the last bit, as repr writes them."""
    file = io.StringIO()
    lists = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    said = [[str(cell).lower() for cell in each] if isinstance(each[0], bool) else each for each in lists]
    csv.writer(file, lineterminator="\n").writerows(zip(*said, strict=True))
    return file.getvalue().encode()


def _media_type(headers: Headers) -> tuple[str, Mapping[str, str]]:
    """What the body is, and the parameters of that type.

    Raises:
        UnsupportedMediaType: It is none of those that are read, or not UTF-8.
    """
    kind, parameters = parse_media_type(headers.get(b"content-type", JSON.encode()))
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("send text in UTF-8")
    if kind == formats.PARQUET:
        return kind, parameters
    if kind not in (*_TYPES, _UNSAID):
        raise UnsupportedMediaType(f"send {CSV}, {JSON}, {LINES} or {formats.PARQUET}")
    return _TYPES.get(kind, JSON), parameters


def _accepted(headers: Headers, favourite: str = JSON) -> str:
    """The type of the answer that Accept prefers; where it leaves the choice, the favourite.

    Raises:
        NotAcceptable: None of those that are written.
    """
    chosen = negotiate(headers.get(b"accept", b"*/*"), (favourite, *_TYPES))
    if chosen is None:
        raise NotAcceptable(f"accept {CSV}, {JSON} or {LINES}")
    return _TYPES[chosen]


def _default() -> str | None:
    """What the operator wants to be answered where the client does not say."""
    given = os.environ.get(_DEFAULT)
    if given is None or given in _TYPES:
        return _TYPES[given] if given else None
    raise UsageError(f"{_DEFAULT}: expected one of {', '.join(_TYPES)}")


def _is_short(header: bytes | None) -> bool:
    return header is not None and len(header) <= _LONGEST_RETURNED and header.isascii()


def _execution_parameters(contract: Contract) -> dict[str, Any]:
    """What SageMaker asks before a batch transform.

    SageMaker fills a request by its bytes and knows no limit of rows. So it may put several lines into a request only
    where one that is as long as the example would not be too many times in it.
    """
    example = contract.example()
    line = sum(len(str(example.get(name, ""))) + 1 for name in contract.names)
    payload = min(contract.limits.body_bytes, contract.limits.rows * line) // _MEBIBYTE
    return {
        "MaxConcurrentTransforms": os.cpu_count() or 1,
        "BatchStrategy": "MULTI_RECORD" if payload else "SINGLE_RECORD",
        "MaxPayloadInMB": max(payload, 1),
    }


_TEXT = {"type": "string"}
_PARAMETERS = {
    "type": "object",
    "required": ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"],
    "properties": {
        "MaxConcurrentTransforms": {"type": "integer", "minimum": 1},
        "BatchStrategy": {"enum": ["MULTI_RECORD", "SINGLE_RECORD"]},
        "MaxPayloadInMB": {"type": "integer", "minimum": 1},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error_code", "message", "code", "request_id"],
    "properties": {
        "error_code": _TEXT | {"description": "As MLflow says it."},
        "message": _TEXT | {"description": "What was expected, and what to do."},
        "code": _TEXT | {"description": "The stable name of the error, as in a Problem."},
        "request_id": _TEXT,
        "errors": {"type": "array", "items": {"type": "object"}, "description": "As in a Problem."},
        "error_count": {"type": "integer"},
    },
}

#: What may be refused, by status, where a body is read and where none is.
_REFUSED = {
    400: "The body cannot be read",
    404: "No such path",
    405: "Method not allowed",
    406: "No acceptable type",
    408: "The request took too long",
    413: "The body is too large, or has too many rows",
    415: "Unsupported media type",
    422: "Rows break the contract",
    500: "The prediction failed",
    503: "Too much work at once",
    504: "Out of time",
}


def _said(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _errors(statuses: Collection[int]) -> dict[str, Any]:
    """A response a status; what is wrong with the headers is found before it is known whose request it is."""
    schema = {"$ref": "#/components/schemas/InvocationsError"}
    content = {problem_details.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    too_large = {"431": {"description": "The headers are too large", "content": content}}
    return {str(status): _said(_REFUSED[status], schema) for status in statuses} | too_large


def _get(name: str, summary: str, responses: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "operationId": f"invocations_{name}",
        "summary": summary,
        "tags": ["SageMaker and MLflow"],
        "responses": {**_errors((405,)), **responses},
    }


def _invoke_operation(contract: Contract) -> dict[str, Any]:
    example = {"instances": [contract.example()]}
    text = {"schema": _TEXT}
    answer = {"schema": {"$ref": "#/components/schemas/InvocationsAnswer"}}
    either = [{"$ref": f"#/components/schemas/{name}"} for name in ("InvocationsRows", "InvocationsColumns")]
    content = {JSON: {"schema": {"anyOf": either}, "example": example}}
    return {
        "operationId": "invocations",
        "summary": "Predict, as SageMaker's containers and MLflow's scoring server do",
        "tags": ["SageMaker and MLflow"],
        "requestBody": {"content": content | {CSV: text, LINES: text, formats.PARQUET: {"schema": {}}}},
        "responses": {
            "200": {
                "description": "A prediction a row, in their order, in the type that Accept names.",
                "content": {JSON: answer, CSV: text, LINES: text},
            },
            "204": {"description": "There was no body."},
        }
        | _errors(_REFUSED),
    }


def _one_of(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """An object with one of these keys, and maybe those that are passed over."""
    beside: dict[str, Any] = {name: {"description": "Passed over."} for name in sorted(_BESIDE)}
    return {
        "anyOf": [
            {"type": "object", "required": [key], "additionalProperties": False, "properties": {key: shape} | beside}
            for key, shape in shapes.items()
        ]
    }


def _schemas(contract: Contract) -> dict[str, Any]:
    limits = {"minItems": 1, "maxItems": contract.limits.rows}
    row = {"$ref": "#/components/schemas/Row"}
    values = [feature.json_schema() for feature in contract.features]
    nameless = {
        "type": "array",
        "description": "The values in the order of the model's fields.",
        "prefixItems": values,
        "minItems": len(values),
        "maxItems": len(values),
    }
    rows = {"type": "array", "items": {"anyOf": [row, nameless]}} | limits
    split = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "columns": {"const": contract.names, "description": "In any order, which is that of the values."},
            "data": {"type": "array", "items": nameless} | limits,
        },
    }
    columns = {"$ref": "#/components/schemas/Columns/properties/columns"}
    by_row = {"dataframe_split": split} | dict.fromkeys(("dataframe_records", "instances", "inputs", "rows"), rows)
    answer = {"type": "array", "items": contract.output.json_schema()}
    return {
        "InvocationsRows": _one_of(by_row),
        "InvocationsColumns": _one_of({"inputs": columns, "columns": columns}),
        "InvocationsAnswer": {"type": "object", "required": ["predictions"], "properties": {"predictions": answer}},
        "InvocationsError": _ERROR,
    }
