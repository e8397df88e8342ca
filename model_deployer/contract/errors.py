"""Every error of the project, as one tree.

::

    DeployerError                          exit code   meaning
    ├── UsageError                         2           what was asked for cannot be: the caller changes the input
    │   ├── SpecError                                  model.yaml or configuration.yaml is wrong, on which line
    │   ├── DataError                                  the table cannot be trained on
    │   ├── ModelNotFound                              no such model or version in the store
    │   ├── AmbiguousModel                             several models, and none was named
    │   └── ArtifactError                              files of a model are missing, altered or of an unknown format
    ├── Interrupted                        130         stopped by Ctrl-C; the message says how to go on
    ├── CheckFailed                        1           the job ran, and its answer is no (leakage under `strict`)
    ├── EnvironmentFault                   3           disk, port or package: the machine has to change
    └── RequestError                       HTTP  gRPC                 retry  code
        ├── MalformedBody                  400   INVALID_ARGUMENT     no     malformed_body
        ├── MalformedRequest               400   INVALID_ARGUMENT     no     malformed_request
        ├── InvalidHeader                  400   INVALID_ARGUMENT     no     invalid_header
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
        ├── Overloaded                     503   UNAVAILABLE          yes    overloaded
        └── DeadlineExceeded               504   DEADLINE_EXCEEDED    yes    deadline_exceeded

A message says what was expected and what to do next; it never repeats a value that a caller sent.

Documents are written from the classes of refused requests: the first line of a docstring is the cause, as callers read
it, and ``remedy`` is what they do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self


class DeployerError(Exception):
    """Base of every error this project raises on purpose; its text is written for the person who reads it."""

    exit_code: ClassVar[int] = 2


class UsageError(DeployerError):
    """What was asked for cannot be done; the input has to change."""


class SpecError(UsageError):
    """A YAML file of the user's that cannot be used."""


class DataError(UsageError):
    """A table that cannot be trained on."""


class ModelNotFound(UsageError):
    """The store holds no such model or version."""


class AmbiguousModel(UsageError):
    """The store holds several models and none was named."""


class ArtifactError(UsageError):
    """Files of a model are missing, altered, or of a format that this version does not read."""


class CheckFailed(DeployerError):
    """The job ran to its end and its answer is no."""

    exit_code = 1


class Interrupted(DeployerError):
    """The user stopped the job; the message says how to go on with it."""

    exit_code = 130


class EnvironmentFault(DeployerError):
    """The machine cannot do it: a full disk, a taken port, a missing package."""

    exit_code = 3


#: What may be wrong with one value of a row; other codes may be added.
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
]

