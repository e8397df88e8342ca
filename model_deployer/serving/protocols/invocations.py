"""The protocols of SageMaker's containers and MLflow's scoring server, which share the path ``/invocations``.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

import csv
import io
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
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
from model_deployer.contract.features import Boolean, Feature, Image, Integer, NumberArray, Numeric
from model_deployer.serving.http import problem_details
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.http.media_types import negotiate, parse_media_type
from model_deployer.serving.predictor import Predicted, Predictor
from model_deployer.serving.protocols import npy, ping, schemas
from model_deployer.serving.protocols.dataframes import DataFrames
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route
from model_deployer.serving.protocols.row_forms import RowForms
from model_deployer.serving.protocols.tensors import Tensors
from model_deployer.serving.rows import formats
from model_deployer.serving.rows.images import lone_image
from model_deployer.serving.rows.row_id import Field, RowId, with_id

JSON = formats.JSON
CSV = "text/csv"
LINES = "application/jsonlines"
NPY = "application/x-npy"

#: The format of each media type of a body or in Accept.
_FORMATS = {JSON: JSON, CSV: CSV, LINES: LINES, "application/jsonl": LINES, "application/x-ndjson": LINES, NPY: NPY}

#: The media types of an image that is a row by itself.
_IMAGE_TYPES = ("application/x-image", "image/png", "image/jpeg")

#: curl's default Content-Type, sent by clients that set none: it counts as JSON.
_CURL_DEFAULT = "application/x-www-form-urlencoded"

#: The variable with the media type of responses to requests without Accept, set by operators of SageMaker's containers.
_DEFAULT_ACCEPT_VARIABLE = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"

_MEBIBYTE = 1024**2

#: Headers of SageMaker's clients that are returned with the response.
_RETURNED_HEADERS = (b"x-amzn-sagemaker-custom-attributes", b"x-amzn-sagemaker-inference-id")
_MAX_RETURNED_BYTES = 1_024

#: MLflow's ErrorCode by status; all other statuses are BAD_REQUEST.
_ERROR_CODES = {
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_BOOLEANS = {"true": True, "false": False}

#: A JSON string, or the NaN that Python's json module writes for a missing number.
_STRING_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|\bNaN\b', re.DOTALL)

#: Keys next to the rows that are ignored, as MLflow ignores them for a model without parameters.
_IGNORED_KEYS = frozenset({"params", "signature_name"})

Rows = Sequence[Any]


class Invocations(Protocol):
    """``POST /invocations`` for SageMaker endpoints, batch transforms and MLflow's clients."""

    name = "invocations"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        contract, row_id = predictor.artifact.contract, predictor.row_id
        self._readers: Mapping[str, Callable[[bytes, Mapping[str, str]], tuple[Rows, str]]] = {
            JSON: JSONReader(contract.features, row_id).document,
            LINES: JSONReader(contract.features, row_id).lines,
            CSV: CSVReader(contract.features, row_id),
        }
        self._image = lone_image(contract.features)
        self._features, self._limits = contract.features, contract.limits
        self._tensors = Tensors(predictor)
        self._frames = DataFrames(contract.features)
        self._default_format = _default_format()
        self._encoder = msgspec.json.Encoder()
        self._output = contract.output
        self._parameters = Reply(msgspec.json.encode(_execution_parameters(contract)))
        self._version = Reply(predictor.artifact.manifest.version.encode(), media_type=b"text/plain; charset=utf-8")

    @property
    @override
    def routes(self) -> Sequence[Route]:
        parameters = _response("What a batch transform may send.", _PARAMETERS)
        version = {"description": "The version of the model.", "content": {"text/plain": {"schema": _TEXT}}}
        return [
            Route("/invocations", self._invoke, {"post": _invoke_operation(self.predictor.artifact.contract)}),
            ping.route(self.predictor),
            ping.route(self.predictor, "/health"),
            Route("/version", self._get_version, {"get": _get("version", "Version", {"200": version})}),
            Route(
                "/execution-parameters",
                self._get_parameters,
                {"get": _get("executionParameters", "Limits of a batch transform", {"200": parameters})},
            ),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        """Return an error in MLflow's format; SageMaker prescribes none and passes it on unchanged."""
        document: dict[str, Any] = {
            "error_code": _ERROR_CODES.get(error.status, "BAD_REQUEST"),
            "message": str(error),
            "code": error.code,
            "request_id": request_id,
        }
        if isinstance(error, InvalidRows):
            document |= {"errors": error.problems, "error_count": error.total}
        return Reply(msgspec.json.encode(document), error.status)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return _schemas(self.predictor.artifact.contract)

    async def _invoke(self, request: Request) -> Reply:
        returned = [
            (name, request.headers[name]) for name in _RETURNED_HEADERS if _is_returned(request.headers.get(name))
        ]
        if not request.body:
            return Reply(b"", 204, headers=returned)
        _response_format(request.headers)  # refuse before any work
        predicted, usual_format = await self._predict(request)
        response_format = _response_format(request.headers, self._default_format or usual_format)
        rows = len(next(iter(predicted.outputs.values())))
        return await self.predictor.background.run_if_many(rows, self._answer, predicted, response_format, returned)

    async def _predict(self, request: Request) -> tuple[Predicted, str]:
        """Return the predictions, and the usual format of the response to a request of this format."""
        if self._image and parse_media_type(request.headers.get(b"content-type", b"")).name in _IMAGE_TYPES:
            return await self.predictor.predict_with_ids([{self._image: request.body}]), JSON
        request_format, parameters = _request_format(request.headers)
        if request_format == formats.PARQUET:
            return await self.predictor.predict_file(request.body, request_format), JSON
        body, background = request.body, self.predictor.background
        if request_format == NPY:
            fields = await background.run_if_large(len(body), self._read_npy, body)
            return Predicted(await self._tensors.predict(fields), None), JSON
        read = self._readers[request_format]
        rows, usual_format = await background.run_if_large(len(body), read, body, parameters)
        return await self.predictor.predict_with_ids(rows), usual_format

    def _read_npy(self, body: bytes) -> dict[str, NDArray[Any]]:
        columns = npy.read(body, self._features, self._limits)
        return {name: column for name, column in columns.items() if not self._frames.is_index(name)}

    def _answer(self, predicted: Predicted, response_format: str, headers: Sequence[tuple[bytes, bytes]]) -> Reply:
        if response_format == CSV:
            text = _csv(self._output.columns(predicted.outputs))
            return Reply(text, media_type=b"text/csv; charset=utf-8", headers=headers)
        if response_format == NPY:
            return Reply(npy.write(self._output, predicted.outputs), media_type=NPY.encode(), headers=headers)
        predictions = self.predictor.predictions(predicted)
        if response_format == LINES:
            return Reply(self._encoder.encode_lines(predictions), media_type=LINES.encode(), headers=headers)
        return Reply(self._encoder.encode({"predictions": predictions}), headers=headers)

    async def _get_version(self, request: Request) -> Reply:
        return self._version

    async def _get_parameters(self, request: Request) -> Reply:
        return self._parameters


class JSONReader:
    """Reads rows from a JSON document, a list or an object with one key, or from JSON lines.

    Args:
        features: The fields; rows that are lists have their values in this order.
        row_id: The field with a caller's id of a row, in rows by name; None if rows have no id.
    """

    def __init__(self, features: Sequence[Feature], row_id: RowId | None = None) -> None:
        self._names = [feature.name for feature in features]
        self._forms = RowForms(features)
        self._frames = DataFrames(features, row_id)
        self._readers: Mapping[str, Callable[[Any], Rows]] = {
            "dataframe_split": self._frames.split,
            "dataframe_records": lambda value: self._frames.records(self._list(value)),
            "instances": self._list,
            "inputs": lambda value: self._columns(value) if isinstance(value, dict) else self._list(value),
            "rows": self._list,
            "columns": self._columns,
        }

    def document(self, body: bytes, parameters: Mapping[str, str]) -> tuple[Rows, str]:
        """Return the rows of one document, and the usual format of the response."""
        document = _decode(body, msgspec.json.decode)
        if isinstance(document, list):
            is_one_row = len(self._names) > 1 and self._forms.is_row(document)
            return self._list([document] if is_one_row and document else document), JSON
        keys = document.keys() - _IGNORED_KEYS if isinstance(document, dict) else set()
        if len(keys) != 1 or not keys <= self._readers.keys():
            raise MalformedBody(f"expected a list of rows, or a JSON object with one of {', '.join(self._readers)}")
        (key,) = keys
        return self._readers[key](document[key]), JSON

    def lines(self, body: bytes, parameters: Mapping[str, str]) -> tuple[Rows, str]:
        """Return the rows of JSON lines, one per line, and the usual format of the response."""
        return self._list(_decode(body, msgspec.json.Decoder().decode_lines)), LINES

    def _list(self, value: Any) -> Rows:
        if not isinstance(value, list):
            raise MalformedBody("expected a list of rows")
        if value and isinstance(value[0], dict) and len(value[0]) == 1:
            value = [self._values(row) for row in value]
        if any(isinstance(row, list) and not self._forms.has_width(row) for row in value):
            raise MalformedBody(f"expected {len(self._names)} values in every row without names")
        return self._forms.rows(value, "rows")

    def _columns(self, value: Any) -> Rows:
        return self._forms.scalars(_transpose(value))

    def _values(self, row: Any) -> Any:
        """Return the values of a row in SageMaker's common format, or another row unchanged.

        https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
        """
        match row:
            case {"features": list(values)} if "features" not in self._names:
                return values
            case {"data": {"features": {"values": list(values)}}} if "data" not in self._names:
                return values
        return row


class CSVReader:
    """Reads rows from CSV (RFC 4180), with the names in its first line or in the contract's order.

    CSV has no types: a text is converted according to the kind of its feature, and an id is a text.

    Args:
        features: The fields.
        row_id: The field with a caller's id of a row, in lines under a header; None if rows have no id.
    """

    def __init__(self, features: Sequence[Feature], row_id: RowId | None = None) -> None:
        self._names = [feature.name for feature in features]
        self._refused = next((feature for feature in features if isinstance(feature, NumberArray | Image)), None)
        self._readers = {field.name: _reader(field) for field in with_id(features, row_id)}
        self._frames = DataFrames(features, row_id)

    def __call__(self, body: bytes, parameters: Mapping[str, str]) -> tuple[Rows, str]:
        """Return the rows, and the usual format of the response.

        MLflow sends a header and expects JSON; SageMaker sends none and expects CSV.

        Raises:
            UnsupportedMediaType: if one of the fields is a list, a tensor or an image.
            MalformedBody: if it is not CSV, or a line has more or fewer values than fields.
        """
        if field := self._refused:
            raise UnsupportedMediaType(
                f"CSV cannot hold the {field.kind} `{field.name}`; send {JSON} or {formats.PARQUET}"
            )
        lines = _csv_lines(body)
        header = parameters.get("header") or ("present" if lines and self._is_header(lines[0]) else "absent")
        names = self._names
        if header == "present" and lines:
            names = self._frames.column_names(lines.pop(0))
        if any(len(line) != len(names) for line in lines):
            raise MalformedBody(f"expected {len(names)} values in every line")
        readers = [self._readers.get(name, str) for name in names]
        columns = [map(read, column) for read, column in zip(readers, zip(*lines, strict=True), strict=False)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        for index in filter(self._frames.is_index, names):
            for row in rows:
                del row[index]
        return rows, JSON if header == "present" else CSV

    def _is_header(self, line: Sequence[str]) -> bool:
        """Return whether most cells are names: a name may be misspelt, and a value may equal a name by chance."""
        return 2 * sum(cell in self._readers for cell in line) > len(line)


def _reader(field: Field) -> Callable[[str], Any]:
    """Return the function that converts the text of a field; it leaves an invalid text for validation to refuse."""
    if isinstance(field, Numeric | Integer):
        return _number
    if isinstance(field, Boolean):
        return lambda text: _BOOLEANS.get(text.strip().lower(), text or None)
    return lambda text: text or None


def _number(text: str) -> float | str | None:
    text = text.strip()
    if not text or text.lower() == "nan":  # numpy and pandas write a missing number in one of these ways
        return None
    if not _NUMBER.fullmatch(text):
        return text
    number = int(text) if _INTEGER.fullmatch(text) else float(text)
    return number if math.isfinite(number) else text


def _csv_lines(body: bytes) -> list[list[str]]:
    """Return the cells of every line that is not empty."""
    try:
        text = io.StringIO(body.decode("utf-8-sig"), newline="")
        return [line for line in csv.reader(text, strict=True) if line]
    except (csv.Error, UnicodeDecodeError):
        raise MalformedBody("the body cannot be read as CSV in UTF-8") from None


def _decode(body: bytes, decode: Callable[[bytes], Any]) -> Any:
    """Decode JSON. A bare NaN, which MLflow's client writes for a missing value of a DataFrame, counts as null."""
    try:
        try:
            return decode(body)
        except msgspec.DecodeError:
            if b"NaN" not in body:
                raise
            return decode(_STRING_OR_NAN.sub(lambda match: b"null" if match[0] == b"NaN" else match[0], body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("the body cannot be read as JSON in UTF-8") from None


def _transpose(value: Any) -> list[Any]:
    """Return the rows of columns ``{"name": [...], ...}``."""
    if not isinstance(value, dict) or not all(isinstance(column, list) for column in value.values()):
        raise MalformedBody("expected every column to be a list of values")
    if len({len(column) for column in value.values()}) > 1:
        raise MalformedBody("expected all columns to have the same number of values")
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


def _csv(columns: Mapping[str, Any]) -> bytes:
    """Write one line per row, without a header; numbers with all digits, as repr writes them.

    Each number of an embedding has a cell.
    """
    file = io.StringIO()
    lists = [cells for column in columns.values() for cells in _cells(column)]
    cells = [[str(cell).lower() for cell in column] if isinstance(column[0], bool) else column for column in lists]
    csv.writer(file, lineterminator="\n").writerows(zip(*cells, strict=True))
    return file.getvalue().encode()


def _cells(column: Any) -> list[list[Any]]:
    """Return the cells of a column, or those of each of several numbers."""
    if not isinstance(column, np.ndarray):
        return [column]
    numbers: list[list[Any]] = column.reshape(len(column), -1).T.tolist()
    return numbers


def _request_format(headers: Headers) -> tuple[str, Mapping[str, str]]:
    """Return the format of the body, and the parameters of its media type.

    Raises:
        UnsupportedMediaType: if the media type is not supported, or the text is not UTF-8.
    """
    name, parameters = parse_media_type(headers.get(b"content-type", JSON.encode()))
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("send text in UTF-8")
    if name == formats.PARQUET:
        return name, parameters
    if name not in (*_FORMATS, _CURL_DEFAULT):
        raise UnsupportedMediaType(f"send {CSV}, {JSON}, {LINES}, {NPY} or {formats.PARQUET}")
    return _FORMATS.get(name, JSON), parameters


def _response_format(headers: Headers, default: str = JSON) -> str:
    """Return the format of the response that Accept prefers; ``default`` if it accepts several equally.

    Raises:
        NotAcceptable: if Accept allows none of the formats.
    """
    media_type = negotiate(headers.get(b"accept", b"*/*"), (default, *_FORMATS))
    if media_type is None:
        raise NotAcceptable(f"accept {CSV}, {JSON}, {LINES} or {NPY}")
    return _FORMATS[media_type]


def _default_format() -> str | None:
    """Return the format of responses without an Accept header that the operator has set; None if there is none."""
    media_type = os.environ.get(_DEFAULT_ACCEPT_VARIABLE)
    if media_type is None or media_type in _FORMATS:
        return _FORMATS[media_type] if media_type else None
    raise UsageError(f"{_DEFAULT_ACCEPT_VARIABLE}: expected one of {', '.join(_FORMATS)}")


def _is_returned(header: bytes | None) -> bool:
    return header is not None and len(header) <= _MAX_RETURNED_BYTES and header.isascii()


def _execution_parameters(contract: Contract) -> dict[str, Any]:
    """Return the parameters that SageMaker requests before a batch transform.

    SageMaker fills requests by bytes and has no limit of rows. Therefore it may put several lines into a request only
    if lines of the length of the example would stay within the model's limit of rows.
    """
    example = contract.example()
    line_bytes = sum(len(str(example.get(name, ""))) + 1 for name in contract.names)
    payload = min(contract.limits.body_bytes, contract.limits.rows * line_bytes) // _MEBIBYTE
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
        "error_code": _TEXT | {"description": "MLflow's name of the error."},
        "message": _TEXT | {"description": "What was expected, and what to do."},
        "code": _TEXT | {"description": "The stable name of the error, as in a Problem."},
        "request_id": _TEXT,
        "errors": {"type": "array", "items": {"type": "object"}, "description": "As in a Problem."},
        "error_count": {"type": "integer"},
    },
}

#: The descriptions of errors by status.
_ERROR_TITLES = {
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


def _response(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _errors(statuses: Collection[int]) -> dict[str, Any]:
    """Return one response per status. Headers are checked before the protocol is known, so 431 is a Problem."""
    schema = schemas.reference("InvocationsError")
    content = {problem_details.MEDIA_TYPE: {"schema": schemas.reference("Problem")}}
    too_large = {"431": {"description": "The headers are too large", "content": content}}
    return {str(status): _response(_ERROR_TITLES[status], schema) for status in statuses} | too_large


def _get(name: str, summary: str, responses: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "operationId": f"invocations_{name}",
        "summary": summary,
        "tags": ["SageMaker and MLflow"],
        "responses": {**_errors((405,)), **responses},
    }


def _invoke_operation(contract: Contract) -> dict[str, Any]:
    example = {"instances": [contract.example()]}
    text, binary = {"schema": _TEXT}, {"schema": schemas.BINARY}
    answer = {"schema": schemas.reference("InvocationsAnswer")}
    forms = [schemas.reference(name) for name in ("InvocationsRows", "InvocationsColumns")]
    content = {JSON: {"schema": {"anyOf": forms}, "example": example}}
    return {
        "operationId": "invocations",
        "summary": "Predict, as SageMaker's containers and MLflow's scoring server do",
        "tags": ["SageMaker and MLflow"],
        "requestBody": {"content": content | {CSV: text, LINES: text, NPY: binary, formats.PARQUET: binary}},
        "responses": {
            "200": {
                "description": "One prediction per row, in order, in the format that Accept selects.",
                "content": {JSON: answer, CSV: text, LINES: text, NPY: binary},
            },
            "204": {"description": "The request had no body."},
        }
        | _errors(_ERROR_TITLES),
    }


def _one_of(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with one of these keys, and optionally the ignored ones."""
    ignored: dict[str, Any] = {name: {"description": "Ignored."} for name in sorted(_IGNORED_KEYS)}
    return {
        "anyOf": [
            {"type": "object", "required": [key], "additionalProperties": False, "properties": {key: shape} | ignored}
            for key, shape in shapes.items()
        ]
    }


def _schemas(contract: Contract) -> dict[str, Any]:
    limits = {"minItems": 1, "maxItems": contract.limits.rows}
    names = schemas.nameless([{"const": name} for name in contract.names], {"type": "string"})
    split = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "columns": names | {"description": "In any order; the values are in the same order."},
            "data": {"type": "array", "items": schemas.reference("FrameValues")} | limits,
        },
    }
    frames = {"dataframe_split": "InvocationsSplit", "dataframe_records": "FrameRowList"}
    by_row = _one_of(
        {key: schemas.reference(name) for key, name in frames.items()}
        | dict.fromkeys(("instances", "inputs", "rows"), schemas.ROW_LIST)
    )
    by_row["anyOf"] += [schemas.ROW_LIST, schemas.reference("Values")]
    answer = {"predictions": schemas.PREDICTIONS}
    return {
        **schemas.frame_components(contract),
        "InvocationsSplit": split,
        "InvocationsRows": by_row,
        "InvocationsColumns": _one_of({"inputs": schemas.FIELD_COLUMNS, "columns": schemas.FIELD_COLUMNS}),
        "InvocationsAnswer": {"type": "object", "required": ["predictions"], "properties": answer},
        "InvocationsError": _ERROR,
    }
