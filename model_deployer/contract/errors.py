"""Every error of the project, as one tree.

::

    DeployerError                          exit code   meaning
    ├── UsageError                         2           the input cannot be used; the user changes it
    │   ├── SpecError                                  model.yaml or configuration.yaml is wrong; names the line
    │   ├── DataError                                  the table cannot be used for training
    │   ├── ModelNotFound                              the store does not hold this model or version
    │   ├── AmbiguousModel                             the store holds several models and the command names none
    │   └── ArtifactError                              files of a model are missing, altered or of an unknown format
    ├── Interrupted                        130         stopped by Ctrl-C; the message says how to resume
    ├── CheckFailed                        1           the job ran and a check failed (leakage under `strict`)
    ├── EnvironmentFault                   3           disk, port or package; the operator fixes the machine
    └── RequestError                       HTTP  gRPC                 retry  code
        ├── MalformedBody                  400   INVALID_ARGUMENT     no     malformed_body
        ├── MalformedRequest               400   INVALID_ARGUMENT     no     malformed_request
        ├── InvalidHeader                  400   INVALID_ARGUMENT     no     invalid_header
        ├── InvalidParameter               400   INVALID_ARGUMENT     no     invalid_parameter
        ├── Unauthorized                   401   UNAUTHENTICATED      no     unauthorized
        ├── NotFound                       404   NOT_FOUND            no     not_found
        ├── MethodNotAllowed               405   UNIMPLEMENTED        no     method_not_allowed
        ├── NotAcceptable                  406   INVALID_ARGUMENT     no     not_acceptable
        ├── RequestTimeout                 408   DEADLINE_EXCEEDED    yes    request_timeout
        ├── BodyTooLarge                   413   RESOURCE_EXHAUSTED   no     body_too_large
        ├── TooManyRows                    413   RESOURCE_EXHAUSTED   no     too_many_rows
        ├── UnsupportedMediaType           415   INVALID_ARGUMENT     no     unsupported_media_type
        ├── InvalidRows                    422   INVALID_ARGUMENT     no     invalid_rows
        ├── HeadersTooLarge                431   RESOURCE_EXHAUSTED   no     headers_too_large
        ├── PredictionFailed               500   INTERNAL             no     prediction_failed
        ├── Unavailable                    503   UNAVAILABLE          yes    unavailable
        ├── Overloaded                     503   UNAVAILABLE          yes    overloaded
        └── DeadlineExceeded               504   DEADLINE_EXCEEDED    yes    deadline_exceeded

A message says what was expected and what to do next. It never repeats a value that a client sent.

The handoff documents are generated from the subclasses of RequestError: the first line of the docstring is the cause
that clients read, and ``remedy`` says what they can do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self


class DeployerError(Exception):
    """Base of every error that this project raises on purpose; the text is a message for the user."""

    exit_code: ClassVar[int] = 2


class UsageError(DeployerError):
    """The input cannot be used; the user must change it."""


class SpecError(UsageError):
    """A YAML file of the user cannot be used."""


class DataError(UsageError):
    """The table cannot be used for training."""


class ModelNotFound(UsageError):
    """The store does not hold this model or version."""


class AmbiguousModel(UsageError):
    """The store holds several models and the command names none of them."""


class ArtifactError(UsageError):
    """Files of a model are missing, altered, or of a format that this version does not read."""


class CheckFailed(DeployerError):
    """The job ran to its end and a check failed."""

    exit_code = 1


class Interrupted(DeployerError):
    """The user stopped the job; the message says how to resume it."""

    exit_code = 130


class EnvironmentFault(DeployerError):
    """The machine cannot do the job: a full disk, a port in use, a missing package."""

    exit_code = 3


#: The problem of one value of a row. Later versions may add codes.
ProblemCode = Literal[
    "missing_field",
    "not_nullable",
    "unknown_field",
    "wrong_type",
    "not_finite",
    "not_an_integer",
    "out_of_range",
    "unknown_category",
    "invalid_datetime",
    "wrong_length",
    "invalid_text",
    "invalid_image",
    "refused_by_model",
]

#: The meaning of each code, as the rest of a sentence that begins with "The value".
PROBLEM_CODES: Mapping[ProblemCode, str] = {
    "missing_field": "is required and missing",
    "not_nullable": "is null, and the field does not accept null",
    "unknown_field": "belongs to a field that the model does not have",
    "wrong_type": "has the wrong JSON type",
    "not_finite": "is NaN, infinite, or outside the range of float64",
    "not_an_integer": "has decimals, and the field takes whole numbers; 3.0 counts as whole",
    "out_of_range": "is outside the range, and the contract refuses such values",
    "unknown_category": "is not one of the categories, and the contract refuses other values",
    "invalid_datetime": "is not a valid time, lacks a required UTC offset, or has an offset that the field refuses",
    "wrong_length": "is an empty string, a string that is too long, or a list of another shape than the field has",
    "invalid_text": "contains an unpaired surrogate, which is not a Unicode character",
    "invalid_image": "is not a PNG or JPEG file in base64, is damaged, or has another size than the field",
    "refused_by_model": "is in a row that the model itself refuses, or answers with NaN or infinity",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem with one field of one row.

    Attributes:
        row: The index of the row, from 0.
        field: The feature's name, or None if the row as a whole is wrong.
        code: The kind of problem.
        message: What was expected and what to do. It does not contain any value that the client sent.
    """

    row: int
    field: str | None
    code: ProblemCode
    message: str