#: What each code says of the value.
PROBLEM_CODES: Mapping[ProblemCode, str] = {
    "missing_field": "is required and absent",
    "not_nullable": "is null where null is refused",
    "unknown_field": "is of a field that the model does not have",
    "wrong_type": "has another JSON type",
    "not_finite": "is NaN, infinite, or beyond the range of float64",
    "not_an_integer": "has decimals where a whole number belongs; 3.0 is whole",
    "out_of_range": "lies beyond the bounds, where the contract refuses that",
    "unknown_category": "is none of the categories, where the contract refuses that",
    "invalid_datetime": "is no time, or has an offset where none belongs, or the other way round",
    "wrong_length": "is an empty or too long string",
    "invalid_text": "holds half a surrogate pair",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one field of one row.

    ``row`` counts from 0. ``field`` is the feature's name, or None where the row as a whole is wrong.
    ``message`` says what was expected and what to do; it holds nothing that the caller sent.
    """

    row: int
    field: str | None
    code: ProblemCode
    message: str


class RequestError(DeployerError):
    """A request that gets no prediction. Subclasses fix all but the message, which is for this request.

    Attributes:
        status, grpc_status: Of the answer.
        code: Its stable name.
        title: What it is called, for people.
        remedy: What a caller does about it.
        retry: Whether the same request may succeed later.
    """

    status: ClassVar[int] = 400
    grpc_status: ClassVar[str] = "INVALID_ARGUMENT"
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"
    remedy: ClassVar[str] = "Correct the request."
    retry: ClassVar[bool] = False


class MalformedBody(RequestError):
    """The body is no JSON, not UTF-8, nested too deeply, or holds no row."""

    code = "malformed_body"
    title = "The body cannot be read"
    remedy = 'Send `{"rows": [{...}, ...]}`, one row `{...}`, or a table.'


class MalformedRequest(RequestError):
    """What was sent is no HTTP/1.1; the connection is closed."""

    code = "malformed_request"
    title = "This is no HTTP request"
    remedy = "Use a client that speaks HTTP/1.1."


class InvalidHeader(RequestError):
    """The header `X-Request-Timeout-Ms` is no whole number of milliseconds."""

    code = "invalid_header"
    title = "A header cannot be read"
    remedy = "Correct the header, or leave it out."


class Unauthorized(RequestError):
    """The service wants an API key, and the request carries none that is valid."""

    status = 401
    grpc_status = "UNAUTHENTICATED"
    code = "unauthorized"
    title = "No valid API key"
    remedy = "Send a key that the operator has issued."


class NotFound(RequestError):
    """The service has no such path."""

    status = 404
    grpc_status = "NOT_FOUND"
    code = "not_found"
    title = "No such path"
    remedy = "Correct the URL."


@dataclass
class MethodNotAllowed(RequestError):
    """The path exists under another method, which the header `Allow` names.

    ``allow`` lists the methods as that header wants them (RFC 9110).
    """

    status = 405
    grpc_status = "UNIMPLEMENTED"
    code = "method_not_allowed"
    title = "Method not allowed"
    remedy = "Use that method."

    allow: str

    def __str__(self) -> str:
        return f"this path answers {self.allow} only"


class NotAcceptable(RequestError):
    """The header `Accept` names no type that `/invocations` writes; other paths answer in JSON then."""

    status = 406
    code = "not_acceptable"
    title = "No acceptable type"
    remedy = "Accept one of the types that the service writes."


class RequestTimeout(RequestError):
    """The request did not arrive in the time allowed; nothing was done, and the connection is closed."""

    status = 408
    grpc_status = "DEADLINE_EXCEEDED"
    code = "request_timeout"
    title = "The request took too long"
    remedy = "Send it again; where that happens often, send fewer rows at once."
    retry = True


class BodyTooLarge(RequestError):
    """The body has more bytes than the service takes."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "body_too_large"
    title = "The body is too large"
    remedy = "Divide the rows among several requests."

    @classmethod
    def over(cls, limit: int) -> Self:
        """The refusal of a body of more than ``limit`` bytes."""
        return cls(f"the service takes at most {limit:,} bytes; send fewer rows a request")


class TooManyRows(RequestError):
    """One request carries more rows than the service takes."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "too_many_rows"
    title = "Too many rows"
    remedy = "Divide the rows among several requests."


class UnsupportedMediaType(RequestError):
    """The Content-Type or Content-Encoding is none that the service reads, or there are two of them."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    remedy = "Send one of the types that the service reads."


@dataclass
class InvalidRows(RequestError):
    """At least one row breaks the contract; `errors` lists which, where and why.

    ``total`` counts all problems; ``problems`` holds the first of them, up to the service's limit.
    """

    status = 422
    code = "invalid_rows"
    title = "Rows break the contract"
    remedy = "Correct the values that `errors` names; the message of each says how."

    problems: Sequence[Problem] = field(default_factory=list)
    total: int = 0

    def __str__(self) -> str:
        rows = len({problem.row for problem in self.problems})
        found = f"{self.total} problem{'s' * (self.total != 1)}"
        where = f"{rows} row{'s' * (rows != 1)}"
        if self.total > len(self.problems):
            return f"{found}; the first {len(self.problems)}, in {where}, are listed under `errors`"
        return f"{found} in {where}, listed under `errors`"


class HeadersTooLarge(RequestError):
    """The headers have more bytes than the service takes; the connection is closed."""

    status = 431
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "headers_too_large"
    title = "The headers are too large"
    remedy = "Send fewer or shorter headers."


class PredictionFailed(RequestError):
    """The model could not answer although the request was right: the service's fault, never the caller's."""

    status = 500
    grpc_status = "INTERNAL"
    code = "prediction_failed"
    title = "The prediction failed"
    remedy = "Report the `request_id` to whoever runs the service."


class Overloaded(RequestError):
    """More waits than can be done in time; the request was refused before any work."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "overloaded"
    title = "Too much work at once"
    remedy = "Send it again after the seconds that `Retry-After` names."
    retry = True


@dataclass
class DeadlineExceeded(RequestError):
    """The time allowed ran out before the answer was there.

    ``seconds`` is that time.
    """

    status = 504
    grpc_status = "DEADLINE_EXCEEDED"
    code = "deadline_exceeded"
    title = "Out of time"
    remedy = "Send it again, with fewer rows or more time."
    retry = True

    seconds: float

    def __str__(self) -> str:
        return f"no answer within {self.seconds:g} seconds; try again with fewer rows"


#: Every refusal of a request, in the order of the tree: the catalogue that documents and clients are written from.
REQUEST_ERRORS: tuple[type[RequestError], ...] = (
    MalformedBody,
    MalformedRequest,
    InvalidHeader,
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
    Overloaded,
    DeadlineExceeded,
)