class RequestError(DeployerError):
    """A refused request: the client gets no prediction. Subclasses set every attribute; the message is per request.

    Attributes:
        status: The HTTP status of the response.
        grpc_status: The name of the gRPC status of the response.
        code: The stable name of the error.
        title: A short summary for people.
        remedy: What a client can do about it.
        retry: Whether the same request may succeed later.
    """

    status: ClassVar[int] = 400
    grpc_status: ClassVar[str] = "INVALID_ARGUMENT"
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"
    remedy: ClassVar[str] = "Correct the request."
    retry: ClassVar[bool] = False


class MalformedBody(RequestError):
    """The body is not JSON, not UTF-8 or nested too deeply, or it has no rows."""

    code = "malformed_body"
    title = "The body cannot be read"
    remedy = 'Send `{"rows": [{...}, ...]}`, one row `{...}`, or a table.'


class MalformedRequest(RequestError):
    """The request is not HTTP/1.1; the connection is closed."""

    code = "malformed_request"
    title = "Not an HTTP request"
    remedy = "Use an HTTP/1.1 client."


class InvalidHeader(RequestError):
    """The header `X-Request-Timeout-Ms` is not a whole number of milliseconds."""

    code = "invalid_header"
    title = "A header cannot be read"
    remedy = "Correct the header, or leave it out."


class InvalidParameter(RequestError):
    """The parameter `warnings` of the query is neither `true` nor `false`."""

    code = "invalid_parameter"
    title = "A parameter of the query cannot be read"
    remedy = "Correct the parameter, or leave it out."


class Unauthorized(RequestError):
    """The service requires an API key, and the key is missing or not valid."""

    status = 401
    grpc_status = "UNAUTHENTICATED"
    code = "unauthorized"
    title = "No valid API key"
    remedy = "Send an API key that the operator issued."


class NotFound(RequestError):
    """The service does not have this path."""

    status = 404
    grpc_status = "NOT_FOUND"
    code = "not_found"
    title = "No such path"
    remedy = "Correct the URL."


@dataclass
class MethodNotAllowed(RequestError):
    """The path exists with another method, which the header `Allow` names.

    Attributes:
        allow: The methods in the syntax of that header (RFC 9110): ``GET, HEAD``.
    """

    status = 405
    grpc_status = "UNIMPLEMENTED"
    code = "method_not_allowed"
    title = "Method not allowed"
    remedy = "Use a method that `Allow` names."

    allow: str

    def __str__(self) -> str:
        return f"this path accepts only {self.allow}"


class NotAcceptable(RequestError):
    """The header `Accept` allows no type that `/invocations` can write, or asks for a table with `warnings=true`."""

    status = 406
    code = "not_acceptable"
    title = "No acceptable type"
    remedy = "Accept one of the types that the service can write."


class RequestTimeout(RequestError):
    """The request did not arrive within the time limit; it was not processed, and the connection is closed."""

    status = 408
    grpc_status = "DEADLINE_EXCEEDED"
    code = "request_timeout"
    title = "The request took too long"
    remedy = "Send it again; if this happens often, send fewer rows per request."
    retry = True


class BodyTooLarge(RequestError):
    """The body has more bytes than the service accepts."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "body_too_large"
    title = "The body is too large"
    remedy = "Divide the rows among several requests."

    @classmethod
    def over(cls, limit: int) -> Self:
        """Return the error for a body of more than ``limit`` bytes."""
        return cls(f"the service accepts at most {limit:,} bytes; send fewer rows per request")


class TooManyRows(RequestError):
    """The request has more rows than the service accepts."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "too_many_rows"
    title = "Too many rows"
    remedy = "Divide the rows among several requests."


class UnsupportedMediaType(RequestError):
    """The service does not read this Content-Type or Content-Encoding, or the request has two of them."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    remedy = "Send one of the types that the service reads."


@dataclass
class InvalidRows(RequestError):
    """At least one row breaks the contract; `errors` lists which rows, which fields and why.

    Attributes:
        problems: The first problems, up to the service's limit.
        total: The number of all problems.
    """

    status = 422
    code = "invalid_rows"
    title = "Rows break the contract"
    remedy = "Correct the values that `errors` lists; each message says how."

    problems: Sequence[Problem] = field(default_factory=list)
    total: int = 0

    def __str__(self) -> str:
        rows = len({problem.row for problem in self.problems})
        problem_count = f"{self.total} problem{'s' * (self.total != 1)}"
        row_count = f"{rows} row{'s' * (rows != 1)}"
        if self.total > len(self.problems):
            return f"{problem_count}; the first {len(self.problems)}, in {row_count}, are listed under `errors`"
        return f"{problem_count} in {row_count}, listed under `errors`"


class HeadersTooLarge(RequestError):
    """The headers have more bytes than the service accepts; the connection is closed."""

    status = 431
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "headers_too_large"
    title = "The headers are too large"
    remedy = "Send fewer or shorter headers."


class PredictionFailed(RequestError):
    """The model failed on a valid request; the fault is in the service, never in the request."""

    status = 500
    grpc_status = "INTERNAL"
    code = "prediction_failed"
    title = "The prediction failed"
    remedy = "Report the `request_id` to the operator of the service."


class Unavailable(RequestError):
    """The process that answers is not there at the moment; it is started again."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "unavailable"
    title = "The model does not answer at the moment"
    remedy = "Send it again after the number of seconds in `Retry-After`."
    retry = True


class Overloaded(RequestError):
    """More requests wait than the service can answer in time; it did no work for this one."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "overloaded"
    title = "Too much work at once"
    remedy = "Send it again after the number of seconds in `Retry-After`."
    retry = True


@dataclass
class DeadlineExceeded(RequestError):
    """The time limit of the request passed before the answer was ready.

    Attributes:
        seconds: The time limit in seconds.
    """

    status = 504
    grpc_status = "DEADLINE_EXCEEDED"
    code = "deadline_exceeded"
    title = "Out of time"
    remedy = "Send it again, with fewer rows or more time."
    retry = True

    seconds: float

    def __str__(self) -> str:
        return f"no answer within {self.seconds:g} seconds; send it again with fewer rows or more time"


#: Every error of a request, in the order of the tree. Documents and clients are generated from this catalogue.
REQUEST_ERRORS: tuple[type[RequestError], ...] = (
    MalformedBody,
    MalformedRequest,
    InvalidHeader,
    InvalidParameter,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    BodyTooLarge,
    TooManyRows,
    UnsupportedMediaType,
    InvalidRows,
    HeadersTooLarge,
    PredictionFailed,
    Unavailable,
    Overloaded,
    DeadlineExceeded,
)
